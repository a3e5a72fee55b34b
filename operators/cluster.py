"""A small client of the Kubernetes API: get, list, server-side apply, replace, delete; each with a time-out.

Where the cluster is and who we are comes from the official client's own
configuration. Nothing here knows what the objects mean.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import urllib3
from kubernetes import config
from kubernetes.client import ApiClient, Configuration

from operators.kinds import Kind, kind_of

__all__ = ["Cluster", "ClusterError", "Outdated", "Refused", "Unreachable", "connect"]

_TIMEOUT: Final = urllib3.Timeout(connect=3.0, read=10.0)
_PAGE: Final = 500


class ClusterError(Exception):
    """The API server did not do what was asked."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Outdated(ClusterError):
    """The object is another one, or changed, since it was read."""


class Refused(ClusterError):
    """The request breaks a rule of the cluster; repeating it does not help."""


class Unreachable(ClusterError):
    """The API server, or a webhook that it asks, does not answer now."""


class Cluster:
    """Speaks to one API server. Safe for several threads."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._client = ApiClient(configuration)
        self._pool = self._client.rest_client.pool_manager

    def get(self, kind: Kind, namespace: str, name: str) -> dict[str, Any] | None:
        """Return the object; None when there is none, or no such kind."""
        try:
            return self._ask("GET", kind.path(namespace, name))
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    def list(self, kind: Kind, namespace: str = "", labels: str = "") -> list[dict[str, Any]]:
        """Return all objects with these labels; none when there is no such kind."""
        found: list[dict[str, Any]] = []
        query = {"limit": str(_PAGE)} | ({"labelSelector": labels} if labels else {})
        while True:
            try:
                page = self._ask("GET", kind.path(namespace), query=query)
            except ClusterError as error:
                if error.status == 404:
                    return []
                raise
            found += page.get("items", ())
            following = page.get("metadata", {}).get("continue")
            if not following:
                return found
            query["continue"] = str(following)

    def apply(
        self, manifest: Mapping[str, Any], manager: str, *, version: str = "", subresource: str = ""
    ) -> dict[str, Any]:
        """Apply on the server, taking over the named fields; returns the object as it is now.

        With a resource version, only if it is still that one. Raises Outdated.
        """
        kind, meta = kind_of(manifest), manifest["metadata"]
        if version:
            manifest = {**manifest, "metadata": {**meta, "resourceVersion": version}}
        path = kind.path(str(meta.get("namespace", "")), str(meta["name"]), subresource)
        query = {"fieldManager": manager, "force": "true"}
        return self._ask("PATCH", path, manifest, "application/apply-patch+yaml", query)

    def create(self, manifest: Mapping[str, Any], manager: str) -> dict[str, Any]:
        """Make an object that is not there yet. Raises Outdated when it is."""
        path = kind_of(manifest).path(str(manifest["metadata"].get("namespace", "")))
        return self._ask("POST", path, manifest, query={"fieldManager": manager})

    def replace(self, manifest: Mapping[str, Any], manager: str) -> dict[str, Any]:
        """Put the whole object in place of the one with its resource version. Raises Outdated."""
        meta = manifest["metadata"]
        path = kind_of(manifest).path(str(meta.get("namespace", "")), str(meta["name"]))
        return self._ask("PUT", path, manifest, query={"fieldManager": manager})

    def delete(self, kind: Kind, namespace: str, name: str, uid: str = "") -> None:
        """Delete the object and, by the cluster, what it owns; repeating it is no error.

        With a uid, only that very object. Raises Outdated.
        """
        body: dict[str, Any] = {"propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            self._ask("DELETE", kind.path(namespace, name), body)
        except ClusterError as error:
            if error.status != 404:
                raise

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        headers = {"Accept": "application/json", "Content-Type": content_type}
        token = self._configuration.auth_settings().get("BearerToken")
        if token:
            headers["Authorization"] = str(token["value"])
        address = f"{self._configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        content = json.dumps(body).encode() if body is not None else None
        try:
            answer = self._pool.request(
                method, address, body=content, headers=headers, timeout=_TIMEOUT, retries=False
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(0, f"The API server does not answer: {error}") from error
        document = _document(answer.data)
        if answer.status >= 400:
            raise _error(answer.status, document)
        return document


def connect(kubeconfig: str = "") -> Cluster:
    """Return a client: of the named kubeconfig, of the pod's own account, or of the user's kubeconfig."""
    configuration = Configuration()
    if kubeconfig:
        config.load_kube_config(config_file=kubeconfig, client_configuration=configuration)
    else:
        try:
            config.load_incluster_config(client_configuration=configuration)
        except config.ConfigException:
            config.load_kube_config(client_configuration=configuration)
    return Cluster(configuration)


def _document(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content or b"{}")
    except ValueError:
        document = {"message": content[:500].decode(errors="replace")}
    return document if isinstance(document, dict) else {}


def _error(status: int, document: Mapping[str, Any]) -> ClusterError:
    message = str(document.get("message") or f"The API server answered {status}.")
    if status == 409:
        return Outdated(status, message)
    # A webhook that cannot be called is said with status 500.
    if status == 429 or status >= 500:
        return Unreachable(status, message)
    return Refused(status, message)
