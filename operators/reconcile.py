"""One look at one Function: judge it, remember what was admitted, make it so, say how it is.

Level-triggered: nothing is kept between two looks, so a look may end at any
line and simply happens again. Every write carries the leader's fence or the
version that was read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from control_plane.domain.attestations import Admitted
from operators.applying import Complete, ensure, owned, prune
from operators.attestation import (
    Verdict,
    admission_of,
    admitted_after,
    judge,
    read_admitted,
    still_admissible,
)
from operators.cluster import Cluster
from operators.conditions import Conditions
from operators.failures import Failure, failure_of, quota_failure
from operators.kinds import (
    ADMISSION,
    CONFIG_MAP,
    DEPLOYMENT,
    DOMAIN_MAPPING,
    FUNCTION,
    KNATIVE_SERVICE,
    NETWORK_POLICY,
    POD,
    REVISION,
    SERVICE_ACCOUNT,
    TRIGGER,
    Kind,
)
from operators.resources import names
from operators.resources.common import Options
from operators.resources.domain_mapping import make_domain_mapping
from operators.resources.knative_service import hop_keys_of, make_knative_service, with_known_template
from operators.resources.model import Function, Malformed, read_function
from operators.resources.network_policy import make_network_policy
from operators.resources.rollout import Revision, Rollout, plan_rollout
from operators.resources.service_account import make_service_account
from operators.resources.trigger import make_trigger
from operators.status import Found, make_status, revision_of
from operators.trust import TrustedKey, hop_keys, read_trust

__all__ = ["FunctionReconciler", "trusted_keys"]

TRUST = "ingot-trust"
_REVISION_LABEL = "serving.knative.dev/revision"


@dataclass(frozen=True, slots=True)
class _Decision:
    """What may run after judging, and what the cluster remembers now."""

    verdict: Verdict
    known: Admitted
    # The spec in effect; None: nothing may run.
    spec: Mapping[str, Any] | None


class FunctionReconciler:
    """Makes Functions so; `reconcile` is called for one of them at a time."""

    def __init__(
        self,
        cluster: Cluster,
        options: Options,
        *,
        namespace: str,
        fence: Callable[[], int],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`fence` returns the leader's number and raises when this operator does not lead."""
        self._cluster = cluster
        self._options = options
        self._namespace = namespace
        self._fence = fence
        self._now = now

    def reconcile(self, namespace: str, name: str) -> None:
        """Look at one Function and do all that can be done now."""
        fence = self._fence()
        body = self._cluster.get(FUNCTION, namespace, name)
        # What a deleted Function owned goes with it; what is remembered of it stays.
        if body is None or body["metadata"].get("deletionTimestamp"):
            return
        before = body.get("status") or {}
        if before.get("fence") != fence:
            # The API server refuses this to whoever led before, ahead of any other write.
            self._write_status(body, dict(before) | {"fence": fence})
        conditions = Conditions(int(body["metadata"]["generation"]))
        decision = self._decide(body, fence, conditions)
        status: dict[str, Any] = {}
        if decision.spec is None:
            self._stop(body)
        else:
            try:
                function = read_function(body, decision.spec)
            except Malformed as error:
                conditions.failed("Admitted", "Malformed", str(error))
            else:
                status = self._make_so(function, decision.known, conditions, before)
                status["epoch"] = decision.known.epoch
        self._report(body, status | {"fence": fence}, conditions)

    def _decide(self, body: dict[str, Any], fence: int, conditions: Conditions) -> _Decision:
        """Judge the resource; what is admitted is remembered before anything of it runs."""
        function = str(body["spec"].get("function", ""))
        remembered = self._cluster.get(ADMISSION, "", names.admission(function))
        known = read_admitted(remembered)
        keys = trusted_keys(self._cluster, self._namespace)
        verdict = judge(body, keys, known, self._now())
        if verdict.refusal is None and verdict.statement is not None:
            after = admitted_after(known, verdict.statement)
            if after != known or remembered is None:
                document = admission_of(function, after, fence, body["spec"])
                version = str(remembered["metadata"]["resourceVersion"]) if remembered else ""
                if remembered is None:
                    self._cluster.create(document, names.FIELD_MANAGER)
                else:
                    self._cluster.apply(document, names.FIELD_MANAGER, version=version)
            conditions.succeeded("Admitted", "Attested", f"Release {body['spec']['release']['number']}.")
            return _Decision(verdict, after, body["spec"])
        refusal = verdict.refusal
        assert refusal is not None  # noqa: S101 - a verdict has one of the two
        conditions.failed("Admitted", refusal.reason, refusal.message)
        admitted = (remembered or {}).get("spec", {}).get("admitted")
        meta = body["metadata"]
        goes_on = admitted is not None and still_admissible(
            admitted, known, str(meta["namespace"]), str(meta["name"])
        )
        return _Decision(verdict, known, admitted if goes_on else None)

    def _make_so(
        self, function: Function, known: Admitted, conditions: Conditions, before: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Apply all that the function needs and return what its status says of it."""
        namespace = function.namespace
        service = self._cluster.get(KNATIVE_SERVICE, namespace, function.name)
        down = frozenset(known.down)
        revisions = self._revisions(function)
        options = replace(self._options, hop_keys=self._hop_keys(function, service))
        rollout = plan_rollout(function, options, service, revisions, down)
        refused: dict[str, str] = {}

        def apply(manifest: dict[str, Any], complete: Complete | None = None) -> dict[str, Any] | None:
            self._fence()
            made, why = ensure(self._cluster, manifest, complete)
            if why:
                refused[f"{manifest['kind']} {manifest['metadata']['name']}"] = why
            return made

        apply(make_service_account(function, self._options))
        apply(make_network_policy(function, self._options))
        wanted = make_knative_service(function, rollout.template, rollout.traffic)
        service = apply(wanted, with_known_template)
        triggers = [apply(make_trigger(function, one)) for one in function.triggers]
        mappings = [apply(make_domain_mapping(function, one)) for one in function.domains]
        self._prune(function, TRIGGER, {names.trigger(function.name, one.name) for one in function.triggers})
        self._prune(function, DOMAIN_MAPPING, set(function.domains))
        self._remove_taken_down(function, revisions, down, rollout)
        found = Found(
            service=service,
            revisions=revisions,
            failures=self._failures(function, rollout, revisions),
            triggers=[one for one in triggers if one],
            mappings=[one for one in mappings if one],
            refused=refused,
        )
        return make_status(function, rollout, found, conditions, before)

    def _hop_keys(self, function: Function, service: Mapping[str, Any] | None) -> tuple[str, ...]:
        """Return whose tokens let calls in; an entry that nobody can read any more opens nothing."""
        if function.triggers or function.domains:
            # A broker and a domain's callers come by the ingress alone, which gives them no token.
            return ()
        keys, faults = read_trust(self._cluster.get(CONFIG_MAP, self._namespace, TRUST))
        listed = hop_keys(keys, function.namespace)
        return listed or (hop_keys_of(service) if faults else ())

    def _revisions(self, function: Function) -> dict[str, Revision]:
        found = owned(self._cluster, REVISION, function.namespace, function.function)
        return {one.name: one for body in found for one in (revision_of(body),)}

    def _failures(
        self, function: Function, rollout: Rollout, revisions: Mapping[str, Revision]
    ) -> dict[str, Failure]:
        """Return why wanted versions do not start; pods are only read while one does not."""
        missing = {
            name for name in rollout.revisions.values() if name not in revisions or not revisions[name].ready
        }
        if not missing:
            return {}
        pods = owned(self._cluster, POD, function.namespace, function.function)
        deployments = owned(self._cluster, DEPLOYMENT, function.namespace, function.function)
        failures = {}
        for name in missing:
            of_revision = [one for one in pods if one["metadata"]["labels"].get(_REVISION_LABEL) == name]
            conditions = [
                condition
                for one in deployments
                if one["metadata"]["labels"].get(_REVISION_LABEL) == name
                for condition in one.get("status", {}).get("conditions", ())
            ]
            failure = failure_of(of_revision) or quota_failure(conditions)
            if failure is not None:
                failures[name] = failure
        return failures

    def _remove_taken_down(
        self,
        function: Function,
        revisions: Mapping[str, Revision],
        down: frozenset[str],
        rollout: Rollout,
    ) -> None:
        """Delete revisions of taken-down versions: at zero they would still start for whoever calls them."""
        current = str(rollout.template["metadata"]["name"])
        for one in revisions.values():
            if one.digest in down and one.name != current:
                self._cluster.delete(REVISION, function.namespace, one.name)

    def _prune(self, function: Function, kind: Kind, kept: set[str]) -> None:
        found = owned(self._cluster, kind, function.namespace, function.function)
        prune(self._cluster, kind, found, function.uid, kept)

    def _stop(self, body: Mapping[str, Any]) -> None:
        """Remove all that runs for a Function of which nothing may run."""
        meta = body["metadata"]
        function, namespace = str(body["spec"].get("function", "")), str(meta["namespace"])
        for kind in (TRIGGER, DOMAIN_MAPPING, KNATIVE_SERVICE, NETWORK_POLICY, SERVICE_ACCOUNT):
            self._fence()
            found = owned(self._cluster, kind, namespace, function)
            prune(self._cluster, kind, found, str(meta["uid"]), set())

    def _report(self, body: dict[str, Any], status: dict[str, Any], conditions: Conditions) -> None:
        """Write the status when it says something new."""
        now = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
        before = body.get("status") or {}
        stated = conditions.document(before.get("conditions") or (), now)
        status |= {"observedGeneration": body["metadata"]["generation"], "conditions": stated}
        if status != before:
            self._write_status(body, status)

    def _write_status(self, body: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        meta = body["metadata"]
        document = {
            "apiVersion": names.API_VERSION,
            "kind": "Function",
            "metadata": {"name": meta["name"], "namespace": meta["namespace"]},
            "status": status,
        }
        self._cluster.apply(document, names.FIELD_MANAGER, subresource="status")


def trusted_keys(cluster: Cluster, namespace: str) -> tuple[TrustedKey, ...]:
    """Return the keys that the cluster's operator put into the ConfigMap `ingot-trust`."""
    keys, _ = read_trust(cluster.get(CONFIG_MAP, namespace, TRUST))
    return keys
