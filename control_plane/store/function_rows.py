"""Rows of functions, drafts, edits and test runs."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection

from control_plane.domain.functions import Draft, Edit, Function, TestRun
from control_plane.store.rows import Rows, chunks
from control_plane.store.tables import draft_edits, drafts, functions, test_runs

__all__ = ["FunctionRows"]


class FunctionRows:
    """Functions and their editable state."""

    def __init__(self, connection: Connection) -> None:
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
        return self._functions.one(functions.c.organization == organization, functions.c.id == function)

    def by_name(self, organization: str, name: str) -> Function | None:
        """Return a function by name."""
        return self._functions.one(functions.c.organization == organization, functions.c.name == name)

    def list(
        self, organization: str, projects: Collection[str], after: str, limit: int
    ) -> tuple[Function, ...]:
        """Return functions of these projects behind an id, oldest first."""
        statement = self._functions.select(
            functions.c.organization == organization,
            functions.c.project.in_(projects),
            functions.c.id > after,
        )
        return self._functions.all(statement.order_by(functions.c.id).limit(limit))

    def present(self, ids: Collection[str]) -> dict[str, Function]:
        """Return those of these functions that were not taken down, over all tenants; reconciler alone."""
        present = functions.c.removed_ms == 0
        selects = (self._functions.select(functions.c.id.in_(some), present) for some in chunks(ids))
        return {function.id: function for one in selects for function in self._functions.all(one)}

    def draft(self, organization: str, function: str) -> Draft:
        """Return a function's draft; every function has one."""
        draft = self._drafts.one(drafts.c.organization == organization, drafts.c.function == function)
        if draft is None:
            raise LookupError(f"{function} has no draft")
        return draft

    def update_draft(self, draft: Draft) -> None:
        """Write a draft back."""
        self._drafts.update(draft, "organization", "function")

    def add_edit(self, edit: Edit) -> None:
        """Keep who edited."""
        self._edits.add(edit)

    def edits_after(self, organization: str, function: str, revision: int) -> tuple[Edit, ...]:
        """Return the edits that made revisions above this one."""
        statement = self._edits.select(
            draft_edits.c.organization == organization,
            draft_edits.c.function == function,
            draft_edits.c.revision > revision,
        )
        return self._edits.all(statement.order_by(draft_edits.c.revision))

    def add_test_run(self, run: TestRun) -> None:
        """Insert a test run."""
        self._runs.add(run)

    def update_test_run(self, run: TestRun) -> None:
        """Write a test run back."""
        self._runs.update(run, "organization", "id")

    def test_run(self, organization: str, run: str) -> TestRun | None:
        """Return a test run by id."""
        return self._runs.one(test_runs.c.organization == organization, test_runs.c.id == run)

    def test_runs(self, organization: str, function: str, limit: int) -> tuple[TestRun, ...]:
        """Return a function's newest test runs."""
        statement = self._runs.select(
            test_runs.c.organization == organization, test_runs.c.function == function
        )
        return self._runs.all(statement.order_by(test_runs.c.id.desc()).limit(limit))
