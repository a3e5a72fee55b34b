"""What functions, drafts, versions and test runs gained: details, packages and previews."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Versions that are read at once: their locks may be large.
_AT_ONCE = 500


def upgrade() -> None:
    """Add columns, indexes and tables, then fill them from what is there."""
    for table, name, kind, default in _COLUMNS:
        op.add_column(table, sa.Column(name, kind, nullable=False, server_default=default))
    op.create_index("functions_created", "functions", ["organization", "id"], unique=False)
    op.create_index("functions_updated", "functions", ["organization", "updated_ms", "id"], unique=False)
    op.create_index("releases_function", "releases", ["function", "state"], unique=False)
    _create_tables()
    op.execute(
        "UPDATE functions SET updated_ms = COALESCE((SELECT drafts.updated_ms FROM drafts "
        "WHERE drafts.function = functions.id), created_ms)"
    )
    _fill_from_versions()


def downgrade() -> None:
    """Take all of it back."""
    op.drop_index("previews_expires", "previews")
    op.drop_table("previews")
    op.drop_index("version_packages_exact", "version_packages")
    op.drop_table("version_packages")
    op.drop_index("releases_function", "releases")
    op.drop_index("functions_updated", "functions")
    op.drop_index("functions_created", "functions")
    for table, name, _, _ in reversed(_COLUMNS):
        op.drop_column(table, name)


_COLUMNS = (
    ("functions", "description", sa.Text(), ""),
    ("functions", "labels", sa.Text(), "{}"),
    ("functions", "revision", sa.BigInteger(), "1"),
    ("functions", "updated_ms", sa.BigInteger(), "0"),
    ("functions", "runtime", sa.String(), ""),
    ("versions", "reason", sa.Text(), ""),
    ("test_runs", "deadline_ms", sa.BigInteger(), "0"),
)


def _create_tables() -> None:
    op.create_table(
        "version_packages",
        sa.Column("organization", sa.String(), nullable=False),
        sa.Column("package", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("package_version", sa.String(), nullable=False),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("function", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organization", "package", "version"),
    )
    op.create_index(
        "version_packages_exact",
        "version_packages",
        ["organization", "package", "package_version", "version"],
        unique=False,
    )
    texts = ("organization", "project", "function", "user")
    bodies = ("declaration", "layers", "settings", "secrets")
    op.create_table(
        "previews",
        sa.Column("id", sa.String(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in texts),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in bodies),
        sa.Column("key_sha256", sa.String(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("created_ms", "updated_ms", "expires_ms")
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("function", "user", "number", name="previews_of_a_person"),
    )
    op.create_index("previews_expires", "previews", ["expires_ms"], unique=False)


def _fill_from_versions() -> None:
    """Give each function its newest version's runtime, and each version its packages."""
    connection, last = op.get_bind(), ""
    newest: dict[str, tuple[int, str]] = {}
    while True:
        rows = connection.execute(
            sa.text(
                "SELECT id, organization, project, function, number, lock, declaration FROM versions "
                "WHERE id > :last ORDER BY id LIMIT :most"
            ),
            {"last": last, "most": _AT_ONCE},
        ).all()
        if not rows:
            break
        last = rows[-1].id
        for row in rows:
            if row.number > newest.get(row.function, (0, ""))[0]:
                newest[row.function] = (row.number, json.loads(row.declaration).get("runtime", ""))
        found = [package for row in rows for package in _packages(row)]
        if found:
            connection.execute(
                sa.text(
                    "INSERT INTO version_packages (organization, package, version, package_version, "
                    "project, function, number) VALUES (:organization, :package, :version, "
                    ":package_version, :project, :function, :number)"
                ),
                found,
            )
    runtimes = [{"function": function, "runtime": runtime} for function, (_, runtime) in newest.items()]
    if runtimes:
        connection.execute(sa.text("UPDATE functions SET runtime = :runtime WHERE id = :function"), runtimes)


def _packages(row: Any) -> list[dict[str, Any]]:
    """Return the rows of one version; names in a lock have their normal form already."""
    lock = json.loads(row.lock) if row.lock else {}
    named = {package["name"]: package["version"] for package in lock.get("packages", [])}
    return [
        {
            "organization": row.organization,
            "package": name,
            "version": row.id,
            "package_version": version,
            "project": row.project,
            "function": row.function,
            "number": row.number,
        }
        for name, version in named.items()
    ]
