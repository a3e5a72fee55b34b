"""Files, shares, installations, and values of one function alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_NUMBER = ("kind", "stage", "name", "number")


def upgrade() -> None:
    """Add the tables, and a function to each named value."""
    _number_values("project", "function")
    op.create_index("releases_project", "releases", ["organization", "project", "state"])
    _create_files()
    _create_shares()


def downgrade() -> None:
    """Drop them; the values of single functions go too, as the project has no place for them."""
    op.drop_table("installations")
    op.drop_table("share_words")
    op.drop_table("shares")
    op.drop_table("files")
    op.drop_index("releases_project", table_name="releases")
    _number_values("project")


def _number_values(*scope: str) -> None:
    """Give the values of each scope numbers of their own; the table stays one that is only added to."""
    postgresql = op.get_bind().dialect.name == "postgresql"
    for verb in ("update", "delete"):
        on = " ON named_values" if postgresql else ""
        op.execute(f"DROP TRIGGER named_values_{verb}{on}")
    if "function" not in scope:
        op.execute("DELETE FROM named_values WHERE function <> ''")
    with op.batch_alter_table("named_values") as table:
        table.drop_constraint("named_values_number", type_="unique")
        if "function" in scope:
            table.add_column(sa.Column("function", sa.String(), nullable=False, server_default=""))
        else:
            table.drop_column("function")
        table.create_unique_constraint("named_values_number", [*scope, *_NUMBER])
    for verb in ("UPDATE", "DELETE"):
        if postgresql:
            action = "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        else:
            action = "BEGIN SELECT RAISE(ABORT, 'rows of named_values are only ever added'); END"
        op.execute(f"CREATE TRIGGER named_values_{verb.lower()} BEFORE {verb} ON named_values {action}")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=False)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=False)


def _create_files() -> None:
    op.create_table(
        "files",
        _text("id"),
        _text("organization"),
        _text("project"),
        _text("name"),
        _text("media_type"),
        _integer("size"),
        _text("digest"),
        _text("state"),
        _text("created_by"),
        _integer("created_ms"),
        _integer("expires_ms"),
        _integer("due_ms"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("files_project", "files", ["organization", "project", "id"])
    op.create_index("files_due", "files", ["due_ms"])


def _create_shares() -> None:
    op.create_table(
        "shares",
        _text("id"),
        _text("organization"),
        _text("project"),
        _text("function"),
        _text("version"),
        _integer("number"),
        _text("digest"),
        _text("kind"),
        _text("name"),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        _text("reach"),
        sa.Column("reviewed", sa.Boolean(), nullable=False),
        _text("shared_by"),
        _integer("created_ms"),
        _integer("updated_ms"),
        _integer("revision"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("function", "kind", "reach", name="shares_reach_once"),
    )
    op.create_index("shares_reach", "shares", ["reach", "id"])
    op.create_index("shares_owner", "shares", ["organization", "id"])
    op.create_table(
        "share_words",
        sa.Column("word", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        _text("share"),
        sa.PrimaryKeyConstraint("word", "share"),
    )
    op.create_index("share_words_share", "share_words", ["share"])
    op.create_table(
        "installations",
        _text("function"),
        _text("organization"),
        _text("project"),
        _text("share"),
        _text("source_organization"),
        _text("source_name"),
        _integer("number"),
        _text("digest"),
        _text("installed_by"),
        _integer("installed_ms"),
        sa.PrimaryKeyConstraint("function"),
    )
    op.create_index("installations_organization", "installations", ["organization", "function"])
