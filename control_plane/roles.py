"""The entries of the processes that need no module of their own: `prepare` and `host`.

Each takes its frozen settings document, wires itself and runs to its end.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from control_plane.process import inherited_keys

__all__ = ["host", "prepare"]


def prepare(document: Mapping[str, Any]) -> None:
    """Migrate the databases, make the bucket; print the first owner's one-time text while there is none."""
    from control_plane.bootstrap.databases import migrate_databases
    from control_plane.bootstrap.services import build_services
    from control_plane.bootstrap.storage import ensure_bucket
    from control_plane.settings import settings_from_document

    settings = settings_from_document(json.dumps(document))
    migrate_databases(settings)
    ensure_bucket(settings)
    sys.stdout.write(build_services(document, inherited_keys()).accounts.open_claim())


def host(document: Mapping[str, Any]) -> None:
    """Run the function host."""
    from control_plane.adapters.embedded.host.main import run
    from control_plane.bootstrap.host import build_host_config
    from control_plane.json_logs import log_as_json

    log_as_json("host")
    raise SystemExit(run(build_host_config(document, inherited_keys())))
