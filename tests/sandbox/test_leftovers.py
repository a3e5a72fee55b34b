"""What an import leaves behind is found, in a process of its own each time."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.sandbox.situation import SANDBOX

LEFT = {
    "thread": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
        "1 thread(s) running",
    ),
    "child": (
        "import os, time\nif os.fork() == 0:\n    time.sleep(0.3)\n    os._exit(0)",
        "1 child process(es)",
    ),
    "socket": ("import socket\nkept = socket.socket(socket.AF_UNIX)", "open (socket:["),
    "pipe": ("import os\nkept = os.pipe()", "open (pipe:["),
    "shared memory": ("import mmap\nkept = mmap.mmap(-1, 4096)", "writable memory that forks would share"),
}
HARMLESS = {
    "nothing": "",
    "a file": "kept = open('/etc/passwd')",
    "a folder": "import os\nkept = os.open('/', os.O_RDONLY)",
    "private memory": "import mmap\nkept = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE)",
    "an ended thread": "import threading\none = threading.Thread(target=int)\none.start()\none.join()\n"
    # The kernel forgets a thread a moment after it was joined.
    "import os, time\nend = time.monotonic() + 10\n"
    "while len(os.listdir('/proc/self/task')) > 1 and time.monotonic() < end: time.sleep(0.01)",
}


def found(imported: str, known: str = "()") -> list[str]:
    """Return what is found after this code ran."""
    code = (
        f"import sys\nsys.path.insert(0, {str(SANDBOX)!r})\n"
        f"from ingot_sandbox.leftovers import leftovers\n{imported}\nprint(*leftovers({known}), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout.split("\n")[:-1] if done.stdout.strip() else []


@pytest.mark.parametrize("what", LEFT)
def test_each_kind_is_found_once_and_said(what: str) -> None:
    imported, sentence = LEFT[what]
    sentences = found(imported)
    assert len(sentences) == (2 if what == "pipe" else 1), sentences
    assert sentence in sentences[0]


@pytest.mark.parametrize("what", HARMLESS)
def test_what_a_fork_does_not_share_or_lose_is_no_leftover(what: str) -> None:
    assert found(HARMLESS[what]) == []


def test_the_templates_own_descriptors_are_known() -> None:
    assert found("import socket\nown = socket.socket(socket.AF_UNIX)", known="[own.fileno()]") == []
