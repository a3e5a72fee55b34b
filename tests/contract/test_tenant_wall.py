"""The second wall, on PostgreSQL: a statement that forgets its organization shows none of another tenant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from sqlalchemy import Engine, Table, create_engine, delete, event, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from control_plane.domain.identity import Actor
from control_plane.domain.metering import HOUR_MS, Call
from control_plane.domain.monitoring import Reading
from control_plane.errors import Invalid
from control_plane.store import usage_tables
from control_plane.store.invocation_queries import CallFilter, InvocationReader
from control_plane.store.series_queries import SeriesReader
from control_plane.store.tables import metadata
from control_plane.store.tenant_wall import EVERYONE, NOBODY, reaching
from control_plane.store.unit_of_work import Store, UnitOfWork
from control_plane.store.usage_intake import Intake
from control_plane.store.usage_ledger import UsageLedger
from control_plane.store.usage_queries import UsageReader
from control_plane.store.usage_series import SeriesLedger
from tests.support.builders import World
from tests.support.shared_storage import SERVICE, SharedStorage, running_shared_storage

# Tables with an organization that no rule protects, and why.
_OPEN = {
    "audit_heads": "one counter and one hash for each chain, locked before anything is known",
    "bindings": "who somebody is in every organization is asked before one is chosen",
    "disabled_members": "the same",
    "credentials": "looked up by their hash, before it is known whose they are",
    "shares": "made to be seen by other organizations",
}


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedStorage]:
    try:
        with running_shared_storage(tmp_path_factory.mktemp("wall")) as made:
            yield made
    except FileNotFoundError as reason:
        pytest.skip(f"PostgreSQL or S3 cannot be started here: {reason}")


@pytest.fixture
def service(storage: SharedStorage) -> Iterator[Engine]:
    with storage.emptied() as (control, _, _):
        yield control


@pytest.fixture
def tenants(service: Engine) -> tuple[World, Actor, Actor]:
    """Two organizations with a function each."""
    world = World(service)
    one = world.owner("one")
    world.organizations.create(one, name="other")
    other = world.sessions.act_in(one, "other")
    for actor, name in ((one, "mine"), (other, "theirs")):
        world.functions.create(actor, project="main", name=name)
    return world, one, other


def _protected() -> list[Table]:
    return [one for one in metadata.sorted_tables if "organization" in one.c and one.name not in _OPEN]


def _counted() -> list[Table]:
    return [one for one in usage_tables.metadata.sorted_tables if "organization" in one.c]


def test_every_table_of_tenants_has_a_rule_that_holds_for_its_owner_too(service: Engine) -> None:
    with service.connect() as connection:
        found = connection.execute(
            text(
                "SELECT relname FROM pg_class JOIN pg_policy ON polrelid = pg_class.oid"
                " WHERE relrowsecurity AND relforcerowsecurity"
            )
        ).scalars()
        assert set(found) == {one.name for one in (*_protected(), *_counted())}


def test_the_service_cannot_change_the_tables_or_get_around_the_rules(service: Engine) -> None:
    with service.connect() as connection:
        role = connection.execute(
            text("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = :name"), {"name": SERVICE}
        ).one()
        assert role == (False, False)
    for statement in (
        "ALTER TABLE functions DISABLE ROW LEVEL SECURITY",
        "DROP POLICY tenants ON functions",
        "DROP TABLE functions",
        "DELETE FROM alembic_version",
    ):
        with (
            pytest.raises(DBAPIError, match=r"must be owner|permission denied"),
            service.begin() as connection,
        ):
            connection.execute(text(statement))


def test_a_statement_without_its_organization_finds_only_the_tenants_own(
    tenants: tuple[World, Actor, Actor],
) -> None:
    world, one, other = tenants
    seen = 0
    for table in _protected():
        for actor in (one, other):
            with world.store.read(actor.organization) as unit:
                found = unit.functions._connection.execute(select(table.c.organization).distinct()).scalars()
                rows = set(found)
                assert rows <= {actor.organization}, table.name
                seen += len(rows)
        with world.store.read(NOBODY) as unit:
            count = select(func.count()).select_from(table)
            assert unit.functions._connection.execute(count).scalar() == 0, table.name
    assert seen >= 8, "there was hardly anything to see"


def test_nothing_of_another_tenant_can_be_written(
    tenants: tuple[World, Actor, Actor], service: Engine
) -> None:
    world, one, other = tenants
    functions = metadata.tables["functions"]
    with world.store.begin(one.organization) as unit:
        connection = unit.functions._connection
        assert connection.execute(update(functions).values(title="x")).rowcount == 1
        assert connection.execute(delete(functions)).rowcount == 1
        row = dict(connection.execute(select(metadata.tables["projects"])).mappings().one())
        row |= {"id": "prj_new", "organization": other.organization}
        with pytest.raises(DBAPIError, match="row-level security"), connection.begin_nested():
            connection.execute(insert(metadata.tables["projects"]).values(**row))
    with world.store.read(other.organization) as unit:
        assert unit.functions.by_name(other.organization, "theirs") is not None


def test_what_a_transaction_saw_is_closed_when_its_connection_is_used_again(
    tenants: tuple[World, Actor, Actor], service: Engine
) -> None:
    world, one, _ = tenants
    count = select(func.count()).select_from(metadata.tables["functions"])
    with world.store.read() as unit:
        assert unit.functions._connection.execute(count).scalar() == 2
    with service.connect() as connection:
        assert connection.execute(count).scalar() == 0
    with Store(service).begin(one.organization) as unit:
        _reach_and_fail(unit)
        assert unit.functions._connection.execute(count).scalar() == 1
        unit.reach("*")
        assert unit.functions._connection.execute(count).scalar() == 2


def _reach_and_fail(unit: UnitOfWork) -> None:
    with suppress(ValueError), unit.savepoint():
        unit.reach("*")
        raise ValueError


_MANY = """
    INSERT INTO functions SELECT (jsonb_populate_record(
        one, jsonb_build_object('id', 'fn_' || number, 'name', 'f' || number, 'project', 'p' || number % 100)
    )).* FROM functions one, generate_series(1, 5000) number
