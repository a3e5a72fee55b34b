"""The commands that save an installation whose rows or objects are on servers, in an order that is whole.

The order is that of `create`: audit checkpoints before the chain that they speak of, calls before the
functions that they name, rows before the objects that they need. Only words: nothing is run here.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from sqlalchemy import make_url

from control_plane.settings import Settings

__all__ = ["by_hand"]

# A dump reads tables as their owner, for whom the row rules hold too: it has to say that it means all rows.
_ALL_ROWS = "PGOPTIONS='-c ingot.organizations=*' pg_dump --enable-row-security --format=custom"


def by_hand(settings: Settings, into: Path) -> tuple[str, ...]:
    """Return the commands that save all that these settings name, each for a shell, without passwords."""
    return (
        f"mkdir -p -m 700 {_quoted(into)}",
        _folder(settings, into),
        _database("usage", settings.usage_url, into),
        _database("control", settings.database.control_owner_url or settings.control_url, into),
        *_objects(settings, into),
    )


def _folder(settings: Settings, into: Path) -> str:
    """Return how the data folder is saved: keys, checkpoints, logs, and objects unless a bucket has them."""
    left = ["cache", "layers", "bytecode", "db"]
    if settings.storage.bucket:
        left.append("blobs")
    without = " ".join(f"--exclude=./{name}" for name in left)
    return f"(umask 077; tar -C {_quoted(settings.data)} {without} -cf {_quoted(into / 'data.tar')} .)"


def _database(schema: str, url: str, into: Path) -> str:
    at = make_url(url)
    if at.get_backend_name() == "sqlite":
        target = str(into / f"{schema}.db").replace("'", "''")
        copy = f"VACUUM INTO '{target}'"
        return f"sqlite3 {_quoted(at.database)} {_quoted(copy)}"
    plain = at.set(drivername="postgresql", password=None).render_as_string()
    file = _quoted(into / f"{schema}.dump")
    return f"{_ALL_ROWS} --schema={schema} --file={file} --dbname={_quoted(plain)}"


def _objects(settings: Settings, into: Path) -> tuple[str, ...]:
    kept = settings.storage
    if not kept.bucket:
        return ()
    endpoint = f" --endpoint-url {_quoted(kept.endpoint)}" if kept.endpoint else ""
    place, target = _quoted(f"s3://{kept.bucket}/{kept.prefix}"), _quoted(into / "objects")
    return (f"aws{endpoint} s3 sync {place} {target}",)


def _quoted(value: object) -> str:
    return shlex.quote(str(value))
