"""The stream: who may listen, what is sent, where it resumes, and that losing the right ends it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from control_plane.api.event_stream import StreamApp
from control_plane.api.state import ApiOptions
from control_plane.bootstrap.streams import StreamServices
from control_plane.ports import TestCall, TestOutcome
from control_plane.services.releases import Wish
from tests.support.api import ApiWorld
from tests.support.api_fixtures import ApiPeople


class Connection:
    """One ASGI connection that hangs up when `enough` says so."""

    def __init__(self, enough: Callable[[str], bool]) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.text = ""
        self._enough = enough
        self._done = asyncio.Event()

    async def receive(self) -> Mapping[str, Any]:
        await self._done.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        self.text += message["body"].decode()
        if self._enough(self.text):
            self._done.set()


def listen(
    api: ApiWorld,
    headers: Mapping[str, str],
    *,
    path: str = "/api/v1/stream",
    query: str = "",
    enough: Callable[[str], bool] = lambda text: "retry" in text,
) -> Connection:
    parts = StreamServices(api.world.sessions, api.world.events, api.world.run_watch, api.world.releases)
    app = StreamApp(parts, ApiOptions(), poll_s=0.01)
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }

    async def run() -> Connection:
        connection = Connection(enough)
        answer: Awaitable[None] = app(scope, connection.receive, connection.send)
        await asyncio.wait_for(answer, timeout=20)
        return connection

    return asyncio.run(run())


def bearer(api: ApiWorld, actor: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {api.world.tokens.create(actor, name='stream').text}"}


def events_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith('data: {"seq')]


def test_events_come_in_order_and_resume_behind_the_last_one(api: ApiWorld, people: ApiPeople) -> None:
    for name in ("a", "b", "c"):
        api.world.functions.create(people.author, project="main", name=name)
    while api.world.events.sequence():
        pass
    headers = bearer(api, people.owner)
    whole = listen(api, headers, query="after=0", enough=lambda text: '"name": "c"' in text)
    assert (whole.status, whole.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert whole.headers["x-content-type-options"] == "nosniff"
    events = events_of(whole.text)
    assert [event["sequence"] for event in events] == sorted(event["sequence"] for event in events)
    third_last = events[-3]["sequence"]
    rest = listen(api, {**headers, "Last-Event-ID": str(third_last)}, enough=lambda text: '"c"' in text)
    assert events_of(rest.text) == events[-2:]


def test_without_a_position_only_what_is_new_comes(api: ApiWorld, people: ApiPeople) -> None:
    while api.world.events.sequence():
        pass
    assert events_of(listen(api, bearer(api, people.owner)).text) == []


@pytest.mark.parametrize(
    ("site", "status"),
    [("same-origin", 200), ("none", 200), ("same-site", 401), ("cross-site", 401), ("", 401)],
)
def test_the_cookie_opens_a_stream_for_the_own_page_alone(
    api: ApiWorld, people: ApiPeople, site: str, status: int
) -> None:
    opened = api.world.sessions.login(email="owner@acme.example", password="a rather long sentence")
    headers = {"Cookie": f"other=1; ingot_session_8080={opened.text}", "Sec-Fetch-Site": site}
    assert listen(api, headers, enough=bool).status == status


def test_refusals_are_problem_documents(api: ApiWorld, people: ApiPeople) -> None:
    for headers, path, status in [
        ({}, "/api/v1/stream", 401),
        ({"Authorization": "Basic x"}, "/api/v1/stream", 401),
        (bearer(api, people.owner), "/api/v1/stream/other", 404),
    ]:
        answer = listen(api, headers, path=path, enough=bool)
        assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
        assert json.loads(answer.text)["status"] == status


def test_a_stream_asks_nothing_while_nothing_happens(api: ApiWorld, people: ApiPeople) -> None:
    while api.world.events.sequence():
        pass
    asked: list[int] = []
    after = api.world.events.after
    marks = api.world.events.marks
    looks: list[int] = []

    def counted_after(*arguments: Any, **options: Any) -> Any:
        asked.append(1)
        return after(*arguments, **options)

    def counted_marks(before: Any) -> Any:
        looks.append(1)
        if len(looks) == 10:
            api.world.functions.create(people.author, project="main", name="news")
            while api.world.events.sequence():
                pass
        return marks(before)

    api.world.events.after, api.world.events.marks = counted_after, counted_marks  # type: ignore[method-assign]
    heard = listen(api, bearer(api, people.owner), enough=lambda text: '"news"' in text)
    assert [event["data"]["name"] for event in events_of(heard.text)] == ["news"]
    # Once when it began, and for what came: the audit entry and the event's place are two moments.
    assert len(looks) >= 10
    assert len(asked) <= 3


def test_losing_the_session_ends_the_stream(api: ApiWorld, people: ApiPeople) -> None:
    made = api.world.tokens.create(people.owner, name="stream")
    started: list[int] = []

    def revoke(text: str) -> bool:
        if "retry" in text and not started:
            started.append(1)
            api.world.tokens.revoke(people.owner, made.token.id)
        return False

    ended = listen(api, {"Authorization": f"Bearer {made.text}"}, enough=revoke)
    assert ended.text.endswith("event: end\ndata: {}\n\n")


def test_another_organization_s_events_never_come(api: ApiWorld, people: ApiPeople) -> None:
    from tests.api.test_access import make_stranger

    api.world.functions.create(people.author, project="main", name="private")
    stranger = make_stranger(api)
    while api.world.events.sequence():
        pass
    heard = listen(api, bearer(api, stranger), query="after=0", enough=lambda text: "retry" in text)
    assert "private" not in heard.text


def test_the_status_of_a_functions_releases_is_sent_whenever_it_changes(
    api: ApiWorld, people: ApiPeople
) -> None:
    world = api.world
    version = world.frozen(people.author)
    world.approved(people.author, people.reviewer, version)
    path = "/api/v1/stream/functions/orders/releases"
    begun: list[str] = []

    def enough(text: str) -> bool:
        shown = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
        if shown and not begun:
            begun.append("released")
            world.releases.apply(people.operator, "orders", [Wish(1, 100)])
        elif shown and shown[-1]["pending"]:
            world.settle()
        return bool(shown and shown[-1]["live"])

    heard = listen(api, bearer(api, people.operator), path=path, enough=enough)
    shown = [json.loads(line[6:]) for line in heard.text.splitlines() if line.startswith("data: ")]
    assert [(one["newest"] or {}).get("state") for one in shown] == [None, "pending", "live"]
    assert heard.text.count("event: status") == 3
    last = [line[4:] for line in heard.text.splitlines() if line.startswith("id: ")][-1]
    resumed = listen(api, {**bearer(api, people.operator), "Last-Event-ID": last}, path=path)
    assert "event: status" not in resumed.text
    refused = listen(api, bearer(api, people.operator), path=path.replace("orders", "none"), enough=bool)
    assert refused.status == 404


def test_a_run_s_logs_come_as_they_are_written_and_then_its_end(api: ApiWorld, people: ApiPeople) -> None:
    world = api.world
    name = world.drafted(people.author)
    world.run_executor.held = True
    run = world.test_runs.start(people.author, name, TestCall("POST", "/", (), b"", 1_000))
    world.runtime.logs[run.id] = ({"message": "one"},)
    world.runtime.outcome = TestOutcome(status=201, logs=({"message": "one"}, {"message": "two"}))

    def enough(text: str) -> bool:
        if '"one"' in text:
            world.run_executor.release()
        return False

    path = f"/api/v1/stream/functions/{name}/test-runs/{run.id}"
    heard = listen(api, bearer(api, people.reviewer), path=path, enough=enough)
    kinds = [line.partition(": ")[2] for line in heard.text.splitlines() if line.startswith("event: ")]
    assert kinds == ["log", "log", "finished"]
    assert '"status": 201' in heard.text
    again = listen(api, {**bearer(api, people.reviewer), "Last-Event-ID": "1"}, path=path, enough=bool)
    assert '"one"' not in again.text
    assert '"two"' in again.text


def test_a_run_of_another_organization_is_not_there(api: ApiWorld, people: ApiPeople) -> None:
    from tests.api.test_access import make_stranger

    name = api.world.drafted(people.author)
    run = api.world.test_runs.run(people.author, name, TestCall("POST", "/", (), b"", 1_000))
    stranger = bearer(api, make_stranger(api))
    path = f"/api/v1/stream/functions/{name}/test-runs/{run.id}"
    assert listen(api, stranger, path=path, enough=bool).status == 404
