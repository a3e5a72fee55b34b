"""The real application over the test world, and clients for the people in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from apiflask import APIFlask
from flask.testing import FlaskClient
from sqlalchemy import Engine

from control_plane.api.app import create_app
from control_plane.api.state import ApiOptions
from control_plane.domain.identity import Actor
from control_plane.ports import Built
from control_plane.services.container import Services
from control_plane.services.health import Health
from control_plane.services.idempotency import Idempotency
from control_plane.services.invocations import Invocations
from control_plane.services.logs import Logs
from control_plane.services.monitor import Monitor
from control_plane.services.reruns import Reruns
from control_plane.services.usage import Usage
from control_plane.store.invocation_queries import InvocationReader
from control_plane.store.series_queries import SeriesReader
from control_plane.store.usage_queries import UsageReader
from tests.support.builders import World
from tests.support.fake_logs import FakeLogs

__all__ = ["ORIGIN", "ApiWorld", "Person"]

ORIGIN = "http://127.0.0.1:8080"


class Person:
    """A client that sends one person's token."""

    def __init__(self, client: FlaskClient, token: str) -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def send(self, method: str, path: str, **more: Any) -> Any:
        """Send a request below /api/v1, or to an absolute path."""
        headers = {**self._headers, **more.pop("headers", {})}
        target = path[1:] if path.startswith("//") else f"/api/v1{path}"
        return self._client.open(target, method=method, headers=headers, **more)

    def get(self, path: str, **more: Any) -> Any:
        return self.send("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> Any:
        return self.send("POST", path, json=body if body is not None else {}, **more)

    def put(self, path: str, body: Any = None, **more: Any) -> Any:
        return self.send("PUT", path, json=body, **more)

    def delete(self, path: str, **more: Any) -> Any:
        return self.send("DELETE", path, **more)


class ApiWorld:
    """One application with its services."""

    def __init__(self, world: World, usage: Engine, options: ApiOptions | None = None) -> None:
        self.world, self.usage, self.logs = world, usage, FakeLogs()
        _keep_sboms(world)
        self.services = make_services(world, usage, self.logs)
        self.app: APIFlask = create_app(
            self.services, options or ApiOptions(cursor_key=b"cursor key of the tests")
        )

    def client(self) -> Any:
        """Return a browser-like client with a jar of its own."""
        return self.app.test_client()

    def nobody(self) -> Person:
        """Return a client without credentials."""
        return Person(self.app.test_client(use_cookies=False), "")

    def person(self, actor: Actor) -> Person:
        """Return a client with a fresh token of the actor."""
        made = self.world.tokens.create(actor, name="test")
        return Person(self.app.test_client(use_cookies=False), made.text)


def _keep_sboms(world: World) -> None:
    """Let every build leave an SBOM that can be downloaded."""
    build = world.builder.build

    def build_with_sbom(files: Mapping[str, bytes], lock: str) -> Built:
        return replace(build(files, lock), sbom=world.blobs.put(b'{"bomFormat":"CycloneDX"}'))

    world.builder.build = build_with_sbom  # type: ignore[method-assign]


def make_services(world: World, usage: Engine, logs: FakeLogs) -> Services:
    """Return the services as the application takes them."""
    return Services(
        access=world.access,
        accounts=world.accounts,
        api_keys=world.api_keys,
        audit=world.audit,
        departments=world.departments,
        drafts=world.drafts,
        events=world.events,
        evidence=world.evidence,
        exports=world.exports,
        files=world.files,
        functions=world.functions,
        health=Health(world.changes, {"usage database": UsageReader(usage).answers}),
        idempotency=Idempotency(world.changes, world.sealer),
        imports=world.imports,
        invocations=Invocations(world.changes, InvocationReader(usage), logs),
        logs=Logs(world.changes, logs),
        market=world.market,
        members=world.members,
        monitor=Monitor(world.changes, SeriesReader(usage)),
        organizations=world.organizations,
        packages=world.packages,
        previews=world.previews,
        projects=world.projects,
        releases=world.releases,
        reruns=Reruns(world.changes, InvocationReader(usage), world.runtime),
        review_lists=world.review_lists,
        reviews=world.reviews,
        sessions=world.sessions,
        settings=world.settings,
        sharing=world.sharing,
        test_runs=world.test_runs,
        takedowns=world.takedowns,
        tokens=world.tokens,
        usage=Usage(UsageReader(usage)),
        versions=world.versions,
    )
