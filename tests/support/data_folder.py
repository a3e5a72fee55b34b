"""A data folder with one owner and one frozen function, made by the real services without any process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from control_plane.bootstrap.services import build_services
from control_plane.domain.identity import Actor
from control_plane.services.container import Services
from control_plane.settings import Settings, load_settings
from control_plane.store.control_migrations import migrate_control
from control_plane.store.engine import create_engine
from control_plane.store.tables import CONTROL_SCHEMA
from control_plane.store.usage_migrations import migrate_usage
from control_plane.store.usage_tables import USAGE_SCHEMA
from control_plane.supervisor.folders import Identities, make_folders
from control_plane.supervisor.keys import load_keys
from tests.builders.drafts import a_draft

__all__ = ["DataFolder", "make_data_folder"]

_PASSWORD = "a rather long sentence"


@dataclass(frozen=True)
class DataFolder:
    """The folder, what works on it, and who."""

    settings: Settings
    keys: dict[str, str]
    services: Services
    owner: Actor

    @property
    def path(self) -> Path:
        return self.settings.data

    def draft(self, name: str, **files: str) -> None:
        """Put files into a function's draft."""
        drafts = self.services.drafts
        etag = drafts.get(self.owner, name).etag
        drafts.put_all(self.owner, name, a_draft("", **files), if_match=etag)


def open_services(settings: Settings, keys: dict[str, str]) -> Services:
    """Return the services over a data folder, as the api process has them."""
    return build_services(json.loads(settings.document()), keys)


def make_data_folder(folder: Path) -> DataFolder:
    """Make one below `folder`."""
    settings = load_settings(folder / "data", {"XDG_RUNTIME_DIR": ""})
    make_folders(settings, Identities(), "namespaces")
    keys = load_keys(settings.data / "keys")
    for url, schema, migrate in (
        (settings.control_url, CONTROL_SCHEMA, migrate_control),
        (settings.usage_url, USAGE_SCHEMA, migrate_usage),
    ):
        engine = create_engine(url, schema=schema)
        migrate(engine)
        engine.dispose()
    services = open_services(settings, keys)
    claim = services.accounts.open_claim()
    services.accounts.claim(
        claim, email="o@acme.example", name="Olga", password=_PASSWORD, organization="acme"
    )
    opened = services.sessions.login(email="o@acme.example", password=_PASSWORD)
    owner = services.sessions.authenticate(opened.text)
    made = DataFolder(settings, keys, services, owner)
    services.functions.create(owner, project="main", name="orders")
    made.draft("orders")
    services.versions.freeze(owner, "orders")
    services.audit.checkpoint(force=True)
    return made
