"""The same draft under another user, umask, locale, time zone, path, clock and order: the same bytes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.build import lock, read_draft
from builders.storage import remove_tree
from tests.builders.drafts import a_draft, a_wheel
from tests.support.rights import becomes_other_users

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("frozen_elsewhere.py")


@pytest.fixture
def lock_file(index: Path, tmp_path: Path) -> Path:
    a_wheel(index, "alpha", requires=["beta"], entry_points="[console_scripts]\nalpha = alpha:main\n")
    a_wheel(
        index,
        "beta",
        tag="cp311-cp311-manylinux_2_17_x86_64",
        files={"beta/é.py": "", "x" * 90 + "/y" * 30: ""},
    )
    a_wheel(index, "beta", tag="cp311-cp311-manylinux_2_17_aarch64")
    file = tmp_path / "lock.json"
    file.write_bytes(lock(read_draft(a_draft(requirements_txt="alpha")), tmp_path / "first").content)
    return file


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """Give a folder that other users can reach; pytest's own belongs to one user."""
    folder = Path(f"/tmp/ingot determinism ü {os.getpid()}")
    folder.mkdir(mode=0o755)
    yield folder
    remove_tree(folder)


def frozen(
    place: Path,
    lock_file: Path,
    *,
    umask: int,
    order: int,
    uid: int = 0,
    reverse: bool = False,
    **environment: str,
) -> dict[str, object]:
    draft, data = place / "draft", place / "data"
    wheels = place / "wheels"
    for folder in (draft, data):
        folder.mkdir(parents=True)
    shutil.copytree(os.environ["UV_FIND_LINKS"], wheels)
    shutil.copy(lock_file, place / "lock.json")
    files = list(a_draft(requirements_txt="alpha", note_txt="ü\n").items())
    for name, content in files[::-1] if reverse else files:
        (draft / name).write_bytes(content)
        (draft / name).chmod(0o755 if reverse else 0o644)
        os.utime(draft / name, (0, 0) if reverse else None)
    if uid:
        for path in [place, *place.rglob("*")]:
            os.chown(path, uid, uid)
            path.chmod(0o755)
    command = [sys.executable, str(SCRIPT), str(draft), str(data), str(place / "lock.json"), str(order)]
    done = subprocess.run(
        command,
        cwd=place,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "UV_FIND_LINKS": str(wheels),
            "UV_NO_INDEX": "1",
        }
        | environment,
        umask=umask,
        user=uid or None,
        group=uid or None,
        extra_groups=[] if uid else None,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_nothing_of_the_machine_reaches_the_bytes(lock_file: Path, elsewhere: Path) -> None:
    here = frozen(elsewhere / "one", lock_file, umask=0o022, order=1, LC_ALL="C", TZ="UTC")
    there = frozen(
        elsewhere / "two and a longer path",
        lock_file,
        umask=0o077,
        order=-1,
        reverse=True,
        LC_ALL="C.UTF-8",
        TZ="Pacific/Kiritimati",
        PYTHONHASHSEED="7",
        SOURCE_DATE_EPOCH="0",
        HOME="/nonexistent",
    )
    assert here["facts"] == there["facts"]
    # The trees were really there: two packages, and one file below thirty folders.
    assert here["trees"] == {"deps": 44, "function": 4}


@pytest.mark.root
@becomes_other_users
def test_another_user_gives_the_same_bytes(lock_file: Path, elsewhere: Path) -> None:
    here = frozen(elsewhere / "one", lock_file, umask=0o022, order=1)
    there = frozen(elsewhere / "two", lock_file, umask=0o027, order=-1, uid=65534)
    assert (here["uid"], there["uid"]) == (0, 65534)
    assert here["facts"] == there["facts"]
