"""A running Ingot whose databases are already full: seeded once, kept, and copied for each run.

What is kept is named by what it was made from (the seed, the tables, the
migrations, the scale), so that a change of any of them seeds anew. It is also
made anew after a day, as its usage lies in the days before it was made.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import Engine

from control_plane.store.engine import create_engine
from control_plane.store.tables import CONTROL_SCHEMA
from control_plane.store.usage_tables import USAGE_SCHEMA
from tests.bench.api_seed import Scale, Tenant, copy_organizations, copy_usage
from tests.support.postgres import running_postgres
from tests.support.system import System, wait_for

__all__ = ["POSTGRESQL", "SQLITE", "Seeded", "databases", "seeded_system"]

SQLITE: Final = "SQLite"
POSTGRESQL: Final = "PostgreSQL"
_ROOT: Final = Path(__file__).resolve().parents[2]
_MADE_FROM: Final = (
    "tests/bench/api_*seed.py",
    "tests/bench/seeded.py",
    "control_plane/store/*tables.py",
    "control_plane/store/migrations/*/versions/*.py",
)
_OLDEST_S: Final = 86_400
_HELLO: Final = {
    "main.py": "def execute(input, context):\n    return {'hello': 'you'}\n",
    "ingot.toml": 'handler = "main:execute"\n',
}


@dataclass(frozen=True, slots=True)
class Seeded:
    """A full system that serves."""

    system: System
    tenants: list[Tenant]
    # Seconds that seeding took, now or when it was kept, and that copying what was kept took.
    seeded_s: float
    copied_s: float


@contextmanager
def seeded_system(side: str, scale: Scale) -> Iterator[Seeded]:
    """Yield a running system on a copy of the kept databases; everything but those is gone afterwards."""
    kept = _kept(side, scale)
    began = time.perf_counter()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ingot-")))
        folder.chmod(0o755)
        for name in ("data", "pg"):
            if (kept / name).exists():
                _copy(kept / name, folder / name)
        system = stack.enter_context(_started(side, folder))
        facts = json.loads((kept / "facts.json").read_text())
        tenants = [Tenant(**one) for one in facts["tenants"]]
        yield Seeded(system, tenants, facts["seeded_s"], round(time.perf_counter() - began, 1))


@contextmanager
def databases(system: System) -> Iterator[tuple[Engine, Engine]]:
    """Yield engines on a system's control and usage databases."""
    given = system.environment
    control = given.get("INGOT_DATABASE_CONTROL_URL", f"sqlite:///{system.data}/db/control.db")
    usage = given.get("INGOT_DATABASE_USAGE_URL", f"sqlite:///{system.data}/db/usage.db")
    engines = create_engine(control, schema=CONTROL_SCHEMA), create_engine(usage, schema=USAGE_SCHEMA)
    try:
        yield engines
    finally:
        for engine in engines:
            engine.dispose()


def _kept(side: str, scale: Scale) -> Path:
    """Return the folder of a kept seed, which is made when there is none."""
    digest = hashlib.sha256(json.dumps([side, asdict(scale)]).encode())
    for pattern in _MADE_FROM:
        for path in sorted(_ROOT.glob(pattern)):
            digest.update(path.read_bytes())
    shelf = Path(tempfile.gettempdir()) / f"ingot-bench-{os.getuid()}"
    shelf.mkdir(mode=0o700, exist_ok=True)
    kept = shelf / f"{side}-{digest.hexdigest()[:16]}"
    if kept.exists() and time.time() - kept.stat().st_mtime < _OLDEST_S:
        return kept
    for old in shelf.glob(f"{side}-*"):
        if old == kept or time.time() - old.stat().st_mtime > _OLDEST_S:
            shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="ingot-", dir="/tmp") as made:
        folder = Path(made)
        folder.chmod(0o755)
        _seed(side, scale, folder)
        half = shelf / f"{kept.name}.{os.getpid()}"
        half.mkdir()
        for name in ("data", "pg", "facts.json"):
            if (folder / name).exists():
                _copy(folder / name, half / name)
        half.rename(kept)
    return kept


def _seed(side: str, scale: Scale, folder: Path) -> None:
    with _started(side, folder) as system:
        system.set_up()
        system.publish("hello", _HELLO)
        offer = {"version": 1, "audience": "organization", "summary": "Says hello.", "tags": ["demo"]}
        system.people["owner"].call("POST", "/functions/hello/shares", json=offer)
        key = system.key("bench")
        system.wait_callable("hello", key)
        wait_for(lambda: system.people["owner"].call("GET", "/invocations?function=hello")["items"], 30, 0.2)
        wait_for(lambda: _sequenced(system), 30, 0.2)
        began = time.perf_counter()
        with databases(system) as (control, usage):
            tenants = copy_organizations(control, scale)
            copy_usage(usage, tenants, scale)
            for engine in (control, usage):
                _settle(engine)
        seconds = round(time.perf_counter() - began, 1)
    facts = {"tenants": [asdict(tenant) for tenant in tenants], "seeded_s": seconds}
    (folder / "facts.json").write_text(json.dumps(facts))


def _settle(engine: Engine) -> None:
    """Do at once what the database does by itself within minutes."""
    if engine.dialect.name != "postgresql":
        # SQLite keeps no statistics unless somebody asks it to, which nobody does in service.
        return
    # Which no transaction may hold.
    raw = engine.raw_connection()
    raw.cursor().execute("VACUUM ANALYZE")
    raw.close()


def _sequenced(system: System) -> bool:
    with databases(system) as (control, _), control.begin() as connection:
        return not connection.exec_driver_sql("SELECT count(*) FROM outbox WHERE sequence = 0").scalar()


@contextmanager
def _started(side: str, folder: Path) -> Iterator[System]:
    """Yield a system that serves from `folder`, on what is there already."""
    with ExitStack() as stack:
        more: dict[str, str] = {}
        if side == POSTGRESQL:
            url = stack.enter_context(running_postgres(folder / "pg"))
            # The services may run under user ids of their own.
            Path(parse_qs(urlsplit(url).query)["host"][0]).chmod(0o711)
            more = {"INGOT_DATABASE_CONTROL_URL": url, "INGOT_DATABASE_USAGE_URL": url}
        system = System(folder, user=None, **more)
        try:
            system.start(120)
            yield system
        finally:
            system.stop()


def _copy(source: Path, target: Path) -> None:
    """Copy with owners, and without copying bytes where the file system can share them."""
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(target)], check=True)
