"""Rows of functions, drafts, edits and test runs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    exists,
    or_,
    select,
    update,
)

from control_plane.domain.function_search import FunctionSearch, FunctionSort, FunctionState
from control_plane.domain.functions import Draft, Edit, Function
from control_plane.domain.releases import ReleaseState
from control_plane.domain.test_runs import TestRun
from control_plane.store.function_tables import draft_edits, drafts, functions, releases, test_runs
from control_plane.store.prepared import change_rows, find_rows
from control_plane.store.rows import Rows, chunks, filled, listed, selecting

__all__ = ["FunctionRows"]

# Edits and sums of usage send these, so they are built once.
_TOUCH: Final = (
    update(functions)
    .where(functions.c.organization == bindparam("organization_of"), functions.c.id == bindparam("of"))
    .values(updated_ms=bindparam("at"))
)
_NAMES: Final = select(functions.c.id, functions.c.name).where(
    functions.c.organization == bindparam("organization"), functions.c.project == bindparam("project")
)


class FunctionRows:
    """Functions and their editable state."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._functions = Rows(connection, functions, Function)
        self._drafts = Rows(connection, drafts, Draft)
        self._edits = Rows(connection, draft_edits, Edit)
        self._runs = Rows(connection, test_runs, TestRun)

    def add(self, function: Function, draft: Draft) -> None:
        """Insert a function with its draft."""
        self._functions.add(function)
        self._drafts.add(draft)

    def update(self, function: Function) -> None:
        """Write a function back."""
        self._functions.update(function, "organization", "id")

    def get(self, organization: str, function: str) -> Function | None:
        """Return a function by id."""
        return self._functions.one(organization=organization, id=function)

    def by_name(self, organization: str, name: str) -> Function | None:
        """Return a function by name."""
        return self._functions.one(organization=organization, name=name)

    def by_ids(self, organization: str, ids: Collection[str]) -> tuple[Function, ...]:
        """Return those of these functions that the organization has."""
        return self._functions.among(_by_ids, ids, organization=organization)

    def names(self, organization: str, project: str) -> dict[str, str]:
        """Return id -> name of all functions of a project."""
        rows = find_rows(self._connection, _NAMES, {"organization": organization, "project": project})
        return {row[0]: row[1] for row in rows}

    def touch(self, organization: str, function: str, now_ms: int) -> None:
        """Note that something of a function changed."""
        touched = {"organization_of": organization, "of": function, "at": now_ms}
        change_rows(self._connection, _TOUCH, touched)

    def list(
        self,
        organization: str,
        projects: Collection[str],
        search: FunctionSearch,
        *,
        after: tuple[str, int] | None,
        limit: int,
    ) -> tuple[Function, ...]:
        """Return functions of these projects behind a position, in the order of the search.

        The position is (name or id, updated_ms) of the function before; only what it is sorted by counts.
        """
        if not projects:
            return ()
        count, ids = filled(projects)
        shape = replace(search, text="", runtime="any" if search.runtime else "")
        statement = _listing(count, shape, behind=after is not None)
        where: dict[str, Any] = {"organization": organization, "limit": limit, **ids}
        if search.runtime:
            where["runtime"] = search.runtime
        if after is not None:
            where["behind"] = after[0]
            if search.sort is FunctionSort.UPDATED:
                where["behind_ms"] = after[1]
        if search.text:
            return self._functions.all(statement.where(_named_like(search.text)), **where)
        return self._functions.prepared(statement, **where)

    def present(self, ids: Collection[str]) -> dict[str, Function]:
        """Return those of these functions that were not taken down, over all tenants; reconciler alone."""
        present = functions.c.removed_ms == 0
        selects = (self._functions.select(functions.c.id.in_(some), present) for some in chunks(ids))
        return {function.id: function for one in selects for function in self._functions.all(one)}

    def draft(self, organization: str, function: str) -> Draft:
        """Return a function's draft; every function has one."""
        draft = self._drafts.one(organization=organization, function=function)
        if draft is None:
            raise LookupError(f"{function} has no draft")
        return draft

    def update_draft(self, draft: Draft) -> None:
        """Write a draft back."""
        self._drafts.update(draft, "organization", "function")

    def add_edit(self, edit: Edit) -> None:
        """Keep who edited."""
        self._edits.add(edit)

    def editors_after(self, organization: str, function: str, revision: int) -> tuple[tuple[str, str], ...]:
        """Return (user id, e-mail) of everybody who made a revision above this one, in order."""
        statement = select(draft_edits.c.user, draft_edits.c.email).where(
            draft_edits.c.organization == organization,
            draft_edits.c.function == function,
            draft_edits.c.revision > revision,
        )
        found = self._connection.execute(statement.distinct())
        return tuple(sorted((row.user, row.email) for row in found))

    def add_test_run(self, run: TestRun) -> None:
        """Insert a test run."""
        self._runs.add(run)

    def update_test_run(self, run: TestRun) -> None:
        """Write a test run back."""
        self._runs.update(run, "organization", "id")

    def test_run(self, organization: str, run: str) -> TestRun | None:
        """Return a test run by id."""
        return self._runs.one(organization=organization, id=run)

    def test_runs(
        self, organization: str, function: str, limit: int, before: str = ""
    ) -> tuple[TestRun, ...]:
        """Return a function's test runs before an id, newest first."""
        statement = self._runs.select(
            test_runs.c.organization == organization, test_runs.c.function == function
        )
        if before:
            statement = statement.where(test_runs.c.id < before)
        return self._runs.all(statement.order_by(test_runs.c.id.desc()).limit(limit))


