"""Every named threat against a whole running Ingot at each isolation level; a neighbour misses no call."""

from __future__ import annotations

import functools
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.bench.functions import ask_host, make_idle, target_of, template_ready
from tests.e2e.failing_functions import CRASHING_AT_IMPORT, FAILING
from tests.e2e.hostile_archives import hostile_archives
from tests.e2e.hostile_functions import ANSWERING, CANARY, Probe, probe
from tests.e2e.importing_functions import IMPORTING
from tests.e2e.neighbour import Neighbour, descendants, facts_of
from tests.sandbox import probes
from tests.sandbox.test_probes import NOT_PROMISED
from tests.support.system import System, running_system, wait_for

# What `tests/sandbox` asks with a driver's limits, asked in an instance of the running host.
WITH_DRIVER = ("deny_descriptors", "deny_fork_bomb", "deny_fill_tmp", "deny_fill_inodes",
               "deny_descriptor_exhaustion", "deny_large_memory", "deny_stale_tmp")  # fmt: skip
EVERY_CALL = """
import json, os, probes, socket, stat

def execute(input, context):
    probes.HOST.update(input["host"])
    for number in range(3, 1024):
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                found = socket.socket(fileno=number)
                if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    probes.HOST["listener"] = number
                found.detach()
        except OSError:
            pass
    probes.HOST["own_layers"] = [os.path.dirname(__file__)]
    found = {}
    for name in input["names"]:
        try:
            found[name] = getattr(probes, name)()
        except OSError as error:
            found[name] = f"refused {error}"
        except Exception as error:
            found[name] = f"raised {error!r}"
    return found
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ORDINARY_USER = 1000
LEVELS = [(user, level) for user in ("root", "ordinary") for level in ("namespaces", "landlock")]


def mounts() -> list[str]:
    """Return what is mounted, but for the pods of a cluster that runs on this machine too."""
    return [
        line for line in Path("/proc/self/mounts").read_text().splitlines() if "/ingot-cluster/" not in line
    ]


class World:
    """A running Ingot, its honest neighbour, and what both looked like before anything hostile ran."""

    def __init__(self, system: System, level: str, abstract: str) -> None:
        self.system, self.level = system, level
        self.neighbour = Neighbour(system)
        self.key = system.key("hostile")
        self.facts = facts_of(system, self.neighbour, abstract)
        self.level2 = ask_host(system, "status")["level2"] == "on"
        self.roles = system.roles()
        self.mounts = mounts()
        self.others: int = wait_for(self._settled)

    def call(self, name: str) -> httpx.Response:
        return httpx.post(
            self.system.url(name), json=self.facts, headers={"X-Api-Key": self.key}, timeout=100
        )

    def log(self, name: str) -> str:
        found = self.system.people["author"].call("GET", f"/functions/{name}/logs?limit=1000")
        return json.dumps(found["items"])

    def check_untouched(self) -> None:
        """AssertionError unless the neighbour missed nothing and no process of Ingot's own ended."""
        self.neighbour.still_serves()
        now = self.system.roles()
        assert now == self.roles, now

    def take_down(self, name: str) -> None:
        """Remove the function; that nothing of it is left is looked at once, at the end."""
        self.system.people["owner"].call("DELETE", f"/functions/{name}")

    def surplus(self) -> int:
        """Return how many more processes there are below the supervisor than before, and nobody's.

        Counted, not compared: a template that an attack on the user's process
        limit ended is replaced by another one, which is no leftover.
        """
        return self._others() - self.others

    def _others(self) -> int:
        """Return how many processes are neither an instance nor of a warm template."""
        assert self.system.process is not None
        status = ask_host(self.system, "status")
        instances = sum(len(target["instances"]) for target in status["targets"].values())
        # A warm template has an init of its own.
        warm = 2 * sum(1 for one in status["templates"] if one["level"] == 2 and one["state"] != "unfit")
        known = instances + warm + int(status["standbys"])
        return len(descendants(self.system.process.pid)) - known

    def _settled(self) -> int | None:
        before = self._others()
        time.sleep(0.5)
        return before if before == self._others() else None


