"""The `Runtime` port in a cluster: writes Function resources and reads their status.

It never makes a pod and asks no operator: what the API server holds is all
that both know of each other. Functions that git manages are left alone.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from control_plane.adapters.cluster.attesting import signed
from control_plane.adapters.cluster.function_resources import (
    MANAGED,
    TARGET_LABEL,
    make_function,
    make_namespace,
    make_secret,
    make_statement,
    make_takedown_statement,
    make_tombstone,
    secret_name,
)
from control_plane.adapters.cluster.function_status import prepared_of, target_of, version_status
from control_plane.domain.attestations import (
    TAKEDOWN_TYPE,
    key_id,
    read_envelope,
    takedown_statement,
    workload_digest,
)
from control_plane.domain.desired import HostState, HostTarget, Takedown
from control_plane.errors import Invalid, NotFound, Unavailable
from control_plane.ports import Prepared, Sealer, Signer, TestCall, TestOutcome
from operators.cluster import Cluster, ClusterError, Outdated, Refused
from operators.kinds import CONFIG_MAP, FUNCTION, NAMESPACE, SECRET, TOMBSTONE
from operators.resources import names

__all__ = ["ClusterRuntime", "Keys"]

_MANAGER: Final = "ingot-console"
_EPOCH: Final = "ingot-runtime"
_OURS: Final = ",".join(f"{name}={value}" for name, value in MANAGED.items())
_LOOK_S: Final = 0.15
_BY_GIT: Final = (
    "Git manages this Function and does not have the release yet: commit what `ingot release export` writes, "
    "and release again when the cluster has it."
)


@dataclass(frozen=True, slots=True)
class Keys:
    """What it signs releases with, and what opens secret values."""

    signer: Signer
    sealer: Sealer


class ClusterRuntime:
    """Speaks to the API server of one cluster. Safe for several threads."""

    def __init__(
        self,
        cluster: Cluster,
        keys: Keys,
        image_of: Callable[[HostTarget], str],
        *,
        namespace: str = "ingot-system",
        patience_s: float = 180.0,
    ) -> None:
        """`image_of` returns the image, by digest, of a target's version on the release's base.

        `patience_s` is for what a node has to do before the code can load: the first pull of a large image.
        """
        self._cluster = cluster
        self._keys = keys
        self._image_of = image_of
        self._namespace = namespace
        self._patience_s = patience_s
        self._targets: dict[str, HostTarget] = {}

    def apply(self, state: HostState) -> None:
        """Write the wanted state; a Function whose release is the same as before is not touched.

        Targets without a release, which previews are, cannot run in a cluster and are left out.
        """
        _check(state)
        with _translated():
            self._raise_epoch(state.epoch)
            self._targets = {target.id: target for target in state.targets}
            for takedown in self._takedowns(state):
                self._take_down(takedown, state.epoch)
            self._make_places(state)
            self._write_functions(state)
            self._forget_secrets(state)

    def prepare(self, target: str, timeout_ms: int, digest: str = "") -> Prepared:
        """Wait until a version answers under its own name, or say why it does not."""
        began = time.monotonic()
        limit_s = timeout_ms / 1000
        last = Prepared(ok=False, code="start_timeout", message="It was not wanted in time.")
        while True:
            with _translated():
                found = self._find(target)
            if found is None and self._git_lacks(target):
                # Waiting would help nobody: only a commit brings it.
                return replace(last, message=_BY_GIT)
            if found is None and not digest:
                raise NotFound(f"There is no target “{target}”.")
            if found is not None and digest in {"", found[1]["digest"]}:
                last = prepared_of(found[0], target)
                limit_s = max(limit_s, self._patience_s)
                if last.ok or last.code != "start_timeout":
                    return Prepared(
                        last.ok, (time.monotonic() - began) * 1000, last.code, last.message, last.log
                    )
            if time.monotonic() - began > limit_s:
                return last
            time.sleep(_LOOK_S)

    def test(self, target: HostTarget, call: TestCall) -> TestOutcome:
        """Refuse: a draft has no image, and a pod of its own would take longer than its author waits."""
        raise Unavailable(
            "Test runs need the function host, which this installation has none of.",
            hint="Test the draft on a machine with `ingot up`; what it freezes to has the same digest.",
        )

    def test_logs(self, run: str) -> tuple[Mapping[str, Any], ...]:
        """Return nothing: no test runs here."""
        return ()

    def cancel_test(self, run: str) -> bool:
        """Say that there is nothing to cancel."""
        return False

    def status(self) -> Mapping[str, Any]:
        """Return what runs, as the operator reports it."""
        with _translated():
            epoch, _ = self._epoch()
            bodies = self._cluster.list(FUNCTION, labels=_OURS)
        targets = {
            version["name"]: version_status(body, version)
            for body in bodies
            for version in body["spec"]["versions"]
        }
        return {"ok": True, "epoch": epoch, "isolation": "pods", "templates": [], "targets": targets}

    def socket_path(self, target: str) -> str:
        """Return the address that the gateway connects to: the version's own name in the cluster."""
        known = self._targets.get(target)
        if known is None:
            raise NotFound(f"There is no target “{target}”.")
        return f"http://{names.version_host(target, known.function_name, names.namespace(known.project))}"

    def _find(self, target: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return the Function that has the target, and its version there."""
        known = self._targets.get(target)
        if known is not None:
            one = self._cluster.get(FUNCTION, names.namespace(known.project), known.function_name)
            bodies = [one] if one else []
        else:
            bodies = self._cluster.list(FUNCTION, labels=_OURS)
        return next((found for body in bodies if (found := target_of(body, target))), None)

    def _git_lacks(self, target: str) -> bool:
        """Say whether a target is missing because git manages its Function."""
        known = self._targets.get(target)
        if known is None:
            return False
        with _translated():
            body = self._cluster.get(FUNCTION, names.namespace(known.project), known.function_name)
        by_git = body is not None and body["spec"].get("managedBy") == "git"
        return by_git and body is not None and target_of(body, target) is None

    def _epoch(self) -> tuple[int, dict[str, Any] | None]:
        body = self._cluster.get(CONFIG_MAP, self._namespace, _EPOCH)
        return int(((body or {}).get("data") or {}).get("epoch", 0)), body

    def _raise_epoch(self, epoch: int) -> None:
        """Note the epoch ahead of everything else, so that an older writer is refused from here on."""
        known, body = self._epoch()
        if epoch < known:
            raise Invalid(f"The wanted state has epoch {epoch}, older than {known}.")
        if epoch == known:
            return
        document = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": _EPOCH, "namespace": self._namespace, "labels": dict(MANAGED)},
            "data": {"epoch": str(epoch)},
        }
        version = str(body["metadata"]["resourceVersion"]) if body else ""
        self._cluster.apply(document, _MANAGER, version=version)

    def _takedowns(self, state: HostState) -> Iterator[Takedown]:
        """Yield what was taken down, and of functions that have a Tombstone whether nothing is any more."""
        stated = {one.function: one for one in state.takedowns}
        buried = {body["spec"]["function"] for body in self._cluster.list(TOMBSTONE, labels=_OURS)}
        for function in sorted(stated.keys() | buried):
            yield stated.get(function) or Takedown(function, ())

    def _take_down(self, takedown: Takedown, epoch: int) -> None:
        known = self._cluster.get(TOMBSTONE, "", names.admission(takedown.function))
        wanted = make_takedown_statement(takedown, epoch)
        if known is not None:
            envelope = read_envelope(known["spec"]["statement"], TAKEDOWN_TYPE)
            if takedown_statement(envelope.payload).versions == wanted.versions:
                return
        statement = signed(wanted, self._keys.signer)
        self._cluster.apply(make_tombstone(takedown.function, statement), _MANAGER)

    def _make_places(self, state: HostState) -> None:
        projects = {(one.organization, one.project) for one in state.releases}
        there = {body["metadata"]["name"] for body in self._cluster.list(NAMESPACE, labels=_OURS)}
        for organization, project in sorted(projects):
            if names.namespace(project) not in there:
                self._cluster.apply(make_namespace(organization, project), _MANAGER)

    def _write_functions(self, state: HostState) -> None:
        bodies = self._cluster.list(FUNCTION)
        known = {(body["metadata"]["namespace"], body["metadata"]["name"]): body for body in bodies}
        wanted = set()
        for release in state.releases:
            targets = [one for one in state.targets if one.function == release.function and not one.volatile]
            images = {one.id: self._image_of(one) for one in targets}
            manifest = make_function(release, targets, images)
            meta, spec = manifest["metadata"], manifest["spec"]
            place = meta["namespace"], meta["name"]
            wanted.add(place)
            before = known.get(place, {}).get("spec", {})
            if before.get("managedBy") == "git" or self._attested(before, spec):
                continue
            for target in targets:
                self._write_secret(target)
            statement = make_statement(manifest, release.approvals, state.epoch)
            attested = spec | {"attestation": signed(statement, self._keys.signer)}
            self._cluster.apply(manifest | {"spec": attested}, _MANAGER)
        for place, body in known.items():
            labels = body["metadata"].get("labels", {})
            ours = labels.items() >= MANAGED.items() and body["spec"].get("managedBy") != "git"
            if place not in wanted and ours:
                self._cluster.delete(FUNCTION, *place, uid=body["metadata"]["uid"])

    def _attested(self, before: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
        """Say whether this very spec is there, attested by the present key: another key signs anew."""
        listed = before.get("attestation", {}).get("signatures", ())
        current = key_id(base64.b64decode(self._keys.signer.public_key()))
        return workload_digest(before) == workload_digest(spec) and any(
            one.get("keyid") == current for one in listed
        )

    def _write_secret(self, target: HostTarget) -> None:
        if not target.secrets:
            return
        namespace = names.namespace(target.project)
        if self._cluster.get(SECRET, namespace, secret_name(target)) is not None:
            return
        sealer = self._keys.sealer
        try:
            values = {name: sealer.open(target.organization, text) for name, text in target.secrets.items()}
        except ValueError as error:
            raise Invalid(f"A secret of {target.function_name} cannot be opened: {error}.") from error
        self._cluster.apply(make_secret(target, values), _MANAGER)

    def _forget_secrets(self, state: HostState) -> None:
        """Delete the values of targets that are wanted no more."""
        kept = {target.id for target in state.targets}
        for body in self._cluster.list(SECRET, labels=f"{_OURS},{TARGET_LABEL}"):
            meta = body["metadata"]
            if meta["labels"][TARGET_LABEL] not in kept:
                self._cluster.delete(SECRET, meta["namespace"], meta["name"], meta["uid"])


def _check(state: HostState) -> None:
    if len({target.id for target in state.targets}) != len(state.targets):
        raise Invalid("The wanted state names a target twice.")


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the API server's answers into errors of ours."""
    try:
        yield
    except Outdated as error:
        raise Unavailable(f"Another process changed the cluster meanwhile: {error.message}") from error
    except Refused as error:
        raise Invalid(f"The cluster refuses it: {error.message[:1_000]}") from error
    except ClusterError as error:
        raise Unavailable(
            f"The cluster does not answer: {error.message[:500]}",
            hint="Functions go on as they are; what is wanted is written when it answers again.",
        ) from error
