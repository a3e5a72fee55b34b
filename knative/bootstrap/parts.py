"""The parts of the cluster with the flags that matter. Pure: a plan in, parts out.

All listen on loopback or on the node's address, never on every address.
"""

from __future__ import annotations

from pathlib import Path

from knative.bootstrap.part import Account, Part, Probe
from knative.bootstrap.pki import API_ADDRESS
from knative.bootstrap.plan import NODE, NODE_ADDRESS, REGISTRY, SERVICES, Plan, Profile

__all__ = ["POSTGRES_PORT", "S3_PORT", "SERVICE_ACCOUNT", "cluster_parts"]

# A number that no account of a distribution has: what holds data is nobody else's.
SERVICE_ACCOUNT = Account(198_180, 198_180)
POSTGRES_PORT = 5432
S3_PORT = 9000
_ETCD = "https://127.0.0.1:2379"
_ETCD_PEER = "https://127.0.0.1:2380"


def cluster_parts(plan: Plan, postgres: Part, s3_environment: dict[str, str]) -> tuple[Part, ...]:
    """Return every part; PostgreSQL's is made by whoever knows this machine's PostgreSQL."""
    return (
        _containerd(plan),
        _registry(plan),
        _etcd(plan),
        postgres,
        _s3(plan, s3_environment),
        _apiserver(plan),
        _controller_manager(plan),
        _scheduler(plan),
        _kubelet(plan),
        _proxy(plan),
        _coredns(plan),
    )


def _containerd(plan: Plan) -> Part:
    config = plan.config / "containerd.toml"
    return Part(
        "containerd",
        ("containerd", "--config", str(config), "--log-level", "warn"),
        # Its socket takes connections before, and even while, it answers nobody.
        Probe("command", ("ctr", "--address", str(plan.containerd_socket), "version")),
        reads=(config,),
        keeps_children=True,
    )


def _registry(plan: Plan) -> Part:
    config = plan.config / "registry.yml"
    return Part(
        "registry",
        ("docker-registry", "serve", str(config)),
        # It answers that it wants a password: then it works.
        Probe("http", f"http://{REGISTRY}/v2/"),
        account=SERVICE_ACCOUNT,
        reads=(config, plan.private("registry") / "htpasswd"),
    )


def _etcd(plan: Plan) -> Part:
    pki = plan.private("etcd")
    command = [
        *(str(plan.bin / "etcd"), "--name", NODE, "--data-dir", str(plan.data("etcd"))),
        *(f"--listen-client-urls={_ETCD}", f"--advertise-client-urls={_ETCD}"),
        *(f"--listen-peer-urls={_ETCD_PEER}", f"--initial-advertise-peer-urls={_ETCD_PEER}"),
        *(f"--initial-cluster={NODE}={_ETCD_PEER}", "--log-level=warn", "--auto-compaction-retention=5m"),
    ]
    for side in ("", "peer-"):
        command += [f"--{side}client-cert-auth", f"--{side}trusted-ca-file={pki / 'etcd-ca.crt'}"]
        command += [f"--{side}cert-file={pki / 'etcd.crt'}", f"--{side}key-file={pki / 'etcd.key'}"]
    if plan.profile is Profile.FAST:
        command.append("--unsafe-no-fsync")
    client = (plan.pki / "apiserver-etcd.crt", plan.pki / "apiserver-etcd.key")
    return Part(
        "etcd",
        tuple(command),
        Probe("http", f"{_ETCD}/readyz", plan.pki / "etcd-ca.crt", client),
        account=SERVICE_ACCOUNT,
        reads=(pki / "etcd-ca.crt", pki / "etcd.crt"),
    )


def _s3(plan: Plan, environment: dict[str, str]) -> Part:
    address = f"{NODE_ADDRESS}:{S3_PORT}"
    return Part(
        "s3",
        (str(plan.bin / "minio"), "server", "--quiet", "--address", address, str(plan.data("s3"))),
        Probe("http", f"http://{address}/minio/health/ready"),
        account=SERVICE_ACCOUNT,
        environment={
            **environment,
            # No second port, no look for newer versions, no state beside the data.
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            "HOME": str(plan.data("s3")),
        },
    )


def _apiserver(plan: Plan) -> Part:
    flags = {
        "etcd-servers": _ETCD,
        "bind-address": NODE_ADDRESS,
        "advertise-address": NODE_ADDRESS,
        "secure-port": 6443,
        "service-cluster-ip-range": SERVICES,
        "kubelet-preferred-address-types": "InternalIP",
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "allow-privileged": "true",
        "enable-aggregator-routing": "true",
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-username-headers": "X-Remote-User",
        "profiling": "false",
        "event-ttl": "15m",
        **_apiserver_keys(plan.pki),
    }
    names = ("cluster-ca", "front-ca", "etcd-ca", "apiserver", "apiserver-kubelet", "apiserver-etcd")
    return Part(
        "kube-apiserver",
        _command(plan, "kube-apiserver", flags),
        # The controllers end when they ask before the first roles are there: readyz waits for them.
        Probe("http", f"{API_ADDRESS}/readyz", plan.pki / "cluster-ca.crt"),
        needs=("etcd",),
        reads=_certificates(plan, *names),
    )


