"""Starts the cluster, from whatever state it is in. What it consists of is told by the other modules."""

from __future__ import annotations

import datetime as dt
import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from knative.bootstrap import network, processes
from knative.bootstrap.base import base_objects
from knative.bootstrap.build import Builds, ensure_builds
from knative.bootstrap.cgroups import make_pods_cgroups
from knative.bootstrap.commands import run
from knative.bootstrap.configs import REGISTRY_USER, config_files
from knative.bootstrap.errors import ClusterError
from knative.bootstrap.files import write_if_changed
from knative.bootstrap.gateway import GATEWAY_PARTS, gateway_objects, gateway_parts
from knative.bootstrap.host import (
    check_machine,
    check_profile,
    forget_dead_pods,
    give,
    lay_out_programs,
    prepare_folders,
)
from knative.bootstrap.images import open_registry, program_reference, push_program
from knative.bootstrap.install import install_eventing, install_serving, push_images
from knative.bootstrap.kubectl import Kubectl
from knative.bootstrap.leftovers import remains
from knative.bootstrap.node import wait_for_node
from knative.bootstrap.part import Part, in_order
from knative.bootstrap.parts import cluster_parts
from knative.bootstrap.phases import Phases
from knative.bootstrap.pki import ensure_pki
from knative.bootstrap.plan import REGISTRY, Plan
from knative.bootstrap.removal import remove
from knative.bootstrap.starting import Starting
from knative.bootstrap.stores import (
    Passwords,
    ensure_buckets,
    ensure_database,
    ensure_passwords,
    postgres_part,
    prepare_postgres,
    s3_environment,
)

__all__ = ["down", "parts_of", "up"]

_PAUSE_REPOSITORY = "ingot/pause"
# These start before what the others rest on: the pause image in the registry, CoreDNS' rights.
_FIRST = frozenset({"containerd", "registry", "etcd", "postgres", "s3", "kube-apiserver"})


def up(plan: Plan) -> None:
    """Bring the cluster up; what runs already, and is the same, is left alone."""
    check_machine()
    network.check(plan)
    phases = Phases()
    with _alone(plan):
        with phases.phase("programs built, or found in the cache"):
            builds = ensure_builds(plan.cache)
        with phases.phase("machine prepared: folders, keys, network, cgroups"):
            passwords = _prepare(plan, builds)
        parts = in_order(parts_of(plan, passwords))
        registry = open_registry(passwords.registry)
        kubectl, starting = Kubectl(plan), Starting(plan, builds.key)
        with phases.phase("API server, registry, container runtime, PostgreSQL and S3 ready"):
            starting.start([part for part in parts if part.name in _FIRST])
            push_program(registry, _PAUSE_REPOSITORY, builds.binary("pause"))
            ensure_database(plan, passwords)
            ensure_buckets(passwords)
            kubectl.apply(base_objects())
        with phases.phase("node ready"):
            starting.start([part for part in parts if part.name not in _FIRST | GATEWAY_PARTS])
            wait_for_node(kubectl, processes.started_at(plan, "kubelet"))
        with phases.phase("Knative's images in the registry"):
            images = push_images(plan, builds, registry)
        with phases.phase("Knative Serving available"):
            install_serving(plan, builds, kubectl, images)
        with phases.phase("gateway ready"):
            kubectl.apply(gateway_objects(plan))
            starting.start([part for part in parts if part.name in GATEWAY_PARTS])
        with phases.phase("Knative Eventing available"):
            install_eventing(builds, kubectl, images)
        phases.total("in all")


def down(plan: Plan, *, keep_data: bool) -> None:
    """Remove the cluster and prove it. Raises ClusterError with what is left, if anything is."""
    check_machine()
    phases = Phases()
    with _alone(plan):
        # Passwords do not matter to who only stops.
        parts = parts_of(plan, Passwords("", "", "", ""))
        remove(plan, parts, phases, keep_data=keep_data)
        left = remains(plan, data_kept=keep_data)
        phases.total("in all")
    if left:
        raise ClusterError("these are left:\n  " + "\n  ".join(left))


def parts_of(plan: Plan, passwords: Passwords) -> tuple[Part, ...]:
    """Return the parts of the cluster."""
    return (*cluster_parts(plan, postgres_part(plan), s3_environment(passwords)), *gateway_parts(plan))


@contextmanager
def _alone(plan: Plan) -> Iterator[None]:
    """Let one run at a time change the cluster; the lock ends with its process."""
    plan.cache.mkdir(parents=True, exist_ok=True)
    with (plan.cache / f".{plan.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ClusterError(
                "another run is changing the cluster", hint="Wait until it has ended, then run this again."
            ) from None
        yield


def _prepare(plan: Plan, builds: Builds) -> Passwords:
    check_profile(plan)
    prepare_folders(plan)
    forget_dead_pods(plan)
    lay_out_programs(plan, builds)
    ensure_pki(plan, dt.datetime.now(dt.UTC))
    passwords = ensure_passwords(plan)
    _give_secrets(plan, passwords)
    prepare_postgres(plan, passwords)
    pause = program_reference(_PAUSE_REPOSITORY, builds.binary("pause"))
    for name, text in config_files(plan, pause, passwords.registry).items():
        secret = name == "containerd.toml"
        write_if_changed(plan.config / name, text.encode(), 0o600 if secret else 0o644)
    network.apply(plan)
    make_pods_cgroups(plan)
    return passwords


def _give_secrets(plan: Plan, passwords: Passwords) -> None:
    """Give the parts that are not root their keys."""
    for name in ("etcd-ca.crt", "etcd.crt", "etcd.key"):
        give(plan, "etcd", name, (plan.pki / name).read_bytes())
    give(plan, "coredns", "kubeconfig", (plan.credentials / "coredns.kubeconfig").read_bytes())
    known = plan.private("registry") / "htpasswd"
    # The hash is salted: made anew each time it would restart the registry each time.
    if not known.exists() or not _accepts(known, passwords.registry):
        made = run(["htpasswd", "-niB", "-C", "5", REGISTRY_USER], given=passwords.registry)
        give(plan, "registry", "htpasswd", made.strip().encode() + b"\n")
    write_if_changed(plan.credentials / "docker" / "config.json", _docker_config(passwords), 0o600)


def _accepts(htpasswd: Path, password: str) -> bool:
    try:
        run(["htpasswd", "-vi", htpasswd, REGISTRY_USER], given=password)
    except ClusterError:
        return False
    return True


def _docker_config(passwords: Passwords) -> bytes:
    """Return what registry clients know as Docker's login file."""
    auth = {"username": REGISTRY_USER, "password": passwords.registry}
    return json.dumps({"auths": {REGISTRY: auth}}, indent=1).encode()