@pytest.fixture(scope="module", params=LEVELS, ids="-".join)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    user, level = request.param
    if os.geteuid() != 0:
        pytest.skip("only root can be both")
    with socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("")
        abstract.listen(8)
        name = abstract.getsockname().hex()
        ordinary = ORDINARY_USER if user == "ordinary" else None
        with running_system(user=ordinary, INGOT_HOST_ISOLATION=level, CANARY_OF_HOST=CANARY) as system:
            found = World(system, level, name)
            assert ask_host(system, "status")["isolation"] == level
            try:
                yield found
            finally:
                found.neighbour.stop()
                neighbour = found.neighbour
                print(f"\n{user}-{level}: {neighbour.calls} calls, slowest {neighbour.slowest_s:.3f} s")


def name_of(probe: Probe) -> str:
    return "h-" + "".join(letter if letter.isalnum() else "-" for letter in probe.name.lower())[:36].strip(
        "-"
    )


def files_of(probe: Probe, facts: Mapping[str, Any]) -> dict[str, str]:
    limits = {"memory_mb": 128, "timeout_ms": 20_000, "instances": 2} | probe.limits
    lines = "".join(f"{name} = {value}\n" for name, value in limits.items())
    manifest = f"handler = 'main:execute'\n{probe.manifest}\n[limits]\n{lines}"
    return {"ingot.toml": manifest, "main.py": probe.source, "facts.json": json.dumps(facts)}


