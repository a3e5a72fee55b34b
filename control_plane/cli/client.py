"""The CLI's HTTP client: time-outs, the token, and problem documents turned into failures.

Every command goes through here; nothing else in the CLI imports httpx.
"""

from __future__ import annotations

import json as json_module
from collections.abc import Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any
from uuid import uuid4

from control_plane.cli.failures import ApiProblem, ExitCode, Failure
from control_plane.cli.profiles import Profile

if TYPE_CHECKING:
    import httpx

__all__ = ["Client", "Unreachable"]

_API = "/api/v1"


class Client:
    """Speaks to one server as one person."""

    def __init__(self, profile: Profile, timeout_s: float = 60.0) -> None:
        import httpx

        self.profile = profile
        if not profile.url.startswith(("http://", "https://")):
            raise _unusable(profile.url, "it does not begin with http:// or https://")
        headers = {"User-Agent": "ingot-cli", "Accept": "application/json"}
        if profile.token:
            headers["Authorization"] = f"Bearer {profile.token}"
        try:
            self._http = httpx.Client(
                base_url=profile.url,
                headers=headers,
                timeout=httpx.Timeout(timeout_s, connect=5.0),
                follow_redirects=False,
                # A proxy from the environment would see the token of a loopback server.
                trust_env=False,
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise _unusable(profile.url, str(error)) from error

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **params: Any) -> Any:
        """Return the JSON answer of a read."""
        return self.send("GET", path, params=params).json()

    def post(self, path: str, body: Any = None) -> Any:
        """Return the JSON answer of an action."""
        answer = self.send("POST", path, json=body if body is not None else {})
        return answer.json() if answer.content else None

    def create(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Any:
        """Return the JSON answer of a creation; a broken connection is tried once more.

        The idempotency key makes sure that the second try creates nothing twice.
        """
        sent = {"Idempotency-Key": str(uuid4()), **(headers or {})}
        try:
            return self.send("POST", path, json=body, headers=sent).json()
        except Unreachable:
            return self.send("POST", path, json=body, headers=sent).json()

    def edit(self, path: str, body: Any) -> Any:
        """Change what `path` names in the state that it has now; return it changed."""
        seen = self.send("GET", path).headers["ETag"]
        return self.send("PATCH", path, json=body, headers={"If-Match": seen}).json()

    def delete(self, path: str, *, headers: Mapping[str, str] | None = None) -> None:
        """Remove or revoke what `path` names."""
        self.send("DELETE", path, headers=headers)

    def pages(self, path: str, limit: int = 0, **params: Any) -> Iterator[dict[str, Any]]:
        """Yield the items of a list over all its pages, at most `limit` when not 0."""
        cursor: str | None = None
        left = limit
        while True:
            size = min(100, left) if limit else 100
            answer = self.get(path, limit=size, cursor=cursor, **params)
            yield from answer["items"]
            left -= len(answer["items"])
            cursor = answer.get("next_cursor")
            if cursor is None or (limit and left <= 0):
                return

    def listen(self, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (type, data) of a stream's events until it ends."""
        import httpx

        try:
            with self._http.stream("GET", _API + path, timeout=httpx.Timeout(60.0, connect=5.0)) as answer:
                if not answer.is_success:
                    answer.read()
                    raise _problem(answer)
                kind = ""
                for line in answer.iter_lines():
                    field, _, value = line.partition(": ")
                    if field == "event":
                        kind = value
                    elif field == "data" and kind != "end":
                        yield kind, json_module.loads(value)
        except httpx.TransportError as error:
            raise Unreachable(self.profile.url, error) from error

    def copy(self, path: str, sink: IO[bytes], headers: Mapping[str, str]) -> None:
        """Write the body of an answer to `sink` as it comes: at its end for a part, else from its start.

        Raises Unreachable when the line breaks; what has come until then stays.
        """
        import httpx

        try:
            with self._http.stream("GET", _API + path, headers=dict(headers)) as answer:
                if not answer.is_success:
                    answer.read()
                    raise _problem(answer)
                if answer.status_code != httpx.codes.PARTIAL_CONTENT:
                    sink.seek(0)
                    sink.truncate()
                for piece in answer.iter_bytes():
                    sink.write(piece)
        except httpx.TransportError as error:
            raise Unreachable(self.profile.url, error) from error

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        content: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send one request to the API and return a successful answer, or raise a Failure."""
        import httpx

        # An empty query would take the place of the one that a signed address has.
        wanted = {name: value for name, value in (params or {}).items() if value is not None}
        try:
            answer = self._http.request(
                method,
                _API + path,
                params=wanted or None,
                json=json,
                content=content,
                headers=dict(headers or {}),
            )
        except httpx.TimeoutException as error:
            raise Failure(
                f"{self.profile.url} did not answer in time.",
                hint="The work may still be running; look at its status before you try again.",
                exit_code=ExitCode.UNAVAILABLE,
            ) from error
        except httpx.TransportError as error:
            raise Unreachable(self.profile.url, error) from error
        if answer.is_success:
            return answer
        raise _problem(answer)


class Unreachable(Failure):
    """The connection was refused or broke before an answer came."""

    def __init__(self, url: str, error: Exception) -> None:
        super().__init__(
            f"{url} cannot be reached: {error}.",
            hint="Start Ingot with `ingot up`, or name the server with --url or INGOT_URL.",
            exit_code=ExitCode.UNAVAILABLE,
        )


def _unusable(url: str, why: str) -> Failure:
    return Failure(
        f"“{url}” is not a usable address: {why}.",
        hint="Give an address such as http://127.0.0.1:8080.",
        exit_code=ExitCode.USAGE,
    )


def _problem(answer: httpx.Response) -> ApiProblem:
    try:
        body = answer.json()
    except ValueError:
        body = {}
    if not isinstance(body, dict):
        body = {}
    if answer.status_code == 401 and not body.get("hint"):
        body = {**body, "hint": "Run `ingot login`, or set INGOT_TOKEN."}
    body.setdefault("request_id", answer.headers.get("X-Request-Id", ""))
    return ApiProblem(answer.status_code, body)
