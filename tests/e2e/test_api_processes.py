"""Several processes answer as one: their series add up, and the death of one is nobody's error."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

import pytest

from tests.bench.processes import descendants
from tests.support.system import System, running_system, wait_for

pytestmark = pytest.mark.slow

_READS = 40


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    with running_system(INGOT_API_PROCESSES="2") as running:
        yield running


def workers(system: System) -> set[int]:
    pid = int(system.roles()["api"]["pid"])
    return set(descendants(pid)) - {pid}


def reads(system: System) -> int:
    """Return how often /me was read, as a scraper is told."""
    text = system.people["owner"].http.get("/metrics").text
    series = re.findall(r'ingot_http_requests_total\{method="GET",route="/api/v1/me",[^}]*\} (\S+)', text)
    return round(sum(map(float, series)))


def test_a_scraper_sees_what_all_processes_answered(system: System) -> None:
    wait_for(lambda: len(workers(system)) == 2)
    before = reads(system)
    for _ in range(_READS):
        system.people["owner"].call("GET", "/me")
    assert {reads(system) - before for _ in range(10)} == {_READS}, "whichever process is asked"


def test_a_killed_process_is_replaced_and_what_it_saw_is_kept(system: System) -> None:
    both = wait_for(lambda: found if len(found := workers(system)) == 2 else None)
    before = reads(system)
    victim = min(both)
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: len(found := workers(system)) == 2 and victim not in found, 60)
    assert system.people["owner"].http.get("/api/v1/me").status_code == 200
    assert reads(system) == before + 1
