"""The application for every test here."""

from tests.support.api_fixtures import api, migrated_databases, people, shared_storage

__all__ = ["api", "migrated_databases", "people", "shared_storage"]
