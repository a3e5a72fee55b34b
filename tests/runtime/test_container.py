"""The first process of a container: it lets calls in when it can serve, drains, and ends what is overdue."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from ingot_shim import answers, container

_RUNTIME = Path(__file__).parents[2] / "templates/runtimes/python"
_ECHO = "def execute(input, context):\n    return {'got': input, 'setting': dict(context.settings)}\n"


class Container:
    """A started container without its walls: the same program, with its own folder for /opt/ingot."""

    def __init__(
        self, folder: Path, code: str, manifest: dict[str, Any], environment: dict[str, str]
    ) -> None:
        root = folder / "ingot"
        (root / "function").mkdir(parents=True)
        (root / "version").mkdir()
        (root / "function" / "main.py").write_text(code)
        (root / "version" / "manifest.json").write_text(json.dumps(_manifest() | manifest))
        shutil.copytree(_RUNTIME, root / "runtime", ignore=shutil.ignore_patterns("__pycache__"))
        validator = Path(sysconfig.get_path("platlib")) / "jsonschema_rs"
        (root / "runtime" / "jsonschema_rs").symlink_to(validator)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", root / "runtime" / "start.py"],
                env={"PATH": os.environ["PATH"], "PORT": str(self.port)} | environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def call(self, body: object, *, timeout: float = 10.0) -> tuple[int, Any]:
        """Return status and JSON of one call."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        with contextlib.closing(connection):
            connection.request("POST", "/", json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def accepts(self) -> bool:
        """Say whether somebody listens, which is how a cluster asks whether it is ready."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def wait_until_ready(self) -> None:
        """Wait until it listens."""
        deadline = time.monotonic() + 20
        while not self.accepts():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.01)

    def end(self) -> None:
        """End its first process and the instance with it, as a container's end does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(20)

    def reason(self) -> dict[str, str]:
        """Return the last line of its log: what a pod's status shows."""
        found: dict[str, str] = json.loads(self.log.read_text().splitlines()[-1])
        return found


def _manifest() -> dict[str, Any]:
    return {
        "kind": "handler",
        "handler": "main:execute",
        "streaming": False,
        "limits": {"memory_mb": 256, "timeout_ms": 5000, "concurrency": 1, "instances": 1},
        "gateway": {"body_limit": 1000},
        "contract": {"input": None, "output": None},
        "settings": ["PLACE"],
        "secrets": ["TOKEN"],
    }


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    running: list[Container] = []

    def make(code: str = _ECHO, *, env: dict[str, str] | None = None, **manifest: Any) -> Container:
        running.append(Container(tmp_path / str(len(running)), code, manifest, env or {}))
        return running[-1]

    yield make
    for one in running:
        one.end()


def test_it_answers_as_an_instance_does(start: Any) -> None:
    schema = {"type": "object", "required": ["n"]}
    one = start(
        env={"PLACE": "here", "TOKEN": "secret", "OTHER": "no"}, contract={"input": schema, "output": None}
    )
    one.wait_until_ready()
    assert one.call({"n": 1}) == (200, {"got": {"n": 1}, "setting": {"PLACE": "here"}})
    status, problem = one.call({})
    assert (status, problem["code"], problem["fault"]) == (422, "input_invalid", "caller")
    assert one.call({"n": "x" * 2000})[0] == 413


def test_secrets_come_by_name_and_leave_no_environment(start: Any) -> None:
    code = (
        "import os\ndef execute(input, context):\n"
        "    return [context.secrets.get('TOKEN'), os.environ.get('TOKEN'), os.environ.get('INGOT_FUNCTION'),"
        " context.function, context.version]\n"
    )
    one = start(code, env={"TOKEN": "secret", "INGOT_FUNCTION": "orders", "INGOT_VERSION": "7"})
    one.wait_until_ready()
    assert one.call(None) == (200, ["secret", None, None, "orders", "7"])


_SLOW_START = """
import time
def on_start(context):
    time.sleep(0.7)
def execute(input, context):
    return 1
"""
_SLOW_ASYNC_START = """
import asyncio
async def on_start(context):
    await asyncio.sleep(0.7)
async def execute(input, context):
    return 1
"""


@pytest.mark.parametrize("code", [_SLOW_START, _SLOW_ASYNC_START], ids=["blocking", "async"])
@pytest.mark.parametrize("concurrency", [1, 3])
def test_nobody_is_let_in_before_the_start_hook_is_done(start: Any, code: str, concurrency: int) -> None:
    limits = {"memory_mb": 256, "timeout_ms": 5000, "concurrency": concurrency, "instances": 1}
    began = time.monotonic()
    one = start(code, limits=limits)
    one.wait_until_ready()
    assert time.monotonic() - began > 0.7
    assert one.call(None) == (200, 1)


def test_sigterm_finishes_what_runs_and_what_waits(start: Any) -> None:
    one = start("import time\ndef execute(input, context):\n    time.sleep(0.5)\n    return input\n")
    one.wait_until_ready()
    answers: list[tuple[int, Any]] = []
    callers = [threading.Thread(target=lambda n=n: answers.append(one.call(n))) for n in range(3)]
    for caller in callers:
        caller.start()
    _wait_for_connections(one.port, 3)
    one.process.send_signal(signal.SIGTERM)
    for caller in callers:
        caller.join()
    assert sorted(answers) == [(200, 0), (200, 1), (200, 2)]
    assert one.process.wait(5) == 0
    assert not one.accepts()


def _wait_for_connections(port: int, count: int) -> None:
    """Wait until so many connections to a port of loopback are established."""
    end = f":{port:04X} "
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        lines = []
        for name in ("tcp", "tcp6"):
            lines += [line.split() for line in Path(f"/proc/net/{name}").read_text().splitlines()]
        if sum(f"{line[1]} ".endswith(end) and line[3] == "01" for line in lines[1:]) >= count:
            return
        time.sleep(0.01)
    raise TimeoutError("the calls did not arrive")


def test_sigterm_while_it_loads_ends_it_at_once(start: Any) -> None:
    one = start(
        "import time\nprint('loading', flush=True)\ntime.sleep(30)\ndef execute(i, c):\n    return 1\n"
    )
    deadline = time.monotonic() + 10
    while "loading" not in one.log.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    one.process.send_signal(signal.SIGTERM)
    assert one.process.wait(5) == 0


@pytest.mark.parametrize(
    ("code", "wanted", "words"),
    [
        ("import nothing_like_it\n", "import_failed", "nothing_like_it"),
        ("x = 1\n", "handler_not_found", "execute"),
        ("raise SystemExit(0)\n", "import_failed", "SystemExit"),
        ("def on_start(context):\n    raise ValueError('no' * 5000)\n" + _ECHO, "import_failed", "nono"),
    ],
)
def test_code_that_does_not_load_says_why_in_its_last_line(
    start: Any, code: str, wanted: str, words: str
) -> None:
    one = start(code)
    assert one.process.wait(20) == 1
    assert one.reason()["code"] == wanted
    assert words in one.reason()["message"]
    assert len(one.log.read_text().splitlines()[-1]) < 2048


def test_an_overdue_call_ends_the_container(start: Any) -> None:
    """Nothing in the process itself could end it: the loop never gives way."""
    limits = {"memory_mb": 256, "timeout_ms": 300, "concurrency": 1, "instances": 1}
    one = start("def execute(input, context):\n    while True:\n        pass\n", limits=limits)
    one.wait_until_ready()
    with pytest.raises((http.client.HTTPException, OSError)):
        one.call(None)
    assert one.process.wait(10) == 128 + signal.SIGKILL
    assert one.reason()["code"] == "overdue"


@pytest.mark.parametrize(
    ("code", "status"), [("os._exit(0)", 1), ("os._exit(7)", 7), ("os.abort()", 128 + signal.SIGABRT)]
)
def test_code_that_ends_its_process_ends_the_container(start: Any, code: str, status: int) -> None:
    one = start(f"import os\ndef execute(input, context):\n    {code}\n")
    one.wait_until_ready()
    with pytest.raises((http.client.HTTPException, OSError)):
        one.call(None)
    assert one.process.wait(10) == status


@pytest.mark.parametrize(
    "env", [{"PORT": "no"}, {"PORT": "99999999"}, {"INGOT_TIMEOUT_MS": "-1"}, {"PORT": "70000"}]
)
def test_a_wrong_environment_is_told(start: Any, env: dict[str, str]) -> None:
    one = start(env=env)
    assert one.process.wait(10) == 1
    assert one.reason()["code"] == "start_failed"


def test_small_pieces_are_sent_at_once() -> None:
    listener = container._bound(0)
    listener.listen()
    with listener, socket.create_connection(("127.0.0.1", listener.getsockname()[1])):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("moment", [0, 951_782_400, 1_709_164_800, 1_799_999_999, 4_102_444_799])
def test_the_date_is_written_as_the_library_writes_it(moment: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: float(moment))
    monkeypatch.setattr(answers, "_last_date", (-1, ""))
    assert answers._date() == formatdate(moment, usegmt=True)
    assert all(answers.reason(int(status)) == status.phrase for status in HTTPStatus)
    assert answers.reason(599) == "Unknown"


def test_a_container_loads_nothing_that_it_does_not_need(start: Any) -> None:
    """These cost a start more than all that it needs together."""
    heavy = ["ssl", "asyncio", "http.client", "email", "importlib.resources"]
    one = start(
        f"import sys\ndef execute(input, context):\n    return [n for n in {heavy} if n in sys.modules]\n"
    )
    one.wait_until_ready()
    assert one.call(None) == (200, [])