# Statements that are often asked, each built once.
@cache
def _by_ids(count: int) -> Select[Any]:
    own = functions.c.organization == bindparam("organization")
    return selecting(functions, Function).where(own, functions.c.id.in_(listed(count)))


@cache
def _listing(count: int, shape: FunctionSearch, *, behind: bool) -> Select[Any]:
    """Return the statement of a search without a text; a runtime in it stands for any."""
    found = selecting(functions, Function).where(
        functions.c.organization == bindparam("organization"), functions.c.project.in_(listed(count))
    )
    if shape.state is not None:
        found = found.where(_in_state(shape.state))
    if shape.runtime:
        found = found.where(functions.c.runtime == bindparam("runtime"))
    if behind:
        found = found.where(_behind(shape))
    columns = (functions.c.updated_ms, functions.c.id)
    if shape.sort is not FunctionSort.UPDATED:
        columns = (functions.c[_SORTED_BY[shape.sort]],)  # type: ignore[assignment]
    order = [column.desc() if shape.descending else column.asc() for column in columns]
    return found.order_by(*order).limit(bindparam("limit", type_=BigInteger))


_SORTED_BY = {FunctionSort.NAME: "name", FunctionSort.CREATED: "id"}


def _named_like(text: str) -> ColumnElement[bool]:
    columns = (functions.c.name, functions.c.title)
    return or_(*(column.icontains(text, autoescape=True) for column in columns))


def _in_state(state: FunctionState) -> ColumnElement[bool]:
    live = exists().where(releases.c.function == functions.c.id, releases.c.state == ReleaseState.LIVE)
    if state is FunctionState.REMOVED:
        return functions.c.removed_ms > 0
    present = functions.c.removed_ms == 0
    return and_(present, live if state is FunctionState.LIVE else ~live)


def _behind(shape: FunctionSearch) -> ColumnElement[bool]:
    def beyond(column: Any, name: str) -> ColumnElement[bool]:
        last = bindparam(name, type_=column.type)
        found: ColumnElement[bool] = column < last if shape.descending else column > last
        return found

    if shape.sort is not FunctionSort.UPDATED:
        return beyond(functions.c[_SORTED_BY[shape.sort]], "behind")
    same = and_(functions.c.updated_ms == bindparam("behind_ms"), beyond(functions.c.id, "behind"))
    return or_(beyond(functions.c.updated_ms, "behind_ms"), same)
