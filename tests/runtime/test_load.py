"""Loading: the import space, failures, the import profile, and what an import leaves behind."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ingot_shim.load import LoadFailed, load

from .harness import Instance


def loaded_in_child(folder: Path, files: Mapping[str, str], **spec: Any) -> dict[str, Any]:
    """Load in a forked child, since loading replaces the import space; return what it reports."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            document = {"handler": "main:execute", "paths": {"function": str(folder)}, **spec}
            try:
                result = load(document)
                report: dict[str, Any] = {
                    "import_us": result.import_us,
                    "profile": result.profile,
                    "threads": result.threads,
                    "sockets": result.sockets,
                    "seen": getattr(result.module, "SEEN", None),
                }
            except LoadFailed as error:
                report = {"code": error.code, "message": error.message}
            os.write(writer, json.dumps(report).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        report = json.loads(pipe.read())
    os.waitpid(child, 0)
    return report


GOOD = "def execute(input, context):\n    return 1\n"


@pytest.mark.parametrize(
    ("handler", "source", "code", "text"),
    [
        ("main:missing", GOOD, "handler_not_found", "has no attribute 'missing'"),
        ("main:a.b", GOOD, "handler_not_found", "has no attribute 'a.b'"),
        ("gone:execute", GOOD, "handler_not_found", "no module 'gone'"),
        ("gone.sub:execute", GOOD, "handler_not_found", "no module 'gone'"),
        ("main", GOOD, "handler_not_found", "not of the form"),
        ("main:VALUE", "VALUE = 5\n", "handler_not_found", "is a int, not a callable"),
        ("json:loads", GOOD, "handler_not_found", "rename it"),
        ("ingot_shim.load:load", GOOD, "handler_not_found", "rename it"),
        ("main:execute", "import nothing_here\n", "import_failed", "No module named 'nothing_here'"),
        ("main:execute", "def broken(:\n", "import_failed", "SyntaxError"),
        ("main:execute", "1 / 0\n", "import_failed", "ZeroDivisionError"),
        ("main:execute", "raise SystemExit(3)\n", "import_failed", "SystemExit"),
        ("main:execute", "raise KeyboardInterrupt\n", "import_failed", "KeyboardInterrupt"),
        ("main:execute", "raise ValueError('x' * 50_000)\n", "import_failed", "xxx"),
    ],
)
def test_failures(tmp_path: Path, handler: str, source: str, code: str, text: str) -> None:
    report = loaded_in_child(tmp_path, {"main.py": source}, handler=handler)
    assert report["code"] == code
    assert text in report["message"]
    assert len(report["message"]) <= 7000
    assert "ingot_shim/" not in report["message"]
    assert "importlib" not in report["message"]


def test_a_traceback_has_the_authors_frames(tmp_path: Path) -> None:
    files = {"main.py": "import helper\n", "helper.py": "def go():\n    raise OSError('deep')\ngo()\n"}
    message = loaded_in_child(tmp_path, files)["message"]
    assert 'main.py", line 1' in message
    assert 'helper.py", line 2, in go' in message


SEEN = """
import os, sys
SEEN = {
    "path": sys.path, "main": sorted(vars(sys.modules["__main__"])),
    "environ": dict(os.environ), "argv": sys.argv,
}
def execute(input, context):
    pass
"""


def test_the_import_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGOT_SECRETS_FD", "3")
    paths = {"function": str(tmp_path), "deps": str(tmp_path / "deps")}
    seen = loaded_in_child(tmp_path, {"main.py": SEEN}, paths=paths)["seen"]
    assert seen["path"][:2] == [str(tmp_path), str(tmp_path / "deps")]
    assert not [entry for entry in seen["path"][2:] if "site-packages" in entry or "templates" in entry]
    assert any(entry.endswith("lib-dynload") for entry in seen["path"])
    assert "execute" not in seen["main"]
    assert "pytest" not in seen["main"]
    assert seen["argv"] == ["function"]
    assert seen["environ"]["OPENBLAS_NUM_THREADS"] == "1"
    assert seen["environ"]["OMP_NUM_THREADS"] == "1"
    assert seen["environ"]["MKL_NUM_THREADS"] == "1"
    assert "INGOT_SECRETS_FD" not in seen["environ"]
    assert not [name for name in seen["environ"] if name.startswith(("INGOT", "PYTEST"))]


def test_threads_and_sockets_left_behind_are_counted(tmp_path: Path) -> None:
    clean = loaded_in_child(tmp_path / "clean", {"main.py": GOOD})
    assert (clean["threads"], clean["sockets"]) == (0, 0)
    source = (
        "import socket, threading\n"
        "pair = socket.socketpair()\n"
        "for _ in range(2):\n"
        "    threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    dirty = loaded_in_child(tmp_path / "dirty", {"main.py": source + GOOD})
    assert (dirty["threads"], dirty["sockets"]) == (2, 2)


def test_the_profile_names_each_module_once(tmp_path: Path) -> None:
    files = {
        "main.py": "import slow\nimport package.part\nimport slow\n"
        "assert slow.__spec__.loader.__class__.__name__ == 'SourceFileLoader'\n"
        "assert slow.__loader__ is slow.__spec__.loader\n" + GOOD,
        "slow.py": "import inner, time\nend = time.perf_counter() + 0.02\n"
        "while time.perf_counter() < end: pass\n",
        "inner.py": "import time\nend = time.perf_counter() + 0.01\nwhile time.perf_counter() < end: pass\n",
        "package/__init__.py": "",
        "package/part.py": "",
    }
    report = loaded_in_child(tmp_path, files, profile=True)
    rows = {name: (own, whole) for name, own, whole in report["profile"]}
    assert {"main", "slow", "inner", "package", "package.part"} <= set(rows)
    assert len(rows) == len(report["profile"])
    own_times = [own for _, own, _ in report["profile"]]
    assert own_times == sorted(own_times, reverse=True)
    # A busy machine may add to any of them, but each bears its own time and that of what it imports.
    assert rows["slow"][0] >= 19_000
    assert rows["inner"][0] >= 9_000
    assert rows["slow"][1] >= rows["slow"][0] + rows["inner"][1]
    assert rows["main"][1] >= rows["main"][0] + rows["slow"][1]
    assert rows["main"][1] <= report["import_us"]
    assert loaded_in_child(tmp_path, files)["profile"] is None


def test_the_profile_is_capped(tmp_path: Path) -> None:
    files = {f"m{number}.py": "" for number in range(150)}
    files["main.py"] = "".join(f"import m{number}\n" for number in range(150)) + GOOD
    assert len(loaded_in_child(tmp_path, files, profile=True)["profile"]) == 100


def test_a_failing_import_under_the_profile_is_the_same_failure(tmp_path: Path) -> None:
    report = loaded_in_child(tmp_path, {"main.py": "import gone_too\n"}, profile=True)
    assert report["code"] == "import_failed"
    assert "profiling" not in report["message"]


def test_the_ready_event_carries_the_profile(tmp_path: Path) -> None:
    with Instance(tmp_path, GOOD, profile=True) as instance:
        assert instance.event["profile"][0][0] == "main"
