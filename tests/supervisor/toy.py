"""A supervised Ingot of toy roles, run as a process of its own by test_loop.py.

Usage: python -m tests.supervisor.toy FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from control_plane.supervisor.loop import Supervisor
from control_plane.supervisor.roles import Plan, Role

# Tells that it is ready, the second late, and as late as somebody wants; leaves a grandchild behind when it
# is the first; notes its end in the order file.
ROLE = """
import os, signal, subprocess, sys, time
name, folder = sys.argv[1:]
if name == "first":
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    grandchild = subprocess.Popen(sleeper, start_new_session=True)
    open(f"{folder}/grandchild", "w").write(str(grandchild.pid))
def end(*_):
    with open(f"{folder}/order", "a") as order:
        order.write(name + "\\n")
    os._exit(0)
signal.signal(signal.SIGTERM, end)
if name == "second":
    time.sleep(0.3)
    while os.path.exists(f"{folder}/second-is-held"):
        time.sleep(0.01)
    open(f"{folder}/second-was-ready", "w")
if name == "third":
    open(f"{folder}/third-came-after", "w").write(str(os.path.exists(f"{folder}/second-was-ready")))
os.write(int(os.environ["INGOT_READY_FD"]), b"READY=1\\n")
while True:
    time.sleep(60)
"""


def main(folder: Path) -> None:
    """Supervise three toy roles until told to stop."""
    names = ("first", "second", "third")
    (folder / "logs").mkdir()
    after = {"third": ("second",)}
    plan = Plan(
        roles=tuple(
            Role(name, store=name == "second", patience_s=5, after=after.get(name, ())) for name in names
        ),
        commands={name: ([sys.executable, "-c", ROLE, name, str(folder)], {}) for name in names},
        run=folder,
        logs=folder / "logs",
        secrets={},
        listeners={},
    )

    def record(state: dict[str, Any]) -> None:
        (folder / "record.new").write_text(json.dumps(state))
        (folder / "record.new").rename(folder / "record")

    Supervisor(plan, record=record, on_ready=(folder / "ready").touch).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
