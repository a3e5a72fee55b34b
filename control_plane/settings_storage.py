"""The groups of settings that say where rows and objects live, and how they are reached.

As in `settings_groups`, each field carries its meaning, unit and the reason for its default. No
password of an object store is a setting: its file is named.
"""

from __future__ import annotations

from dataclasses import dataclass

from control_plane.settings_options import option

__all__ = ["Database", "Moving", "Storage"]


@dataclass(frozen=True, slots=True)
class Database:
    """Where rows live."""

    control_url: str = option(
        "", "SQLAlchemy URL of the control database. Empty: SQLite in the data folder, which needs no server."
    )
    usage_url: str = option("", "SQLAlchemy URL of the usage database. Empty: SQLite in the data folder.")
    control_owner_url: str = option(
        "",
        "URL of the control database with the PostgreSQL role that owns its tables; migrations run under it, "
        "and `control_url`'s role is granted rows alone. Empty: `control_url`'s role owns the tables.",
    )
    pool_size: int = option(
        12, "PostgreSQL connections that each process keeps; as many as it has threads at work at once."
    )
    pool_overflow: int = option(
        20, "PostgreSQL connections that each process may open beyond those, for a burst."
    )
    pool_wait_s: float = option(
        10.0, "Seconds that a request waits for a free connection before it is answered 503."
    )
    statement_timeout_s: float = option(
        30.0,
        "Seconds after which PostgreSQL ends a statement; none of a request takes as long. Migrations are "
        "not meant. 0: never.",
    )


@dataclass(frozen=True, slots=True)
class Storage:
    """Where objects live: the code of versions, bills of materials and files."""

    bucket: str = option(
        "",
        "Bucket of an S3 store that keeps objects. Empty: they stay in the data folder, without a server.",
    )
    endpoint: str = option(
        "", "Address of the S3 store, as `https://s3.example:9000`. Empty: AWS itself, in the region."
    )
    region: str = option("us-east-1", "Region of the bucket; most stores of one's own take this one.")
    prefix: str = option(
        "", "Beginning of the names of all objects, so that a bucket can be shared; ends in a slash."
    )
    access_key: str = option(
        "", "Name of the key that reads, writes, lists and deletes below the prefix. Empty: AWS's own ways."
    )
    secret_key_file: str = option("", "File with that key's secret, readable to Ingot alone.")
    ca_file: str = option("", "PEM file with the CA certificates of the store. Empty: the usual ones.")
    timeout_s: float = option(
        20.0,
        "Longest silence of the store in seconds, after which a request is tried again, up to four times.",
    )


@dataclass(frozen=True, slots=True)
class Moving:
    """Functions that arrive from other Ingots."""

    trusted_keys_file: str = option(
        "",
        "File with what `ingot trust` printed there: the keys of Ingots whose approvals count here. Its "
        "`namespaces` are the names of projects. Empty: what arrives is to be reviewed here.",
    )
