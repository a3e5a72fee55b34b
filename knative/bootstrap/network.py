"""The cluster's network on this machine: devices, routes, rules, kernel settings - and their removal.

Addresses of the cluster never pass a device of the machine, in either direction.
Kernel settings that are changed are written down first and put back by `remove`.
"""

from __future__ import annotations

import json
from pathlib import Path

from knative.bootstrap.commands import run, succeeds
from knative.bootstrap.errors import ClusterError
from knative.bootstrap.files import write_if_changed
from knative.bootstrap.plan import BRIDGE, DEVICE, NETWORK, NODE_ADDRESS, PODS, SERVICES, Plan

__all__ = [
    "FIREWALL_TABLE",
    "KERNEL_SETTINGS",
    "KUBE_PROXY_TABLES",
    "apply",
    "check",
    "firewall",
    "is_ours",
    "raised",
    "remove",
]

FIREWALL_TABLE = "ingot_cluster"
KUBE_PROXY_TABLES = (("ip", "kube-proxy"), ("ip6", "kube-proxy"))
# What the cluster needs at least; a machine that has more keeps it.
KERNEL_SETTINGS = {
    "net/ipv4/ip_forward": 1,
    "net/bridge/bridge-nf-call-iptables": 1,
    "fs/inotify/max_user_instances": 8_192,
    "fs/inotify/max_user_watches": 524_288,
}
# What pods may reach on this machine: names, the registry, PostgreSQL, the API server, the S3 store, the
# gateway, the kubelet. A machine's own services lie below the free ports; none is a pod's business.
PORTS_FOR_PODS = frozenset({53, 5000, 5432, 6443, 8080, 8081, 8443, 9000, 10250})
FREE_PORTS = 20_000
_PROC = Path("/proc/sys")


def firewall() -> str:
    """Return the rules that keep the cluster's addresses on this machine. Pure."""
    own = f'{{ "lo", "{DEVICE}", "{BRIDGE}" }}'
    inward = f"ip daddr {NETWORK} iifname != {own} drop"
    ports = ", ".join(str(port) for port in sorted(PORTS_FOR_PODS))
    # What pods begin; answers to what the machine began have passed before.
    pods = (
        f'iifname "{BRIDGE}" tcp dport < {FREE_PORTS} tcp dport != {{ {ports} }} reject with tcp reset; '
        f'iifname "{BRIDGE}" udp dport < {FREE_PORTS} udp dport != 53 reject'
    )
    outward = f"ip daddr {NETWORK} oifname != {own} reject; ip saddr {NETWORK} oifname != {own} reject"
    # Made anew as one transaction: there is no moment without the rules.
    return f"""table inet {FIREWALL_TABLE} {{}}
delete table inet {FIREWALL_TABLE}
table inet {FIREWALL_TABLE} {{
    chain input {{
        type filter hook input priority -10; policy accept; {inward};
        ct state established,related accept; {pods};
    }}
    chain forward {{ type filter hook forward priority -10; policy accept; {inward}; {outward}; }}
    chain output {{ type filter hook output priority -10; policy accept; {outward}; }}
}}
"""


def raised(wanted: dict[str, int], present: dict[str, int]) -> dict[str, int]:
    """Return the kernel settings that have to change. Pure."""
    return {name: value for name, value in wanted.items() if present.get(name, 0) < value}


def check(plan: Plan) -> None:
    """Raise ClusterError when another cluster has this network."""
    if not is_ours(plan):
        raise ClusterError(
            f"the cluster called {owner()} has this network; there can be one in each network namespace",
            hint="Remove it first (make cluster-down), or use `unshare --net`.",
        )


def apply(plan: Plan) -> None:
    """Bring the network up; what is there already stays."""
    run(["nft", "-f", "-"], given=firewall())
    # A bridge without ports: a place for the node's address on kernels without dummy devices.
    if not succeeds(["ip", "link", "show", DEVICE]):
        run(["ip", "link", "add", DEVICE, "type", "bridge"])
    run(["ip", "link", "set", DEVICE, "alias", plan.name])
    run(["ip", "address", "replace", f"{NODE_ADDRESS}/32", "dev", DEVICE])
    run(["ip", "link", "set", DEVICE, "up"])
    # Programs of this machine may call services: kube-proxy's rules translate on the way out.
    run(["ip", "route", "replace", SERVICES, "dev", DEVICE])
    # Before the first pod there is no bridge; nothing may take the default route meanwhile.
    run(["ip", "route", "replace", "unreachable", _pods_fallback()])
    present = {name: _read(name) for name in KERNEL_SETTINGS if (_PROC / name).exists()}
    changes = raised(KERNEL_SETTINGS, present)
    if changes:
        saved = _saved(plan)
        kept = {**{name: present[name] for name in changes if name in present}, **saved}
        write_if_changed(_settings_file(plan), json.dumps(kept).encode())
    for name, value in changes.items():
        (_PROC / name).write_text(str(value), encoding="ascii")


def remove(plan: Plan) -> None:
    """Take everything away again, whether it is there or not; another cluster's stays."""
    if is_ours(plan):
        _remove_devices_and_rules()
    for name, value in _saved(plan).items():
        if name in KERNEL_SETTINGS and _read(name) == KERNEL_SETTINGS[name]:
            (_PROC / name).write_text(str(value), encoding="ascii")
    _settings_file(plan).unlink(missing_ok=True)


def owner() -> str:
    """Return the name of the cluster that made the network here; empty when nobody did."""
    if not succeeds(["ip", "link", "show", DEVICE]):
        return ""
    (link,) = json.loads(run(["ip", "-json", "link", "show", DEVICE]))
    return str(link.get("ifalias", ""))


def is_ours(plan: Plan) -> bool:
    """Say whether the network here is this cluster's, or nobody's yet."""
    return owner() in {"", plan.name}


def _remove_devices_and_rules() -> None:
    for device in (BRIDGE, DEVICE):
        if succeeds(["ip", "link", "show", device]):
            run(["ip", "link", "delete", device])
    if succeeds(["ip", "route", "show", "type", "unreachable", _pods_fallback()]):
        succeeds(["ip", "route", "delete", "unreachable", _pods_fallback()])
    for family, name in (("inet", FIREWALL_TABLE), *KUBE_PROXY_TABLES):
        if succeeds(["nft", "list", "table", family, name]):
            run(["nft", "delete", "table", family, name])


def _pods_fallback() -> str:
    """Return the network around the pods', whose own route is more exact and wins."""
    return PODS.replace("/17", "/16")


def _settings_file(plan: Plan) -> Path:
    # Kernel settings end with the machine's run, and so does this folder.
    return plan.run / "kernel-settings.json"


def _saved(plan: Plan) -> dict[str, int]:
    try:
        found = json.loads(_settings_file(plan).read_bytes())
        return {str(name): int(value) for name, value in found.items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return {}


def _read(name: str) -> int:
    return int((_PROC / name).read_text(encoding="ascii").split()[0])
