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
    """Migrate both databases; print the first owner's one-time text while there is no owner."""
    from control_plane.bootstrap.services import build_services
    from control_plane.settings import settings_from_document
    from control_plane.store.control_migrations import migrate_control
    from control_plane.store.engine import create_engine
    from control_plane.store.tables import CONTROL_SCHEMA
    from control_plane.store.usage_migrations import migrate_usage
    from control_plane.store.usage_tables import USAGE_SCHEMA

    settings = settings_from_document(json.dumps(document))
    migrate_control(create_engine(settings.control_url, schema=CONTROL_SCHEMA))
    migrate_usage(create_engine(settings.usage_url, schema=USAGE_SCHEMA))
    sys.stdout.write(build_services(document, inherited_keys()).accounts.open_claim())


def host(document: Mapping[str, Any]) -> None:
    """Run the function host."""
    from control_plane.adapters.embedded.host.main import run
    from control_plane.bootstrap.host import build_host_config
    from control_plane.json_logs import log_as_json

    log_as_json("host")
    raise SystemExit(run(build_host_config(document, inherited_keys())))