"""
_LIST = "SELECT * FROM functions WHERE organization = :o AND project = 'p7' ORDER BY id LIMIT 50"


def test_indexed_lists_stay_indexed_behind_the_wall(
    tenants: tuple[World, Actor, Actor],
    storage: SharedStorage,
    record_property: Callable[[str, object], None],
) -> None:
    world, one, other = tenants
    for actor, before in ((one, ""), (other, "o")):
        with world.store.begin(actor.organization) as unit:
            unit.functions._connection.execute(text(_MANY.replace("'fn_'", f"'fn_{before}'")))
    owner = create_engine(storage.owner, isolation_level="AUTOCOMMIT")
    with owner.connect() as connection:
        connection.execute(text("ANALYZE control.functions"))
    owner.dispose()
    with world.store.read(one.organization) as unit:
        plan = list(
            unit.functions._connection.execute(
                text(f"EXPLAIN ANALYZE {_LIST}"), {"o": one.organization}
            ).scalars()
        )
    record_property("plan", "\n".join(plan))
    assert any("functions_project" in line for line in plan), plan
    condition = next(line for line in plan if "Index Cond" in line)
    assert "organization" in condition
    assert "project" in condition


_AT = 1_760_054_400_000


@pytest.fixture
def counted(storage: SharedStorage) -> Iterator[Engine]:
    """The usage database with one call each of two organizations, and one that met none."""
    with storage.emptied() as (_, usage, _):
        calls = [
            Call(
                f"{_AT}-{number}", f"r{number}", organization, f"prj_{organization}", "fn1", "v1", "k1", "t1",
                _AT, "GET", 200, "--", "", 0, 0, 40, 40, 10, 20, False, 128, f"{number:032x}",
            )
            for number, organization in enumerate(("one", "other", ""))
        ]  # fmt: skip
        UsageLedger(usage).write(Intake(_AT, calls))
        instances = {(name, f"prj_{name}", "fn1", "v1"): 1 for name in ("one", "other", "")}
        SeriesLedger(usage).keep([Reading(_AT, {}, instances)])
        yield usage


def _shown(engine: Engine, table: Table) -> set[str]:
    with engine.connect() as connection:
        return set(connection.execute(select(table.c.organization)).scalars())


def test_a_statement_on_usage_without_its_organization_finds_only_the_tenants_own(counted: Engine) -> None:
    for table in _counted():
        for organization in ("one", "other", ""):
            assert _shown(reaching(counted, organization), table) == {organization}, table.name
        assert _shown(reaching(counted, EVERYONE), table) == {"one", "other", ""}, table.name
        assert _shown(reaching(counted, NOBODY), table) == _shown(counted, table) == set(), table.name


def test_questions_about_usage_show_nothing_of_another_tenants_project(counted: Engine) -> None:
    span = (_AT, _AT + HOUR_MS)
    everybody, mine = UsageReader(counted), UsageReader(counted).of("one")
    for project, seen in (("prj_one", 1), ("prj_other", 0)):
        assert len(mine.totals(project, span, "function", {})) == seen
        assert len(mine.finest([project], span, HOUR_MS)) == seen
        assert len(InvocationReader(counted).of("one").calls(project, CallFilter(), None, 9)) == seen
        assert len(everybody.totals(project, span, "function", {})) == 1
    assert InvocationReader(counted).of("one").one("other", f"{_AT}-1") is None
    assert SeriesReader(counted).of("one").totals("other", 0, 9) == []
    assert everybody.counted(span)["events"] == 3


def test_a_reader_cannot_write_usage_and_a_tenant_cannot_write_anothers(counted: Engine) -> None:
    events = usage_tables.usage_events
    with (
        pytest.raises(DBAPIError, match="read-only transaction"),
        UsageReader(counted)._engine.begin() as connection,
    ):
        connection.execute(delete(events))
    with reaching(counted, "one").begin() as connection:
        assert connection.execute(delete(events)).rowcount == 1
    foreign = insert(usage_tables.usage_hourly).values(**_sums_of("other"))
    with (
        pytest.raises(DBAPIError, match="row-level security"),
        reaching(counted, "one").begin() as connection,
    ):
        connection.execute(foreign)


def _sums_of(organization: str) -> dict[str, object]:
    texts = dict.fromkeys(usage_tables.HOURLY_KEY[1:], "x")
    sums = dict.fromkeys(usage_tables.HOURLY_SUMS, 1)
    return {"hour_ms": _AT, **texts, **sums, "organization": organization}


def test_sums_are_made_from_an_index_alone_behind_the_wall(counted: Engine) -> None:
    with reaching(counted, EVERYONE).begin() as connection:
        connection.execute(
            text(
                "INSERT INTO usage_hourly SELECT (jsonb_populate_record(one, jsonb_build_object("
                "'hour_ms', one.hour_ms + number * 3600000::bigint, 'project', 'p' || number % 50))).*"
                " FROM usage_hourly one, generate_series(1, 4000) number WHERE one.organization = 'one'"
            )
        )
    raw = counted.raw_connection()
    raw.cursor().execute("VACUUM ANALYZE usage_hourly")
    raw.close()
    with reaching(counted, "one").begin() as connection:
        query = "EXPLAIN SELECT sum(calls) FROM usage_hourly WHERE project = 'p7' AND hour_ms > 0"
        plan = list(connection.execute(text(query)).scalars())
    assert any("Index Only Scan using usage_hourly_project" in line for line in plan), plan


def test_the_rules_cost_no_message_of_their_own(service: Engine) -> None:
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        sent.append(statement)

    event.listen(service, "before_cursor_execute", note)
    try:
        with Store(service).read("org_one") as unit:
            unit.functions._connection.execute(text("SELECT 1"))
    finally:
        event.remove(service, "before_cursor_execute", note)
    assert len(sent) == 2, sent
    assert sent[0].startswith("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL")


def test_an_id_that_no_organization_has_is_never_sent(service: Engine) -> None:
    for hostile in ("x'; RESET ALL; --", "one,other", "x\n", "\u0661"):
        with pytest.raises(ValueError, match="no organization"), Store(service).read(hostile):
            pytest.fail("it was begun")


def test_a_character_that_postgresql_cannot_hold_is_refused_as_what_was_asked_for(
    tenants: tuple[World, Actor, Actor],
) -> None:
    world, one, _ = tenants
    with pytest.raises(Invalid, match="NUL"):
        world.functions.get(one, "a\0b")
    with world.changes.one_moment(), pytest.raises(Invalid, match="NUL"):
        world.functions.get(one, "a\0b")
