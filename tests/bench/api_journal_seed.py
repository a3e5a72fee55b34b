"""Fills what the lists beside functions read: packages, reviews, releases, the journal, shares and keys.

Like the rest of the seed it copies rows that an ordinary use made and changes only names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import Engine

from tests.bench.api_rows import Row, insert_rows, read_rows, renamed

__all__ = ["Journal"]

# Packages that every version contains, and how many releases of each there are.
_PACKAGES: Final = ("numpy", "pandas", "requests")
_PACKAGE_VERSIONS: Final = 10
_RELEASES: Final = 10
_REVIEW_EVERY: Final = 5
_KEYS: Final = 20
_AUDIT_ENTRIES: Final = 2_000
_EVENTS: Final = 1_000
_REACH_EVERY: Final = 10


class Journal:
    """Copies of the rows that stand beside functions and versions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._audit = _of_organizations(read_rows(engine, "audit_entries"))
        self._events = _of_organizations(read_rows(engine, "outbox"))
        self._keys = read_rows(engine, "api_keys")
        self._share = read_rows(engine, "shares")[0]
        self._words = read_rows(engine, "share_words")
        self._sequence = max(int(row["sequence"]) for row in self._events)

    def organization_rows(self, names: Mapping[str, str], number: int) -> dict[str, list[Row]]:
        """Return one organization's audit chain, events and keys; `names` is old id -> new id."""
        head = self._audit[-1]
        chain = [
            renamed(self._audit[place % len(self._audit)], names)
            | {"sequence": place + 1, "id": f"aud_{number:013d}{place:013d}"}
            for place in range(_AUDIT_ENTRIES)
        ]
        organization = names[head["organization"]]
        return {
            "audit_entries": chain,
            "audit_heads": [
                {"organization": organization, "sequence": _AUDIT_ENTRIES, "hash": chain[-1]["hash"]}
            ],
            "outbox": [self._event(names, number, place) for place in range(_EVENTS)],
            "api_keys": [self._key(names, number, place) for place in range(_KEYS)],
        }

    def function_rows(self, version: Row, review: Row, release: Row, versions: int) -> dict[str, list[Row]]:
        """Return what belongs to one function; the three rows are its templates, already renamed."""
        tail = str(version["function"]).removeprefix("fn_")
        return {
            "reviews": [
                review | {"id": f"rev_{tail[4:]}{number:04d}", "version": f"ver_{tail[4:]}{number:04d}"}
                | {"number": number, "digest": digest_of(str(version["function"]), number)}
                for number in range(1, versions + 1, _REVIEW_EVERY)
            ],
            # Not live: what is tried is the control plane, not a host with thousands of listeners.
            "releases": [
                release | {"id": f"rel_{tail[4:]}{number:04d}", "number": number, "state": "superseded"}
                for number in range(1, _RELEASES + 1)
            ],
            "version_packages": list(_packages(version, tail, versions)),
        }  # fmt: skip

    def share_rows(self, names: Mapping[str, str], place: int, versions: int) -> dict[str, list[Row]]:
        """Return the offer of one function, in the end most of the market."""
        tail = str(names[self._share["function"]]).removeprefix("fn_")
        share = f"shr_{tail}"
        reach = "everyone" if place % _REACH_EVERY == 0 else names[self._share["organization"]]
        row = renamed(self._share, names) | {"id": share, "reach": reach, "number": versions}
        words = [{"word": word["word"], "share": share} for word in self._words]
        return {"shares": [row], "share_words": words}

    def finish(self) -> None:
        """Let the sequence of events go on behind the copies."""
        with self._engine.begin() as connection:
            connection.exec_driver_sql(
                f"UPDATE counters SET value = {self._sequence:d} WHERE name = 'events'"
            )

    def copy_of(self, rows: Mapping[str, list[Row]]) -> None:
        """Insert rows by table."""
        for table, some in rows.items():
            insert_rows(self._engine, table, some)

    def _event(self, names: Mapping[str, str], number: int, place: int) -> Row:
        self._sequence += 1
        event = self._events[place % len(self._events)]
        return renamed(event, names) | {
            "id": f"evt_{number:013d}{place:013d}",
            "organization": names[self._audit[0]["organization"]],
            "sequence": self._sequence,
        }

    def _key(self, names: Mapping[str, str], number: int, place: int) -> Row:
        digest = hashlib.sha256(f"{number}/{place}".encode()).hexdigest()
        key = self._keys[place % len(self._keys)]
        # Revoked: what is tried is the list, not a gateway with thousands of keys.
        return renamed(key, names) | {
            "id": f"key_{number:013d}{place:013d}",
            "sha256": digest,
            "name": f"key-{place}",
            "revoked_ms": key["created_ms"],
            "cut_ms": key["created_ms"],
        }


def digest_of(function: str, number: int) -> str:
    """Return the made-up digest of a copied version."""
    return "sha256:" + hashlib.sha256(f"{function}/{number}".encode()).hexdigest()


def _packages(version: Mapping[str, Any], tail: str, versions: int) -> Iterator[Row]:
    for number in range(1, versions + 1):
        for package in _PACKAGES:
            yield {
                "organization": version["organization"],
                "package": package,
                "version": f"ver_{tail[4:]}{number:04d}",
                "package_version": f"1.{number % _PACKAGE_VERSIONS}.0",
                "project": version["project"],
                "function": version["function"],
                "number": number,
            }


def _of_organizations(rows: list[Row]) -> list[Row]:
    """Leave out what belongs to the whole system."""
    return [row for row in rows if str(row["organization"]).startswith("org_")]
