"""What a confined command can and cannot do, shown with real processes."""

from __future__ import annotations

import ctypes
import os
import shutil
from pathlib import Path

import pytest

from builders.confine import Confinement, interpreter, run_confined
from builders.errors import BuildError
from tests.support.system import wait_for

landlock = pytest.mark.skipif(
    ctypes.CDLL(None).syscall(444, None, 0, 1) < 1, reason="this kernel has no Landlock"
)


def python(work: Path, script: str, **rules: object) -> tuple[int, str]:
    confinement = Confinement(writable=(work,), **rules)  # type: ignore[arg-type]
    outcome = run_confined([str(interpreter()), "-I", "-S", "-c", script], confinement)
    return outcome.status, outcome.output


def test_it_writes_in_its_folder_and_sees_only_its_environment(tmp_path: Path) -> None:
    script = "import os; open('made', 'w').write('x'); print(dict(os.environ).get('SECRET'), os.environ['A'])"
    os.environ["SECRET"] = "s"
    try:
        status, output = python(tmp_path, script, environment={"A": "1"})
    finally:
        del os.environ["SECRET"]
    assert (status, output.split()) == (0, ["None", "1"])
    assert (tmp_path / "made").read_text() == "x"


@landlock
@pytest.mark.parametrize(
    "attempt",
    [
        "open(outside + '/new', 'w')", "open(outside + '/there', 'a')", "os.unlink(outside + '/there')",
        "os.mkdir(outside + '/folder')", "os.symlink('/', outside + '/link')",
        "os.truncate(outside + '/there', 0)",
        "os.rename('mine', outside + '/mine')", "os.link(outside + '/there', 'stolen')",
    ],
)  # fmt: skip
def test_it_writes_nowhere_else(tmp_path: Path, attempt: str) -> None:
    work, outside = tmp_path / "work", tmp_path / "outside"
    work.mkdir()
    outside.mkdir()
    (outside / "there").write_text("kept")
    script = f"import os; outside = {str(outside)!r}; open('mine', 'w').close(); {attempt}"
    status, output = python(work, script)
    assert status == 1
    assert "PermissionError" in output or "OSError: [Errno 18]" in output
    assert (outside / "there").read_text() == "kept"
    assert [path.name for path in outside.iterdir()] == ["there"]


@landlock
def test_it_executes_nothing_that_it_brought(tmp_path: Path) -> None:
    shutil.copy("/bin/true", tmp_path / "brought")
    script = "import subprocess; subprocess.run(['./brought'])"
    status, output = python(tmp_path, script)
    assert status == 1
    assert "PermissionError" in output
    status, output = python(tmp_path, "import subprocess; subprocess.run(['/bin/sh', '-c', 'true'])")
    assert status == 1
    assert "PermissionError" in output


def test_a_file_cannot_grow_beyond_its_limit(tmp_path: Path) -> None:
    status, _ = python(tmp_path, "open('big', 'wb').write(bytes(100_000))", file_bytes=10_000)
    assert status != 0
    assert (tmp_path / "big").stat().st_size <= 10_000


def test_it_cannot_regain_privileges_and_dumps_no_core(tmp_path: Path) -> None:
    script = "import resource; print(resource.getrlimit(4)[0], open('/proc/self/status').read())"
    _, output = python(tmp_path, script)
    assert output.startswith("0 ")
    assert "NoNewPrivs:\t1" in output


def test_what_runs_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    script = (
        "import os, time\n"
        "if os.fork() == 0:\n    open('grandchild', 'w').write(str(os.getpid()))\n"
        "print('said', flush=True)\n"
        "time.sleep(60)"
    )
    with pytest.raises(BuildError) as caught:
        python(tmp_path, script, timeout_s=0.7)
    assert caught.value.code == "timed_out"
    assert set(caught.value.log) == {"said"}
    grandchild = int((tmp_path / "grandchild").read_text())
    # SIGKILL was sent; the kernel needs a moment to carry it out on a busy machine.
    wait_for(lambda: is_dead(grandchild), seconds=5)


def is_dead(pid: int) -> bool:
    """Say whether a process is gone, or only not yet reaped by whoever inherited it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True
