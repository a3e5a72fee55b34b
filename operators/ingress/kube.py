"""Speaks to the API server: lists in pages, watches line by line, patches a status.

Every request has a time limit. What an object means is not decided here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from urllib3.exceptions import HTTPError

__all__ = ["Event", "Gone", "KubeApi", "NotServed", "Unreachable"]

Document = dict[str, Any]
# "ADDED", "MODIFIED", "DELETED" or "BOOKMARK", with the object.
Event = tuple[str, Document]

PAGE = 500
CONNECT_S = 5.0
ANSWER_S = 30.0
# The server ends a watch after this, having said from where to go on; silence beyond is a dead connection.
WATCH_S = 50
SILENCE_S = WATCH_S + 15.0
LONGEST_LINE = 16 << 20


class Unreachable(Exception):
    """The API server did not answer as it should; trying again later may help."""


class NotServed(Unreachable):
    """The API server does not know the resource, e.g. before its definition is applied."""


class Gone(Exception):
    """What was known is too old to go on from: list again."""


class KubeApi:
    """One API server, with the rights of a kubeconfig or of the pod's service account."""

    def __init__(self, kubeconfig: Path | None = None) -> None:
        from kubernetes.client import ApiClient, Configuration
        from kubernetes.config import load_incluster_config, load_kube_config

        configuration = Configuration()
        if kubeconfig is None:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            load_kube_config(  # type: ignore[no-untyped-call]
                config_file=str(kubeconfig), client_configuration=configuration, persist_config=False
            )
        self._configuration = configuration
        self._rest = ApiClient(configuration).rest_client

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Document | None = None,
        seconds: float = ANSWER_S,
    ) -> Any:
        """Return the answer, its body still to be read. Raises Unreachable."""
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/merge-patch+json"
        token = self._configuration.auth_settings().get("BearerToken")
        if token and token["value"]:
            headers[token["key"]] = token["value"]
        url = f"{self._configuration.host}{path}{'?' + urlencode(query) if query else ''}"
        try:
            answer = self._rest.request(  # type: ignore[no-untyped-call]
                method, url, headers=headers, body=body, _request_timeout=(CONNECT_S, seconds)
            )
        except Exception as error:
            # The client has a class for each status, and urllib3 its own for what fails before one.
            status = getattr(error, "status", None)
            if status == 404:
                raise NotServed(f"{path} is not there") from error
            if status == 410:
                raise Gone(path) from error
            raise Unreachable(f"{method} {path}: {str(error)[:300]}") from error
        response = answer.response
        if response.status >= 300:
            said = response.read(10_000)
            response.release_conn()
            if response.status == 404:
                raise NotServed(f"{path} is not there")
            if response.status == 410:
                raise Gone(path)
            raise Unreachable(f"{method} {path}: {response.status} {said[:300]!r}")
        return response

    def _document(self, response: Any) -> Document:
        try:
            read = json.loads(response.read())
        except (HTTPError, OSError, ValueError) as error:
            raise Unreachable(f"the answer broke off: {error}") from error
        finally:
            response.release_conn()
        if not isinstance(read, dict):
            raise Unreachable("the answer is no object")
        return read

    def list_all(self, path: str, query: Mapping[str, str]) -> tuple[list[Document], str]:
        """Return all objects and the version to watch from. Raises Unreachable, Gone."""
        items: list[Document] = []
        token = ""
        while True:
            page = {**query, "limit": str(PAGE), **({"continue": token} if token else {})}
            read = self._document(self._request("GET", path, page))
            items += read.get("items") or []
            metadata = read.get("metadata") or {}
            token = metadata.get("continue") or ""
            if not token:
                return items, str(metadata.get("resourceVersion", ""))

    def watch(self, path: str, query: Mapping[str, str], version: str) -> Iterator[Event]:
        """Yield events until the server ends the watch. Raises Unreachable, Gone."""
        asked = {
            **query,
            "watch": "1",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_S),
        }
        response = self._request("GET", path, asked, seconds=SILENCE_S)
        try:
            for line in _lines(response):
                event = json.loads(line)
                kind, document = str(event["type"]), event["object"]
                if kind == "ERROR" or not isinstance(document, dict):
                    raise Gone(f"{path}: {str(document)[:300]}")
                yield kind, document
        except (HTTPError, OSError, ValueError, KeyError, TypeError) as error:
            raise Unreachable(f"the watch of {path} broke off: {error}") from error
        finally:
            # A watch that is left early has more to say: its connection is of no further use.
            response.close()

    def patch_status(self, path: str, status: Document) -> None:
        """Merge into an object's status. Raises Unreachable."""
        self._document(self._request("PATCH", f"{path}/status", body={"status": status}))


def _lines(response: Any) -> Iterator[bytes]:
    """Yield whole lines as soon as they are there."""
    rest = b""
    while piece := response.read1(1 << 16):
        rest += piece
        *lines, rest = rest.split(b"\n")
        yield from (line for line in lines if line)
        if len(rest) > LONGEST_LINE:
            raise ValueError("an event is longer than any object may be")
