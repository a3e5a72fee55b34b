"""One whole journey by the API: from a draft to a counted call, through kills and restarts, to the end."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.bench.functions import run_folder
from tests.e2e.neighbour import descendants
from tests.support.system import System, running_system, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_ROOT = Path(__file__).resolve().parents[2]
_CONTRACT = {
    "input": {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 20}},
        "required": ["name"],
        "additionalProperties": False,
    },
    "output": {"type": "object"},
}
_MANIFEST = "handler = 'main:execute'\n[limits]\nmemory_mb = 64\ninstances = 2\n"


def source(version: int) -> dict[str, str]:
    return {
        "ingot.toml": _MANIFEST,
        "contract.json": json.dumps(_CONTRACT),
        "main.py": (
            f"VERSION = {version}\n\n\ndef execute(input, context):\n"
            "    context.logger.info('greeting')\n"
            "    return {'hello': input['name'], 'version': VERSION}\n"
        ),
    }


class Journey:
    """The system and what the caller counted."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.keys: dict[str, str] = {}
        # Every answer of the functions' origin for `greet`, as the caller saw it.
        self.answers: Counter[int] = Counter()

    def call(
        self, path: str = "greet", key: str = "main", body: Any = None, **headers: str
    ) -> httpx.Response:
        """Call with a key of ours, by its name here."""
        body = {"name": "Ada"} if body is None else body
        sent = {"X-Api-Key": self.keys.get(key, key)} if key else {}
        answer = httpx.post(
            f"{self.system.functions}/acme/{path}", json=body, headers=sent | headers, timeout=60
        )
        if path.partition("@")[0] == "greet":
            self.answers[answer.status_code] += 1
        return answer

    def refused(self, status: int, code: str, **options: Any) -> httpx.Response:
        """AssertionError unless a call is refused exactly so."""
        answer = self.call(**options)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == code
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
        return answer


@pytest.fixture(scope="module")
def journey() -> Iterator[Journey]:
    with running_system() as system:
        yield Journey(system)


def test_a_draft_is_tried_frozen_and_compared(journey: Journey) -> None:
    system, author = journey.system, journey.system.people["author"]
    first = system.freeze("greet", source(1))
    again = system.freeze("greet", source(1))
    assert (again["number"], again["digest"]) == (first["number"], first["digest"])
    run = author.call(
        "POST",
        "/functions/greet/draft/test-runs",
        json={
            "headers": [["Content-Type", "application/json"]],
            "body": base64.b64encode(b'{"name": "Ada"}').decode(),
        },
    )
    assert run["status"] == 200, run
    assert json.loads(base64.b64decode(run["body"])) == {"hello": "Ada", "version": 1}
    assert [record["message"] for record in run["logs"]] == ["greeting"]
    second = system.freeze("greet", source(2))
    assert second["digest"] != first["digest"]
    diff = author.call("GET", "/functions/greet/versions/2/diff?base=1")
    assert "main.py" in json.dumps(diff)
    assert "VERSION = 2" in json.dumps(diff)


def test_nobody_approves_alone_or_what_was_not_seen(journey: Journey) -> None:
    people = journey.system.people
    versions = {
        one["number"]: one for one in people["author"].call("GET", "/functions/greet/versions")["items"]
    }
    asked = people["author"].call("POST", "/functions/greet/reviews", json={"version": 1})
    approve = f"/reviews/{asked['id']}/approve"
    seen = {"digest": versions[1]["digest"]}
    refused = people["author"].call("POST", approve, expect=403, json=seen)
    assert refused["code"] in {"four_eyes", "forbidden"}
    stale = people["reviewer"].call("POST", approve, expect=412, json={"digest": versions[2]["digest"]})
    assert stale["code"] == "precondition_failed"
    early = people["owner"].call("POST", "/functions/greet/releases", expect=409, json={"version": 1})
    assert early["code"] == "release_refused"
    assert "approval_missing" in json.dumps(early["errors"])
    people["reviewer"].call("POST", approve, json=seen)
    assert people["owner"].call("GET", f"/reviews/{asked['id']}")["state"] == "approved"
    journey.system.release("greet", 1)


