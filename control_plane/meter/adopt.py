"""An operator's way out when a log was lost: count the file that is there now, from its beginning.

`INGOT_CONFIG=<data>/config/meter.json python -m control_plane.meter.adopt access`
(or `host`). A running meter goes on by itself. Nothing else calls this.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from control_plane.settings import settings_from_document
from control_plane.store.engine import create_engine
from control_plane.store.usage_intake import ACCESS_LOG, HOST_RECORDS, source_of
from control_plane.store.usage_ledger import UsageLedger
from control_plane.store.usage_tables import USAGE_SCHEMA

__all__ = ["adopt"]


def adopt(config: Path, source: str) -> int:
    """Give up the counted position of a log and return it."""
    settings = settings_from_document(config.read_text())
    engine = create_engine(settings.usage_url, schema=USAGE_SCHEMA)
    try:
        return UsageLedger(engine).adopt(
            source_of(source, settings.gateway.replica), time.time_ns() // 1_000_000
        )
    finally:
        engine.dispose()


if __name__ == "__main__":
    if (
        len(sys.argv) != 2
        or sys.argv[1] not in (ACCESS_LOG, HOST_RECORDS)
        or "INGOT_CONFIG" not in os.environ
    ):
        sys.exit(f"usage: INGOT_CONFIG=<file> python -m {__spec__.name} {ACCESS_LOG}|{HOST_RECORDS}")
    given_up = adopt(Path(os.environ["INGOT_CONFIG"]), sys.argv[1])
    sys.stdout.write(f"The {sys.argv[1]} log is counted from its beginning; byte {given_up} was given up.\n")
