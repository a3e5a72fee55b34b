"""The kinds of objects that the operator reads and writes, and where the API server keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = [
    "ADMISSION",
    "CONFIG_MAP",
    "DEPLOYMENT",
    "DOMAIN_MAPPING",
    "FUNCTION",
    "KNATIVE_SERVICE",
    "LEASE",
    "NAMESPACE",
    "NETWORK_POLICY",
    "POD",
    "REVISION",
    "SECRET",
    "SERVICE_ACCOUNT",
    "TOMBSTONE",
    "TRIGGER",
    "Kind",
    "kind_of",
]


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource of the API."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the address of one object, or of all in a namespace or in the cluster."""
        root = "/api/" if "/" not in self.api_version else "/apis/"
        place = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        ends = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{root}{self.api_version}{place}/{self.plural}{ends}"


FUNCTION: Final = Kind("ingot.dev/v1alpha1", "Function", "functions")
TOMBSTONE: Final = Kind("ingot.dev/v1alpha1", "Tombstone", "tombstones", namespaced=False)
ADMISSION: Final = Kind("ingot.dev/v1alpha1", "Admission", "admissions", namespaced=False)
KNATIVE_SERVICE: Final = Kind("serving.knative.dev/v1", "Service", "services")
REVISION: Final = Kind("serving.knative.dev/v1", "Revision", "revisions")
DOMAIN_MAPPING: Final = Kind("serving.knative.dev/v1beta1", "DomainMapping", "domainmappings")
TRIGGER: Final = Kind("eventing.knative.dev/v1", "Trigger", "triggers")
NETWORK_POLICY: Final = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
SERVICE_ACCOUNT: Final = Kind("v1", "ServiceAccount", "serviceaccounts")
POD: Final = Kind("v1", "Pod", "pods")
SECRET: Final = Kind("v1", "Secret", "secrets")
CONFIG_MAP: Final = Kind("v1", "ConfigMap", "configmaps")
NAMESPACE: Final = Kind("v1", "Namespace", "namespaces", namespaced=False)
DEPLOYMENT: Final = Kind("apps/v1", "Deployment", "deployments")
LEASE: Final = Kind("coordination.k8s.io/v1", "Lease", "leases")

_ALL: Final = {
    (one.api_version, one.kind): one
    for one in (
        FUNCTION, TOMBSTONE, ADMISSION, KNATIVE_SERVICE, REVISION, DOMAIN_MAPPING, TRIGGER, NETWORK_POLICY,
        SERVICE_ACCOUNT, POD, SECRET, CONFIG_MAP, NAMESPACE, DEPLOYMENT, LEASE,
    )
}  # fmt: skip


def kind_of(manifest: Mapping[str, Any]) -> Kind:
    """Return the kind of a manifest. Raises KeyError for one that is not listed here."""
    return _ALL[manifest["apiVersion"], manifest["kind"]]
