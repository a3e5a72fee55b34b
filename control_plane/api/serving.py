"""The api role: gunicorn, a process for each core with a socket of its own and threads."""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from control_plane.api.gunicorn_server import serve
from control_plane.process import inherited_keys
from control_plane.settings import settings_from_document

__all__ = ["run"]

_SWITCH_S: Final = 0.000_5


def run(document: Mapping[str, Any]) -> None:
    """Serve the API until SIGTERM, then finish what runs."""
    keys = inherited_keys()
    settings = settings_from_document(json.dumps(document))
    _share_metrics(Path(document["run"]) / "api-metrics")

    def load() -> Any:
        from control_plane.wsgi import build_app

        app = build_app(document, keys)
        # What is there now stays: to look through it for garbage again and again would stop every thread.
        gc.collect()
        gc.freeze()
        # A thread that waited for the database waits again for the interpreter, at each statement. Whoever
        # holds the turn to write must not wait for five milliseconds behind each of the others.
        sys.setswitchinterval(_SWITCH_S)
        return app

    # Threads wait for locks, freezes and test runs of other processes, so there are more
    # of them than cores. What limits people is in the database; what limits memory and
    # threads is counted in each process.
    serve(
        [Path(document["run"]) / f"api-{number}.sock" for number in range(settings.api.count)],
        load,
        worker_class="gthread",
        threads=24,
        keepalive=30,
        # The gateway bounds the line; what passes it is refused as a problem, not as a page.
        limit_request_line=0,
    )


def _share_metrics(folder: Path) -> None:
    """Let the processes add up their series in files of `folder`; they begin at zero with the role."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    # The library reads this when it is first imported, which is after the fork.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