def test_keys_open_what_they_are_made_for(journey: Journey) -> None:
    system = journey.system
    system.publish("other", {"ingot.toml": "", "main.py": "def execute(input, context):\n    return 1\n"})
    journey.keys = {
        "main": system.key("main"),
        "other": system.key("other", functions=["other"]),
        "slow": system.key("slow", rate_10s=3),
        "gone": system.key("gone"),
    }
    for key in ("main", "slow", "gone"):
        system.wait_callable("other", journey.keys[key])
    assert journey.call().json() == {"hello": "Ada", "version": 1}
    journey.refused(401, "key_missing", key="")
    journey.refused(401, "key_unknown", key="ingk_nobody")
    journey.refused(403, "key_scope", key="other")
    invalid = journey.refused(422, "input_invalid", body={"name": 7})
    assert [error["pointer"] for error in invalid.json()["errors"]] == ["/name"]
    missing = journey.refused(422, "input_invalid", body={})
    assert [error["pointer"] for error in missing.json()["errors"]] == ["/name"]
    assert missing.json()["fault"] == "caller"
    limited = [journey.call("greet", "slow") for _ in range(6)][-1]
    assert limited.status_code == 429
    assert limited.json()["code"] == "rate_limited"
    assert 1 <= int(limited.headers["retry-after"]) <= 10
    assert journey.call("nothing").json()["code"] == "no_such_function"


def test_a_canary_gets_its_part_and_versions_can_be_named(journey: Journey) -> None:
    system = journey.system
    version = system.people["author"].call("GET", "/functions/greet/versions/2")
    system.approve("greet", version)
    system.release("greet", 2, percent=10)
    seen = Counter(journey.call().json()["version"] for _ in range(400))
    # 40 are expected; fewer than 15 or more than 75 come once in a million runs.
    assert 15 <= seen[2] <= 75, seen
    assert seen[1] + seen[2] == 400
    assert {journey.call("greet@1").json()["version"] for _ in range(5)} == {1}
    assert {journey.call("greet@2").json()["version"] for _ in range(5)} == {2}
    assert {journey.call("greet@canary").json()["version"] for _ in range(5)} == {2}
    assert journey.call("greet@7").status_code == 404


def test_a_rollback_needs_no_review_and_no_build(journey: Journey) -> None:
    owner = journey.system.people["owner"]
    journey.system.release("greet", 2)
    assert {journey.call().json()["version"] for _ in range(20)} == {2}
    made = owner.call("POST", "/functions/greet/releases/rollback", json={"release": 1})
    journey.system.wait_live("greet", made["number"])
    assert {journey.call().json()["version"] for _ in range(20)} == {1}


def test_a_revoked_key_is_dead_within_two_seconds(journey: Journey) -> None:
    owner = journey.system.people["owner"]
    (key,) = [one for one in owner.call("GET", "/projects/main/api-keys")["items"] if one["name"] == "gone"]
    assert journey.call("other", "gone").status_code == 200
    owner.call("DELETE", f"/api-keys/{key['id']}")
    began = time.monotonic()
    wait_for(lambda: journey.call("other", "gone").status_code == 401, 5, 0.02)
    assert time.monotonic() - began <= 2


