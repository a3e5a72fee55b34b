"""`ingot down` waits for running calls, and for nothing else."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.support.system import running_system, wait_for

pytestmark = [pytest.mark.slow]

SLOW = {
    "ingot.toml": "handler = 'main:execute'\n",
    "main.py": "import time\n\n\ndef execute(input, context):\n    time.sleep(3)\n    return 'finished'\n",
}


@pytest.mark.timeout(180)
def test_a_running_call_is_finished_and_an_idle_connection_delays_nothing() -> None:
    with running_system() as system:
        system.publish("slow", SLOW)
        key = system.key()
        system.wait_callable("slow", key)
        answers: list[str] = []
        with httpx.Client(base_url=system.console) as idle:
            idle.get("/livez")
            headers = {"X-Api-Key": key}

            def slow_call() -> None:
                answers.append(httpx.post(system.url("slow"), json={}, headers=headers, timeout=60).text)

            call = threading.Thread(target=slow_call)
            call.start()
            wait_for(lambda: _busy(system.functions_port))
            began = time.monotonic()
            assert system.process is not None
            system.process.terminate()
            assert system.process.wait(60) == 0
            seconds = time.monotonic() - began
            call.join(10)
        assert answers == ['"finished"']
        # The call's three seconds, a second of quiet, and the processes' own ends; not a connection's minute.
        assert seconds < 25


def _busy(port: int) -> bool:
    """Say whether anybody has a connection to the port open."""
    wanted = f":{port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1].endswith(wanted) and row[3] == "01" for row in rows)
