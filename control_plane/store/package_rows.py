"""Rows of the packages that versions contain."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, insert, select

from control_plane.domain.packages import PackageUse, normal_name
from control_plane.domain.versions import Version
from control_plane.store.function_tables import functions, versions
from control_plane.store.package_tables import version_packages

__all__ = ["PackageRows"]


class PackageRows:
    """One row for each package of each version."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, version: Version, packages: Mapping[str, str]) -> None:
        """Keep what a new version contains; `packages` is name -> version."""
        rows = [
            {
                "organization": version.organization,
                "package": normal_name(name),
                "version": version.id,
                "package_version": package_version,
                "project": version.project,
                "function": version.function,
                "number": version.number,
            }
            for name, package_version in packages.items()
        ]
        if rows:
            self._connection.execute(insert(version_packages), rows)

    def of_version(self, organization: str, version: str) -> dict[str, str]:
        """Return name -> version of what a version contains."""
        columns = version_packages.c
        statement = select(columns.package, columns.package_version).where(
            columns.organization == organization, columns.version == version
        )
        return {row.package: row.package_version for row in self._connection.execute(statement)}

    def uses(
        self,
        organization: str,
        projects: Collection[str],
        package: tuple[str, str],
        *,
        before: str,
        limit: int,
    ) -> tuple[PackageUse, ...]:
        """Return versions of these projects that contain a (name, version or ""), newest first."""
        columns = version_packages.c
        statement = (
            select(
                columns.version,
                columns.project,
                columns.function,
                functions.c.name.label("function_name"),
                columns.number,
                versions.c.digest,
                versions.c.state,
                versions.c.published_ms,
                columns.package,
                columns.package_version,
            )
            .join(versions, versions.c.id == columns.version)
            .join(functions, functions.c.id == columns.function)
            .where(
                columns.organization == organization,
                columns.package == package[0],
                columns.project.in_(projects),
            )
        )
        if package[1]:
            statement = statement.where(columns.package_version == package[1])
        if before:
            statement = statement.where(columns.version < before)
        rows = self._connection.execute(statement.order_by(columns.version.desc()).limit(limit))
        return tuple(PackageUse(**row._mapping) for row in rows)
