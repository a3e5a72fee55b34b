"""Prepares this machine for the cluster: checks what is needed, makes folders, programs and mounts."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from knative.bootstrap.build import Builds
from knative.bootstrap.cgroups import own_cgroups, processes_in
from knative.bootstrap.commands import run
from knative.bootstrap.errors import ClusterError
from knative.bootstrap.files import write_if_changed
from knative.bootstrap.mounts import mounted_below
from knative.bootstrap.parts import SERVICE_ACCOUNT
from knative.bootstrap.plan import Plan, Profile

__all__ = [
    "check_machine",
    "check_profile",
    "forget_dead_pods",
    "give",
    "lay_out_programs",
    "prepare_folders",
]

PACKAGES = Path(__file__).parent / "debian-packages.txt"
_COMMANDS = ("containerd", "runc", "docker-registry", "nft", "ip", "setpriv", "htpasswd")
_PLUGINS = Path("/usr/lib/cni")
_KUBERNETES = (
    "etcd",
    "kubectl",
    "kubelet",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
)
_TMPFS_SIZE = "1g"


def check_machine() -> None:
    """Raise ClusterError with the exact next step when something is missing."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise ClusterError("the cluster runs on Linux on x86_64 only")
    if os.geteuid() != 0:
        raise ClusterError(
            "the cluster needs root: it makes devices, mounts and cgroups", hint="Run it with sudo."
        )
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [name for name in _COMMANDS if shutil.which(name, path=path) is None]
    missing += [name for name in ("bridge", "host-local", "loopback") if not (_PLUGINS / name).exists()]
    if missing:
        lines = PACKAGES.read_text(encoding="utf-8").splitlines()
        packages = " ".join(line for line in lines if not line.startswith("#"))
        raise ClusterError(
            f"not installed: {', '.join(missing)}",
            hint=f"Run: apt-get install --no-install-recommends {packages}",
        )


def check_profile(plan: Plan) -> None:
    """Refuse to go on with the data of another profile: its promises were others."""
    path = plan.state / "profile"
    made = path.read_text(encoding="ascii").strip() if path.exists() else plan.profile.value
    if made != plan.profile.value:
        raise ClusterError(
            f"the cluster here was made with the profile {made}, not {plan.profile.value}",
            hint="Remove it first, with its data: make cluster-down",
        )
    write_if_changed(path, f"{plan.profile.value}\n".encode())


def prepare_folders(plan: Plan) -> None:
    """Make the folders, each with the rights of who uses it."""
    for folder in (plan.state, plan.run):
        folder.mkdir(parents=True, exist_ok=True)
        # Parts with an account of their own pass through to what is theirs.
        folder.chmod(0o711)
    for folder in (plan.credentials, plan.pki):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for folder in (plan.state / "data", plan.state / "private", plan.config, plan.bin):
        folder.mkdir(parents=True, exist_ok=True, mode=0o711)
    for name in ("etcd", "registry", "s3"):
        folder = plan.data(name)
        folder.mkdir(exist_ok=True, mode=0o700)
        if name == "etcd" and plan.profile is Profile.FAST and not mounted_below(folder):
            run(["mount", "-t", "tmpfs", "-o", f"size={_TMPFS_SIZE}", "ingot-etcd", folder])
        folder.chmod(0o700)
        os.chown(folder, SERVICE_ACCOUNT.user, SERVICE_ACCOUNT.group)


def forget_dead_pods(plan: Plan) -> None:
    """Give back the addresses of pods that ended with the machine's last run."""
    pods = (path for path in own_cgroups(plan) if path.name == plan.pods_cgroup)
    if not any(processes_in(path) for path in pods):
        shutil.rmtree(plan.run / "leases", ignore_errors=True)


def lay_out_programs(plan: Plan, builds: Builds) -> None:
    """Put the programs where every account may run them, replacing those of another build."""
    for name in ("ingot-kube", "coredns", "minio"):
        _place(builds.binary(name), plan.bin / name)
    for name in _KUBERNETES:
        _link(plan.bin / name, "ingot-kube")
    found = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/usr/local/sbin")
    _link(plan.bin / "nft", found or "/usr/sbin/nft")


def give(plan: Plan, part: str, name: str, content: bytes) -> Path:
    """Write a file that only the account of the parts, and root, may read."""
    folder = plan.private(part)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / name
    write_if_changed(path, content, 0o600)
    for owned in (folder, path):
        os.chown(owned, SERVICE_ACCOUNT.user, SERVICE_ACCOUNT.group)
    return path


def _place(source: Path, target: Path) -> None:
    if target.exists() and (target.samefile(source) or _same(source, target)):
        return
    # By rename: a program that runs cannot be written to.
    fresh = target.with_name(f".{target.name}.new")
    fresh.unlink(missing_ok=True)
    try:
        os.link(source, fresh)
    except OSError:
        shutil.copy2(source, fresh)
    fresh.chmod(0o755)
    fresh.replace(target)


def _same(source: Path, target: Path) -> bool:
    one, other = source.stat(), target.stat()
    return (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


def _link(path: Path, target: str) -> None:
    if path.is_symlink() and str(path.readlink()) == target:
        return
    path.unlink(missing_ok=True)
    path.symlink_to(target)
