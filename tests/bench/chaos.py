"""Kills any process at random under load: what was answered was counted, and everything converges."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx

from tests.bench.callers import Call, Callers, Shape
from tests.bench.functions import ask_host, run_folder
from tests.bench.ledger import AccessLogReader, Accounts, checks, read_accounts
from tests.bench.processes import descendants
from tests.bench.report import Check, Report, Result
from tests.bench.victims import Killer
from tests.support.system import System, running_system, wait_for

__all__ = ["run"]

_LIMITS = "[limits]\nmemory_mb = 128\ninstances = 3\ntimeout_ms = 20000\n"
# Each call leaves a line in the function's log, with its own id, before it answers.
_PLAIN = {
    "ingot.toml": "handler = 'main:execute'\n" + _LIMITS,
    "main.py": "def execute(input, context):\n    print('dispatched')\n    return 'version {version}'\n",
}
_STREAM = {
    "ingot.toml": "kind = 'asgi'\nhandler = 'main:app'\nstreaming = true\n" + _LIMITS,
    "main.py": (
        "async def app(scope, receive, send):\n"
        "    if scope['type'] != 'http':\n"
        "        return\n"
        "    print('dispatched')\n"
        "    await send({'type': 'http.response.start', 'status': 200,\n"
        "                'headers': [(b'content-type', b'text/plain')]})\n"
        "    for part in range(3):\n"
        "        await send({'type': 'http.response.body', 'body': b'part ', 'more_body': part < 2})\n"
    ),
}
_SHAPES = tuple(
    Shape(f"{function}, {'kept' if keep else 'new'} connections {number}", f"/acme/{function}", "POST", keep)
    for number in (1, 2)
    for function in ("plain", "stream")
    for keep in (True, False)
)
# Good answers that must come between two kills: what is killed does work.
_PROGRESS = 16
_LONGEST_PAUSE_S = 1.5
_CONVERGED_S = 60.0
# How often the author tries a step.
_TRIES = 5

_Done = TypeVar("_Done")


def run(report: Report, *, quick: bool = False) -> None:
    """Kill 200 processes beside callers, an author and releases; then the supervisor; then compare."""
    kills = 20 if quick else 200
    with running_system(INGOT_HOST_IDLE_TIMEOUT_S="2") as system:
        key = system.key("bench")
        for name, files in (("plain", _version(1)), ("stream", _STREAM)):
            system.publish(name, files)
            system.wait_callable(name, key)
        log = AccessLogReader(system.data / "gateway" / "access.log")
        callers = Callers(system.functions_port, key, _SHAPES, pause_s=0.01)
        author, killer, moments = _Author(system), Killer(system, seed=kills), random.Random(kills)
        with log:
            with callers:
                with author:
                    for kind in killer.plan(kills):
                        _progress(callers)
                        # At any moment of what the others do, and not only in the first of it.
                        time.sleep(moments.uniform(0, _LONGEST_PAUSE_S))
                        killer.kill(kind)
                converged = [_converge(system, callers)]
                chaotic = len(callers.calls)
                restarted = _kill_supervisor(system)
                converged.append(_converge(system, callers))
            published = _publish_again(system, key)
            orphans = _orphans(system)
            _come_to_rest(system, log)
        accounts = read_accounts(system.data, callers.calls, log)
        chain = system.people["owner"].call("GET", "/audit/verification")
        before = _running(system)
        run = Path(run_folder(system))
        system.stop()
        left = [pid for pid in before if _start_time(pid) == before[pid]]
        sockets = [path.name for path in run.rglob("*.sock")]
    _say(report, (callers.calls[:chaotic], callers.calls[chaotic:]), accounts, converged)
    report.results[-1].more.update(
        killed=dict(killer.killed),
        published=author.published,
        publishing_failed=author.failures,
        unseen=accounts.unseen,
    )
    gateways = killer.killed["gateway master"] + killer.killed["gateway worker"]
    report.checks += [
        Check.at_least("processes killed", killer.killed.total(), kills),
        Check.at_least("gateways among them", gateways, kills * 3 // 10),
        *checks(accounts),
        Check.is_true("the audit chain is intact", bool(chain["intact"])),
        Check.at_least("changes that the author made meanwhile", author.published, kills // 20),
        Check.at_most("seconds until everything works again", max(converged), _CONVERGED_S),
        Check.is_true("a killed supervisor's processes are gone", restarted),
        Check.is_true("a new version goes live and answers", published),
        Check.at_most("processes that nobody knows", orphans, 0),
        Check.at_most("processes left after the stop", len(left), 0),
        Check.at_most("sockets left after the stop", len(sockets), 0),
    ]


def _version(number: int) -> dict[str, str]:
    return {**_PLAIN, "main.py": _PLAIN["main.py"].format(version=number)}


class _Author:
    """Edits, reviews and releases all the time; a failure is only tried again."""

    def __init__(self, system: System) -> None:
        self.published = 0
        self.failures = 0
        self._system = system
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(180)

    def _run(self) -> None:
        number = 1
        while not self._ended.wait(0.2):
            number += 1
            version = self._persist(lambda: self._system.freeze("plain", _version(number)))  # noqa: B023
            if version is None or self._persist(lambda: self._approve(version)) is None:  # noqa: B023
                continue
            wanted = int(version["number"])
            if self._persist(lambda: self._system.release("plain", wanted, seconds=20)):  # noqa: B023
                self.published += 1

    def _approve(self, version: dict[str, Any]) -> bool:
        self._system.approve("plain", version)
        return True

    def _persist(self, step: Callable[[], _Done]) -> _Done | None:
        """Try a step a few times; None when it never worked: a step half done is not taken up again."""
        for _ in range(_TRIES):
            # The api, the worker, the host or the gateway was killed under it, as is meant.
            with contextlib.suppress(httpx.HTTPError, AssertionError, KeyError):
                return step()
            self.failures += 1
        return None


def _progress(callers: Callers) -> None:
    """Wait until callers have got a few more answers, from whatever was killed before."""
    seen = len(callers.calls)
    wait_for(lambda: sum(call.good for call in callers.calls[seen:]) >= _PROGRESS, _CONVERGED_S, 0.02)


def _converge(system: System, callers: Callers) -> float:
    """Return the seconds until every role is ready and every caller is answered again."""
    began = time.monotonic()
    wait_for(lambda: all(role["ready"] for role in _roles(system).values()), _CONVERGED_S, 0.05)
    for shape in _SHAPES:
        seen = len(callers.calls)
        wait_for(
            lambda seen=seen, shape=shape: any(  # type: ignore[misc]
                call.good and call.shape == shape for call in callers.calls[seen:]
            ),
            _CONVERGED_S,
            0.02,
        )
    return time.monotonic() - began


def _roles(system: System) -> dict[str, dict[str, Any]]:
    try:
        return system.roles()
    except OSError:
        return {"supervisor": {"ready": False}}


def _kill_supervisor(system: System) -> bool:
    """Kill it, start again; say whether everything that it had started is gone."""
    assert system.process is not None
    before = _running(system)
    system.process.send_signal(signal.SIGKILL)
    system.process.wait(10)
    system.start()
    return all(_start_time(pid) != began for pid, began in before.items())


def _publish_again(system: System, key: str) -> bool:
    """Publish a last version; say whether exactly it answers and nothing is half done."""
    published = system.publish("plain", _version(1_000_000))
    answer = httpx.post(system.url("plain"), json={}, headers={"X-Api-Key": key})
    states = [
        release["state"]
        for release in system.people["owner"].call("GET", "/functions/plain/releases")["items"]
    ]
    newest = published.release["state"] == "live" and states.count("live") == 1 and "pending" not in states
    return newest and answer.text == '"version 1000000"'


def _orphans(system: System) -> int:
    """Let the functions go idle; return how many processes are then nobody's."""
    assert system.process is not None
    supervisor = system.process.pid

    def strangers() -> int:
        roles = {int(role["pid"]) for role in system.roles().values()}
        children = {pid for pid in descendants(supervisor) if _parent(pid) == supervisor} - roles
        # A level-2 template is forked twice, which makes it a child of the supervisor.
        templates = [one for one in ask_host(system, "status")["templates"] if one["level"] == 2]
        return len(children) - len(templates)

    try:
        wait_for(lambda: not strangers(), 30, 0.1)
    except AssertionError:
        return strangers()
    return 0


