"""Which packages each version was locked with, filled when a version is frozen."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, String, Table

from control_plane.store.tables import metadata

__all__ = ["version_packages"]

version_packages = Table(
    "version_packages",
    metadata,
    Column("organization", String, primary_key=True),
    # In its normal form.
    Column("package", String, primary_key=True),
    # The version of the function; ids sort by time.
    Column("version", String, primary_key=True),
    Column("package_version", String, nullable=False),
    Column("project", String, nullable=False),
    Column("function", String, nullable=False),
    Column("number", BigInteger, nullable=False),
    Index("version_packages_exact", "organization", "package", "package_version", "version"),
)
