"""Hostile functions that cannot answer well: what they exhaust, break or hold up ends in a problem.

Data only, like `hostile_functions.py`. For each: what the caller may see, and
words of which the author's log must hold one.
"""

from __future__ import annotations

from tests.e2e.hostile_functions import probe

__all__ = ["CRASHING_AT_IMPORT", "FAILING"]

_ENDED = ("handler_failed", "function_failed", "function_timeout", "function_unavailable")

FAILING = (
    probe(
        "fork bomb",
        """
def execute(input, context):
    while True:
        os.fork()
""",
        statuses=(200, 500, 502, 503, 504),
        codes=_ENDED,
        limits={"timeout_ms": 3000},
    ),
    probe(
        "thread bomb",
        """
def execute(input, context):
    while True:
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
""",
        statuses=(500, 502, 504),
        codes=_ENDED,
        limits={"timeout_ms": 5000},
    ),
    probe(
        "memory",
        """
def execute(input, context):
    held = []
    while True:
        held.append(bytearray(b"x") * (16 << 20))
""",
        statuses=(500, 502, 503, 504),
        codes=_ENDED,
        limits={"timeout_ms": 10_000, "memory_mb": 128},
        log=("MemoryError", "memory"),
    ),
    probe(
        "endless output",
        """
def execute(input, context):
    while True:
        print("x" * 4000)
""",
        statuses=(502, 504),
        codes=("function_failed", "function_timeout"),
        limits={"timeout_ms": 2000},
        log=("overdue",),
    ),
    probe(
        "endless raw output",
        """
def execute(input, context):
    while True:
        try:
            os.write(2, b"y" * 65536)
        except BlockingIOError:
            pass
""",
        statuses=(502, 504),
        codes=("function_failed", "function_timeout"),
        limits={"timeout_ms": 2000},
        log=("overdue",),
    ),
    probe(
        "endless response",
        """
def execute(input, context):
    return "x" * (1 << 32)
""",
        statuses=(500, 502, 504),
        codes=_ENDED,
        limits={"timeout_ms": 5000, "memory_mb": 128},
        log=("MemoryError", "memory"),
    ),
    probe(
        "holding the interpreter lock",
        """
def execute(input, context):
    re.match(r"(a+)+$", "a" * 64 + "b")
""",
        statuses=(502, 504),
        codes=("function_failed", "function_timeout"),
        limits={"timeout_ms": 1500},
        log=("overdue",),
    ),
    probe(
        "never answering",
        """
def execute(input, context):
    time.sleep(3600)
""",
        statuses=(502, 504),
        codes=("function_failed", "function_timeout"),
        limits={"timeout_ms": 1500},
        log=("overdue",),
    ),
    probe(
        "ignoring the end",
        """
import signal

signal.signal(signal.SIGTERM, signal.SIG_IGN)

def execute(input, context):
    for number in range(1, 64):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    time.sleep(3600)
""",
        statuses=(502, 504),
        codes=("function_failed", "function_timeout"),
        limits={"timeout_ms": 1500},
        log=("overdue",),
    ),
    probe(
        "huge headers",
        """
def execute(input, context):
    return 200, {"X-Huge": "h" * (1 << 20)}, "ok"
""",
        statuses=(500, 502),
        codes=("handler_failed", "function_failed"),
        log=("12,000", "12000", "header"),
    ),
    probe(
        "split headers",
        """
def execute(input, context):
    return 200, {"X-Split": "a\\r\\nSet-Cookie: session=stolen\\r\\n\\r\\n<html>"}, "ok"
""",
        statuses=(500, 502),
        codes=("handler_failed", "function_failed"),
        log=("header", "line"),
    ),
    probe(
        "huge headers past the runtime",
        """
def execute(input, context):
    for number in range(3, 256):
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                os.set_blocking(number, True)
                os.write(number, b"HTTP/1.1 200 OK\\r\\nX-Huge: " + b"h" * 100_000 + b"\\r\\n\\r\\n")
        except OSError:
            pass
    os._exit(0)
""",
        statuses=(502, 503),
        codes=("function_failed", "function_unavailable"),
    ),
    probe(
        "crash in the middle of a call",
        """
def execute(input, context):
    ctypes.string_at(0)
""",
        statuses=(502, 503),
        codes=("function_failed", "function_unavailable"),
        log=("crash", "signal", "Segmentation", "SIGSEGV"),
    ),
    probe(
        "leaving in the middle of a call",
        """
def execute(input, context):
    os._exit(0)
""",
        statuses=(502, 503),
        codes=("function_failed", "function_unavailable"),
        log=("crash", "exit", "ended"),
    ),
)

# These never become live: the author learns why from the release's condition, by one of these codes.
CRASHING_AT_IMPORT = {
    "exit at import": ("import os\nos._exit(7)\n", {"crashed", "import_failed"}),
    "system exit at import": ("raise SystemExit(0)\n", {"crashed", "import_failed"}),
    "error at import": ("raise RuntimeError('no')\n", {"import_failed"}),
    "crash at import": ("import ctypes\nctypes.string_at(0)\n", {"crashed"}),
    "no handler": ("if False:\n    execute = print\n", {"handler_not_found"}),
    "not a handler": ("execute = 7\n", {"handler_not_found", "import_failed"}),
    "memory at import": (
        "held = []\nwhile True:\n    held.append(b'x' * (16 << 20))\n",
        {"out_of_memory", "import_failed", "crashed"},
    ),
    "fork bomb at import": (
        "import os\nwhile True:\n    os.fork()\n",
        {"import_failed", "crashed", "out_of_memory", "start_timeout"},
    ),
    "never imports": ("import time\ntime.sleep(3600)\n", {"start_timeout"}),
}