def check_answer(probe: Probe, answer: httpx.Response) -> None:
    """AssertionError unless the caller sees no leak, or a clear problem."""
    assert answer.status_code in probe.statuses, answer.text[:1000]
    if answer.status_code == 200:
        if "json" in answer.headers["content-type"]:
            assert answer.json()["leaks"] == []
        return
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] in probe.codes, problem
    assert problem["fault"] in {"author", "platform"}
    assert problem["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("probe", [*ANSWERING, *FAILING], ids=lambda probe: probe.name)
def test_an_attack_ends_in_no_leak_or_a_clear_problem(world: World, probe: Probe) -> None:
    name = name_of(probe)
    world.system.publish(name, files_of(probe, world.facts))
    target = target_of(world.system, name)
    check_answer(probe, world.call(name))
    # Once more in a fork of the code that a template has imported.
    if world.level2 and world.system.people:
        make_idle(world.system, target)
        wait_for(lambda: template_ready(world.system, target) or refused_template(world, target))
        check_answer(probe, world.call(name))
    if probe.log:
        wait_for(lambda: any(word in world.log(name) for word in probe.log), 10, 0.1)
    world.check_untouched()
    world.take_down(name)
    world.check_untouched()


def refused_template(world: World, target: str) -> bool:
    """Say whether the host gave up a level-2 template for this target."""
    templates = ask_host(world.system, "status")["templates"]
    return any(one.get("target") == target and one["state"] not in ("starting", "ready") for one in templates)


@pytest.mark.parametrize("probe", IMPORTING, ids=lambda probe: probe.name)
def test_hostile_imports_harm_their_own_function_at_most(world: World, probe: Probe) -> None:
    name = name_of(probe)
    version = world.system.freeze(name, files_of(probe, world.facts))
    world.system.approve(name, version)
    owner = world.system.people["owner"]
    made = owner.call("POST", f"/functions/{name}/releases", json={"version": version["number"]})
    found = wait_for(lambda: decided(world, name, made["number"]), 120, 0.1)
    if found["state"] == "live":
        for _ in range(3):
            check_answer(probe, world.call(name))
            ask_host(world.system, "retire", target=target_of(world.system, name))
            time.sleep(1)
    else:
        assert reason(found)
    world.check_untouched()
    world.take_down(name)
    world.check_untouched()


def decided(world: World, name: str, release: int) -> dict[str, Any] | None:
    found: dict[str, Any] = world.system.people["owner"].call("GET", f"/functions/{name}/releases/{release}")
    return found if found["state"] != "pending" else None


def reason(release: Mapping[str, Any]) -> str:
    (code,) = [one["reason"] for one in release["conditions"] if one["type"] == "Failed" and one["status"]]
    return str(code)


def test_system_calls_are_refused_in_a_running_instance(world: World) -> None:
    files = files_of(probe("every call", EVERY_CALL), {})
    files["main.py"] = EVERY_CALL
    files["probes.py"] = Path(probes.__file__).read_text()
    world.system.publish("h-calls", files)
    target = target_of(world.system, "h-calls")
    host = {
        "secrets": world.facts["files"],
        "homes": ["/root", "/home"],
        "other_layers": world.facts["files"][:1],
        "pids": world.facts["pids"],
        "marker": CANARY,
        "port": world.system.console_port,
        "abstract": bytes.fromhex(world.facts["abstract"])[1:].decode(),
        "socket": world.facts["sockets"][0],
        "level": world.level,
    }
    names = [
        name
        for name in vars(probes)
        if name.startswith("deny_") and name not in WITH_DRIVER and (world.level, name) not in NOT_PROMISED
    ]
    for again in (False, True):
        if again and world.level2:
            make_idle(world.system, target)
            wait_for(lambda: template_ready(world.system, target))
        answer = httpx.post(
            world.system.url("h-calls"),
            json={"host": host, "names": names},
            headers={"X-Api-Key": world.key},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        assert {name: said for name, said in answer.json().items() if not said.startswith("refused")} == {}
        assert len(answer.json()) == len(names) > 40
    world.check_untouched()
    world.take_down("h-calls")


def test_what_crashes_at_import_never_goes_live_and_says_why(world: World) -> None:
    good = probe("good", "def execute(input, context):\n    return {'leaks': []}\n")
    world.system.publish("h-import", files_of(good, {}))
    owner = world.system.people["owner"]
    for what, (source, codes) in CRASHING_AT_IMPORT.items():
        files = files_of(good, {}) | {"main.py": f"# Here, execute is not all.\n{source}"}
        version = world.system.freeze("h-import", files)
        world.system.approve("h-import", version)
        made = owner.call("POST", "/functions/h-import/releases", json={"version": version["number"]})
        found = wait_for(functools.partial(decided, world, "h-import", made["number"]), 120, 0.1)
        assert found["state"] == "failed", what
        assert reason(found) in codes, (what, found["conditions"])
        answer = world.call("h-import")
        assert (answer.status_code, answer.json()) == (200, {"leaks": []}), what
    world.check_untouched()
    world.take_down("h-import")


def test_hostile_archives_are_refused_whole(world: World) -> None:
    author = world.system.people["author"]
    author.call("POST", "/functions", json={"name": "h-archive", "project": "main"})
    for what, (kind, content, code) in hostile_archives().items():
        etag = author.http.get("/api/v1/functions/h-archive/draft").headers["etag"]
        answer = author.http.put(
            "/api/v1/functions/h-archive/draft/archive",
            content=content,
            headers={"If-Match": etag, "Content-Type": kind},
        )
        assert answer.status_code in (413, 422), (what, answer.text)
        assert answer.json()["code"] in code, (what, answer.text)
        assert answer.json()["detail"]
        assert answer.json()["request_id"]
        assert author.http.get("/api/v1/functions/h-archive/draft").headers["etag"] == etag, what
    world.check_untouched()


def test_nothing_of_them_is_left(world: World) -> None:
    functions = world.system.people["owner"].call("GET", "/functions?limit=100")["items"]
    for function in functions:
        if function["name"].startswith("h-"):
            world.take_down(function["name"])
    only = [world.neighbour.target]
    wait_for(lambda: list(ask_host(world.system, "status")["targets"]) == only, 60, 0.1)
    wait_for(lambda: world.surplus() <= 0, 60, 0.1)
    assert mounts() == world.mounts
    world.check_untouched()