def _come_to_rest(system: System, log: AccessLogReader) -> None:
    """Wait until the reader and the meter have seen the same end of the log."""

    def rested() -> bool:
        seen = len(log.calls)
        time.sleep(1.0)
        return len(log.calls) == seen

    wait_for(rested, 60)


def _running(system: System) -> dict[int, int]:
    assert system.process is not None
    found = {pid: _start_time(pid) for pid in descendants(system.process.pid)}
    return {pid: began for pid, began in found.items() if began}


def _start_time(pid: int) -> int:
    """Return when a process began; 0 when it is gone."""
    return int(_stat(pid)[19]) if _stat(pid)[0] not in "ZX" else 0


def _parent(pid: int) -> int:
    return int(_stat(pid)[1])


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["X"] + ["0"] * 30


def _say(
    report: Report, calls: tuple[Sequence[Call], Sequence[Call]], accounts: Accounts, converged: list[float]
) -> None:
    phases = ("calls while processes are killed", "calls while the supervisor is killed and started")
    for phase, made in zip(phases, calls, strict=True):
        good = [call.milliseconds for call in made if call.good]
        errors = Counter(call.error.split(":")[0] or str(call.status) for call in made if not call.good)
        report.results.append(Result.of(phase, good, errors.total(), **errors))
    report.results.append(
        Result.of(
            "until everything works again: after the last kill, and after the supervisor's",
            [seconds * 1000 for seconds in converged],
            refused=dict(+accounts.refusals),
            counted=len(accounts.counted),
            answered=len(accounts.answered),
            counted_but_not_read=len(accounts.counted_well - accounts.answered_well),
            dispatched_but_not_counted=len(accounts.dispatched - set(accounts.counted)),
        )
    )