def check_counted(journey: Journey) -> None:
    """AssertionError unless usage says exactly what the caller saw, and all records agree."""
    owner = journey.system.people["owner"]
    total = sum(journey.answers.values())

    def row() -> dict[str, Any]:
        rows = owner.call("GET", "/usage?group_by=function&days=2")["items"]
        return next((one for one in rows if one["label"] == "greet"), {"calls": 0})

    wait_for(lambda: row()["calls"] >= total - sum(journey.answers[code] for code in (404,)), 10, 0.1)
    time.sleep(0.5)
    listed: Counter[int] = Counter()
    cursor = ""
    while True:
        page = owner.call("GET", f"/invocations?function=greet&limit=100{cursor}")
        listed.update(one["status"] for one in page["items"])
        if not page["next_cursor"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert {code: count for code, count in listed.items() if code != 404} == {
        code: count for code, count in journey.answers.items() if code != 404
    }
    assert row()["calls"] == sum(listed.values())
    assert owner.call("GET", "/audit/verification")["intact"]


def test_usage_is_counted_exactly_and_the_audit_is_intact(journey: Journey) -> None:
    check_counted(journey)
    found = wait_for(lambda: reconciled(journey), 30, 0.5)
    assert found["agrees"]


def reconciled(journey: Journey) -> dict[str, Any] | None:
    found: dict[str, Any] = journey.system.people["owner"].call("GET", "/usage/reconciliation?hours=2")
    return found if found["agrees"] else None


def up(system: System, data: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "control_plane.cli.main", "up", "--data", str(data)]
    return subprocess.run(
        command,
        cwd=_ROOT,
        env=system.environment | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_second_start_says_what_is_in_its_way(journey: Journey) -> None:
    system = journey.system
    assert system.process is not None
    again = up(system, system.data)
    assert again.returncode != 0
    assert f"Ingot is already running on {system.data}, pid {system.process.pid}." in again.stderr
    assert "ingot down" in again.stderr
    taken = up(system, system.folder / "second")
    assert taken.returncode != 0
    assert (
        f"Port {system.console_port} of 127.0.0.1 cannot be opened: another program uses it." in taken.stderr
    )
    assert f"INGOT_LISTEN_CONSOLE_PORT={system.console_port + 1000} make up" in taken.stderr
    assert journey.call().status_code == 200


def test_every_role_comes_back_from_a_kill(journey: Journey) -> None:
    system = journey.system
    for role in list(system.roles()):
        before = system.kill(role)
        wait_for(functools.partial(is_back, system, role, before), 30)
        # The lease may lapse for a moment while the meter is away; nothing else may fail for long.
        wait_for(lambda: journey.call("other").status_code == 200, 15, 0.1)
        wait_for(lambda: alive(system.people["owner"].http), 15, 0.1)
    system.publish(
        "after-kills", {"ingot.toml": "", "main.py": "def execute(input, context):\n    return 2\n"}
    )
    wait_for(lambda: journey.call("after-kills").status_code == 200)
    check_counted(journey)


def is_back(system: System, role: str, before: int) -> bool:
    found = system.roles()[role]
    return bool(found["ready"]) and found["pid"] != before


def alive(http: httpx.Client) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return http.get("/api/v1/me").status_code == 200
    return False


def remembered(journey: Journey) -> dict[str, Any]:
    """Return what must be the same after a restart."""
    owner = journey.system.people["owner"]
    paths = ("/functions", "/members", "/reviews", "/projects/main/api-keys", "/functions/greet/releases")
    found = {path: owner.call("GET", path) for path in paths}
    found["audit"] = owner.call("GET", "/audit/verification")["entries"]
    return found


def test_a_restart_keeps_everything(journey: Journey) -> None:
    system = journey.system
    before = remembered(journey)
    assert system.process is not None
    for person in system.people.values():
        person.http.close()
    system.process.terminate()
    assert system.process.wait(60) == 0
    system.start()
    reopen(system)
    assert remembered(journey) == before
    wait_for(lambda: journey.call("other").status_code == 200)
    assert journey.call().json() == {"hello": "Ada", "version": 1}
    check_counted(journey)


def reopen(system: System) -> None:
    for person in system.people.values():
        headers = person.http.headers
        person.http = httpx.Client(base_url=system.console, headers=headers, timeout=120)


def test_the_next_start_converges_after_the_supervisor_was_killed(journey: Journey) -> None:
    system = journey.system
    before = remembered(journey)
    assert system.process is not None
    below = descendants(system.process.pid)
    assert len(below) > 6
    system.process.send_signal(signal.SIGKILL)
    system.process.wait()
    system.start(90)
    # Nothing of the killed one lives on; what functions had started may still be on its way out.
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below), 15)
    assert remembered(journey) == before
    wait_for(lambda: journey.call("other").status_code == 200)
    assert journey.call().json() == {"hello": "Ada", "version": 1}
    check_counted(journey)


def groups_of(pids: set[int]) -> set[Path]:
    """Return the folders below which the host groups what it limits, of processes that are in one."""
    found = set()
    for pid in pids:
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            parts = Path(path).parts
            for number, part in enumerate(parts):
                if part.startswith("ingot-"):
                    found.add(Path("/sys/fs/cgroup", controllers, *parts[1 : number + 1]))
    return found


def test_down_leaves_nothing_behind(journey: Journey) -> None:
    system = journey.system
    assert system.process is not None
    journey.call()
    run = Path(run_folder(system))
    groups = groups_of(descendants(system.process.pid))
    assert all(group.is_dir() for group in groups)
    below = descendants(system.process.pid)
    for person in system.people.values():
        person.http.close()
    command = [sys.executable, "-m", "control_plane.cli.main", "down", "--data", str(system.data)]
    done = subprocess.run(
        command, cwd=_ROOT, env=system.environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Stopped." in done.stdout
    assert system.process.wait(20) == 0
    wait_for(lambda: not [pid for pid in below if Path(f"/proc/{pid}").exists()], 10)
    assert str(system.data) not in Path("/proc/self/mounts").read_text()
    assert [path for path in run.rglob("*") if path.is_socket()] == []
    wait_for(lambda: not [group for group in groups if group.exists()], 5)
    for port in (system.console_port, system.functions_port):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
    system.process = None
    assert (system.data / "db" / "control.db").exists()
