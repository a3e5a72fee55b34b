"""The table of roles against expectations that were written down apart from it.

The rows below say in a person's words who may do what. Every single change of
one cell of the table must be noticed: the mutation test makes each of them in a
copy and looks whether the expectations catch it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from control_plane.domain.access import ROLES, Permission, Role

_PAGE = Path(__file__).parents[2] / "control_plane" / "docs" / "access.md"

# One letter for each role that holds the permission: Owner, admin (D), Author, Reviewer,
# oPerator, Viewer, audiTor, Billing, Guest. Written from the sentences in docs/access.md,
# never generated from ROLES.
EXPECTED: dict[str, str] = {
    # Reading what an organization consists of.
    "organization:read": "ODARPVTB",
    "department:read": "ODARPVTB",
    "project:read": "ODARPVTBG",
    "function:read": "ODARPVTG",
    "review:read": "ODARPVT",
    "release:read": "ODARPVT",
    "setting:read": "ODARPVT",
    "usage:read": "ODARPVTB",
    "event:read": "ODARPVT",
    "monitor:read": "ODARPVT",
    "share:read": "ODARPVTG",
    # Making tenants and places.
    "organization:create": "O",
    "organization:manage": "OD",
    "department:manage": "OD",
    "project:create": "OD",
    "project:manage": "OD",
    # People.
    "member:read": "ODT",
    "member:manage": "OD",
    "audit:read": "ODT",
    # Authoring and reviewing.
    "function:write": "ODA",
    "version:freeze": "ODA",
    "review:submit": "ODA",
    # A policy says whose approvals count; an operator's do only where it names the role.
    "review:decide": "ODRP",
    "share:write": "ODAP",
    "function:export": "ODAP",
    "function:import": "ODAP",
    "file:read": "ODAP",
    "file:write": "ODAP",
    # Operating.
    "release:write": "ODP",
    "version:retire": "ODP",
    "function:takedown": "ODP",
    "api_key:read": "ODAP",
    "api_key:manage": "ODP",
    "setting:write": "ODP",
    "secret:write": "ODP",
    "log:read": "ODAPT",
}
LETTERS = {
    "O": Role.OWNER,
    "D": Role.ADMIN,
    "A": Role.AUTHOR,
    "R": Role.REVIEWER,
    "P": Role.OPERATOR,
    "V": Role.VIEWER,
    "T": Role.AUDITOR,
    "B": Role.BILLING,
    "G": Role.GUEST,
}

Table = Mapping[Role, frozenset[Permission]]


def disagreements(table: Table) -> set[tuple[Role, Permission]]:
    """Return the cells in which a table and the expectations differ."""
    found = set()
    for permission in Permission:
        expected = {LETTERS[letter] for letter in EXPECTED.get(permission, "")}
        for role in Role:
            if (permission in table.get(role, frozenset())) != (role in expected):
                found.add((role, permission))
    return found


def test_the_table_is_what_was_written_down() -> None:
    assert set(EXPECTED) == set(Permission), "each permission has its line above"
    assert set(LETTERS.values()) == set(Role) == set(ROLES)
    assert disagreements(ROLES) == set()


@pytest.mark.parametrize("role", list(Role))
def test_every_flipped_cell_is_noticed(role: Role) -> None:
    survivors = set()
    for permission in Permission:
        flipped = {**ROLES, role: ROLES[role] ^ {permission}}
        if disagreements(flipped) != {(role, permission)}:
            survivors.add(permission)
    assert survivors == set(), "a change of the table that no expectation notices"


def test_a_role_that_is_not_in_the_table_is_noticed() -> None:
    for role in Role:
        less = {known: rights for known, rights in ROLES.items() if known is not role}
        assert {cell[0] for cell in disagreements(less)} == {role}


def test_the_page_shows_the_same_matrix() -> None:
    rows = re.findall(r"^\| `([a-z_]+:[a-z]+)` \|(.+)\|$", _PAGE.read_text("utf-8"), re.MULTILINE)
    heads = re.search(r"^\| permission \|(.+)\|$", _PAGE.read_text("utf-8"), re.MULTILINE)
    assert heads is not None
    roles = [Role(head.strip()) for head in heads[1].split("|")]
    shown = {
        (Permission(name), role)
        for name, cells in rows
        for role, cell in zip(roles, cells.split("|"), strict=True)
        if cell.strip() == "yes"
    }
    assert {Permission(name) for name, _ in rows} == set(Permission)
    assert set(roles) == set(Role)
    assert shown == {(permission, role) for role in Role for permission in ROLES[role]}


def test_what_the_roles_are_for() -> None:
    assert Permission.ORGANIZATION_CREATE not in ROLES[Role.ADMIN]
    assert ROLES[Role.OWNER] == set(Permission)
    assert all(not name.endswith((":write", ":manage", ":create")) for name in ROLES[Role.BILLING])
    assert ROLES[Role.GUEST] < ROLES[Role.VIEWER] < ROLES[Role.AUTHOR]
    assert Permission.REVIEW_DECIDE not in ROLES[Role.AUTHOR], "four eyes begin with two roles"
    assert Permission.RELEASE_WRITE not in ROLES[Role.AUTHOR] | ROLES[Role.REVIEWER]
