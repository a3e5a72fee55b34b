"""The configuration of each part, as text. Pure: files are written by whoever starts the part.

JSON is YAML, so what reads YAML is given JSON: nothing to quote, nothing to indent.
"""

from __future__ import annotations

import json
from typing import Any

from knative.bootstrap.plan import (
    BRIDGE,
    NODE,
    NODE_ADDRESS,
    PODS,
    REGISTRY,
    Plan,
)

__all__ = ["REGISTRY_USER", "cni_network", "config_files"]

REGISTRY_USER = "ingot"


def config_files(plan: Plan, pause_image: str, registry_password: str) -> dict[str, str]:
    """Return every configuration file by its name in the plan's config folder."""
    return {
        "containerd.toml": containerd(plan, pause_image, registry_password),
        f"certs.d/{REGISTRY}/hosts.toml": registry_hosts(),
        "cni/10-ingot.conflist": _json(cni_network(plan)),
        "kubelet.yaml": _json(kubelet(plan)),
        "kube-proxy.yaml": _json(kube_proxy(plan)),
        "kube-scheduler.yaml": _json(kube_scheduler(plan)),
        "Corefile": corefile(plan),
        "registry.yml": _json(registry(plan)),
        # Without name servers: nothing in a pod may ask this machine's.
        "resolv.conf": "options ndots:5\n",
    }


def containerd(plan: Plan, pause_image: str, registry_password: str) -> str:
    """Return containerd's configuration: own folders, own socket, the local registry."""
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    unused = ("snapshotter.v1.btrfs", "snapshotter.v1.zfs", "snapshotter.v1.aufs", "snapshotter.v1.devmapper")
    disabled = [f"io.containerd.{name}" for name in (*unused, "internal.v1.opt", "tracing.processor.v1.otlp")]
    return f"""version = 2
root = {_toml(str(plan.data("containerd")))}
state = {_toml(str(plan.containerd_socket.parent))}
oom_score = 0
disabled_plugins = {_toml(disabled)}
[grpc]
address = {_toml(str(plan.containerd_socket))}
[{cri}]
sandbox_image = {_toml(pause_image)}
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
max_concurrent_downloads = 4
[{cri}.cni]
bin_dir = "/usr/lib/cni"
conf_dir = {_toml(str(plan.config / "cni"))}
[{cri}.registry]
config_path = {_toml(str(plan.config / "certs.d"))}
[{cri}.registry.configs.{_toml(REGISTRY)}.auth]
username = {_toml(REGISTRY_USER)}
password = {_toml(registry_password)}
[{cri}.containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"
[{cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[{cri}.containerd.runtimes.runc.options]
SystemdCgroup = false
Root = {_toml(str(plan.run / "runc"))}
"""


def registry_hosts() -> str:
    """Return how containerd reaches the local registry: without TLS, inside the machine."""
    origin = f"http://{REGISTRY}"
    return f'server = "{origin}"\n[host."{origin}"]\ncapabilities = ["pull", "resolve"]\n'


def cni_network(plan: Plan) -> dict[str, Any]:
    """Return the pods' network: one bridge, no masquerading, leases that a restart forgets."""
    leases = {
        "type": "host-local",
        "dataDir": str(plan.run / "leases"),
        "ranges": [[{"subnet": PODS, "rangeStart": "198.18.0.10", "gateway": "198.18.0.1"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "ipMasq": False,
        # A pod may reach itself through its own service.
        "hairpinMode": True,
        "ipam": leases,
    }
    return {"cniVersion": "1.0.0", "name": plan.network_name, "plugins": [bridge]}


def kubelet(plan: Plan) -> dict[str, Any]:
    """Return the kubelet's configuration. Its pod relist stays the stock one: users' clusters have it."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{plan.containerd_socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{plan.pods_cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "address": NODE_ADDRESS,
        "healthzBindAddress": "127.0.0.1",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(plan.pki / "cluster-ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(plan.pki / "kubelet-server.crt"),
        "tlsPrivateKeyFile": str(plan.pki / "kubelet-server.key"),
        "clusterDNS": [NODE_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": str(plan.config / "resolv.conf"),
        "podLogsDir": str(plan.logs / "pods"),
        "volumePluginDir": str(plan.data("kubelet") / "volumeplugins"),
        "containerLogMaxSize": "5Mi",
        "containerLogMaxFiles": 2,
        "serializeImagePulls": False,
        "maxParallelImagePulls": 4,
        "registryPullQPS": 50,
        "registryBurst": 100,
        "eventRecordQPS": 50,
        "eventBurst": 100,
        # The machine is its owner's: the cluster evicts only when nothing else helps,
        # and never collects images that a scaled-down function needs at once.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 99,
        "imageGCLowThresholdPercent": 98,
        "enforceNodeAllocatable": ["pods"],
    }


def kube_proxy(plan: Plan) -> dict[str, Any]:
    """Return kube-proxy's configuration: nftables, in tables of its own."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(plan.credentials / "proxy.kubeconfig")},
        "mode": "nftables",
        "bindAddress": NODE_ADDRESS,
        "hostnameOverride": NODE,
        "clusterCIDR": PODS,
        "nodePortAddresses": [f"{NODE_ADDRESS}/32"],
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        # The machine's own limits stay as they are.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "nftables": {"minSyncPeriod": "100ms", "syncPeriod": "30s"},
    }


def kube_scheduler(plan: Plan) -> dict[str, Any]:
    """Return the scheduler's configuration: the only one there is, so it elects nobody."""
    client = {"kubeconfig": str(plan.credentials / "scheduler.kubeconfig"), "qps": 100, "burst": 200}
    return {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": client,
        "leaderElection": {"leaderElect": False},
    }


def corefile(plan: Plan) -> str:
    """Return CoreDNS' configuration: the cluster's names, and no such name for all others."""
    return f"""cluster.local:53 in-addr.arpa:53 {{
    bind {NODE_ADDRESS}
    errors
    ready 127.0.0.1:8181
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {plan.private("coredns") / "kubeconfig"}
        pods insecure
        ttl 5
    }}
    cache 5
    loadbalance
}}
.:53 {{
    bind {NODE_ADDRESS}
    errors
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""


def registry(plan: Plan) -> dict[str, Any]:
    """Return the registry's configuration: known callers only, and content may be deleted."""
    return {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(plan.data("registry"))},
            "delete": {"enabled": True},
            "cache": {"blobdescriptor": "inmemory"},
        },
        "http": {"addr": REGISTRY},
        "auth": {"htpasswd": {"realm": "ingot", "path": str(plan.private("registry") / "htpasswd")}},
    }


def _json(value: Any) -> str:
    return json.dumps(value, indent=1)


def _toml(value: str | list[str]) -> str:
    """Return a string, or a list of them, as TOML: JSON's but for characters beyond 16 bits and one other."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