def _apiserver_keys(pki: Path) -> dict[str, object]:
    return {
        "client-ca-file": pki / "cluster-ca.crt",
        "tls-cert-file": pki / "apiserver.crt",
        "tls-private-key-file": pki / "apiserver.key",
        "etcd-cafile": pki / "etcd-ca.crt",
        "etcd-certfile": pki / "apiserver-etcd.crt",
        "etcd-keyfile": pki / "apiserver-etcd.key",
        "kubelet-certificate-authority": pki / "cluster-ca.crt",
        "kubelet-client-certificate": pki / "apiserver-kubelet.crt",
        "kubelet-client-key": pki / "apiserver-kubelet.key",
        "service-account-key-file": pki / "service-accounts.pub",
        "service-account-signing-key-file": pki / "service-accounts.key",
        "requestheader-client-ca-file": pki / "front-ca.crt",
        "proxy-client-cert-file": pki / "front-proxy.crt",
        "proxy-client-key-file": pki / "front-proxy.key",
    }


def _controller_manager(plan: Plan) -> Part:
    kubeconfig = plan.credentials / "controller-manager.kubeconfig"
    flags = {
        **_delegated(kubeconfig),
        "kubeconfig": kubeconfig,
        "service-account-private-key-file": plan.pki / "service-accounts.key",
        "root-ca-file": plan.pki / "cluster-ca.crt",
        "cluster-signing-cert-file": plan.pki / "cluster-ca.crt",
        "cluster-signing-key-file": plan.pki / "cluster-ca.key",
        "use-service-account-credentials": "true",
        "leader-elect": "false",
        "kube-api-qps": 200,
        "kube-api-burst": 400,
        "profiling": "false",
    }
    command = _command(plan, "kube-controller-manager", flags)
    probe = Probe("http", "https://127.0.0.1:10257/healthz")
    return Part("kube-controller-manager", command, probe, needs=("kube-apiserver",), reads=(kubeconfig,))


def _scheduler(plan: Plan) -> Part:
    config, kubeconfig = plan.config / "kube-scheduler.yaml", plan.credentials / "scheduler.kubeconfig"
    command = _command(plan, "kube-scheduler", {"config": config, **_delegated(kubeconfig)})
    probe = Probe("http", "https://127.0.0.1:10259/healthz")
    return Part("kube-scheduler", command, probe, needs=("kube-apiserver",), reads=(config, kubeconfig))


def _kubelet(plan: Plan) -> Part:
    config, kubeconfig = plan.config / "kubelet.yaml", plan.credentials / "kubelet.kubeconfig"
    flags = {
        "config": config,
        "kubeconfig": kubeconfig,
        "root-dir": plan.data("kubelet"),
        "cert-dir": plan.data("kubelet") / "pki",
        "hostname-override": NODE,
        "node-ip": NODE_ADDRESS,
    }
    return Part(
        "kubelet",
        _command(plan, "kubelet", flags),
        Probe("http", "http://127.0.0.1:10248/healthz"),
        needs=("kube-apiserver", "containerd", "registry"),
        # Without iptables in sight it leaves no rules of its own; kube-proxy's are enough.
        environment={"PATH": "/usr/bin:/bin"},
        reads=(config, kubeconfig, *_certificates(plan, "kubelet-server")),
    )


def _proxy(plan: Plan) -> Part:
    config, kubeconfig = plan.config / "kube-proxy.yaml", plan.credentials / "proxy.kubeconfig"
    command = _command(plan, "kube-proxy", {"config": config})
    probe = Probe("http", "http://127.0.0.1:10256/livez")
    # It sees nft and, for the same reason as the kubelet, no iptables.
    path = {"PATH": f"{plan.bin}:/usr/bin:/bin"}
    reads = (config, kubeconfig)
    return Part("kube-proxy", command, probe, needs=("kube-apiserver",), environment=path, reads=reads)


def _coredns(plan: Plan) -> Part:
    config = plan.config / "Corefile"
    return Part(
        "coredns",
        (str(plan.bin / "coredns"), "-conf", str(config)),
        Probe("http", "http://127.0.0.1:8181/ready"),
        needs=("kube-apiserver",),
        account=Account(SERVICE_ACCOUNT.user, SERVICE_ACCOUNT.group, ("net_bind_service",)),
        reads=(config, plan.private("coredns") / "kubeconfig"),
    )


def _command(plan: Plan, program: str, flags: dict[str, object]) -> tuple[str, ...]:
    return (str(plan.bin / program), *(f"--{name}={value}" for name, value in flags.items()))


def _delegated(kubeconfig: Path) -> dict[str, object]:
    """Return the flags of a component that asks the API server who its own callers are."""
    return {
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        "bind-address": "127.0.0.1",
    }


def _certificates(plan: Plan, *names: str) -> tuple[Path, ...]:
    return tuple(plan.pki / f"{name}.crt" for name in names)
