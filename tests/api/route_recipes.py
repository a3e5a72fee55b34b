"""What the rules of all routes are tried with: one of each thing, and a body that each route takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from control_plane.domain.sharing import Audience, ShareWish
from tests.support.api import ApiWorld, Person
from tests.support.api_fixtures import ApiPeople

__all__ = ["CREATIONS", "EDITS", "SHOWN", "Filled", "fill", "parts"]

# POST -> a body that makes something. Texts in braces are things of `Filled`.
CREATIONS: Final[dict[str, dict[str, Any]]] = {
    "/organizations": {"name": "another"},
    "/departments": {"name": "another"},
    "/projects": {"name": "another"},
    "/members": {"email": "new@acme.example", "name": "New", "role": "viewer"},
    "/tokens": {"name": "another"},
    "/files": {"project": "main", "name": "b.csv", "size": 3},
    "/files/{file}/links": {},
    "/functions": {"project": "main", "name": "another"},
    "/functions/{function}/draft/test-runs": {},
    "/functions/{function}/versions": {},
    "/functions/{function}/previews": {},
    "/functions/{function}/releases": {"version": 1},
    "/functions/{function}/releases/rollback": {},
    "/functions/{function}/exports": {},
    "/functions/{function}/releases/{number}/exports": {},
    # Before another review takes the place of the one that is talked about.
    "/reviews/{review}/comments": {"text": "Why?"},
    "/functions/{function}/reviews": {"version": 2},
    "/functions/{function}/shares": {"version": 1, "audience": "everyone", "kind": "starter"},
    "/market/{share}/installations": {"project": "main", "name": "installed"},
    "/projects/{project}/api-keys": {"name": "another"},
    "/api-keys/{api_key}/rotate": {"overlap_s": 0},
}
# What needs an ETag -> a body; bytes are sent as they are.
EDITS: Final[dict[str, Any]] = {
    "PATCH /organizations/{organization}": {"title": "T"},
    "PATCH /departments/{department}": {"title": "T"},
    "PATCH /projects/{project}": {"title": "T"},
    "PATCH /functions/{function}": {"title": "T"},
    "PATCH /api-keys/{api_key}": {"name": "T"},
    "PUT /projects/{project}/policy": {"approvals": 2},
    "DELETE /projects/{project}/settings/{name}": None,
    "DELETE /projects/{project}/secrets/{name}": None,
    "PATCH /functions/{function}/draft/files": {"changes": [{"op": "delete", "path": "function.py"}]},
    "PUT /functions/{function}/draft/files/{path}": b"x = 2\n",
    "DELETE /functions/{function}/draft/files/{path}": None,
    "PUT /functions/{function}/draft/archive": b"",
    "POST /functions/{function}/versions": None,
    "POST /functions/{function}/installation/update": {},
    "PUT /functions/{function}/releases/{number}/guard": {"error_percent": 5},
    "DELETE /functions/{function}/releases/{number}/guard": None,
    "PUT /functions/{function}/tags/{tag}": {"version": 1},
    "DELETE /functions/{function}/tags/{tag}": None,
    "PUT /shares/{share}": {"version": 1},
    "DELETE /shares/{share}": None,
}
_FUNCTION: Final = "/functions/{function}"
_DRAFT: Final = "/functions/{function}/draft"
_RELEASE: Final = "/functions/{function}/releases/{answer[number]}"
_TRAFFIC: Final = "/functions/{function}/releases/status"


class Shown(NamedTuple):
    """Where an answer is read back that shows something editable, and how to come by it."""

    # A path; `answer` is what the change was answered with.
    read_at: str
    body: Any = None
    # The path whose ETag the change must name.
    seen_at: str = ""


def _same(path: str, body: Any) -> Shown:
    return Shown(path, body, path)


# What makes or changes something that has an ETag, in an order in which each can be done.
SHOWN: Final[dict[str, Shown]] = {
    "POST /organizations": Shown("", {"name": "one-more"}),
    "PATCH /organizations/{organization}": _same("/organizations/{organization}", {"title": "T"}),
    "POST /departments": Shown("/departments/{answer[id]}", {"name": "one-more"}),
    "PATCH /departments/{department}": _same("/departments/{department}", {"title": "T"}),
    "POST /projects": Shown("/projects/{answer[id]}", {"name": "one-more"}),
    "PATCH /projects/{project}": _same("/projects/{project}", {"title": "T"}),
    "PUT /projects/{project}/policy": _same("/projects/{project}/policy", {"approvals": 0}),
    "PUT /projects/{project}/settings/{name}": _same("/projects/{project}/settings/{name}", {"value": "w"}),
    "PUT /projects/{project}/secrets/{name}": _same("/projects/{project}/secrets/{name}", {"value": "w"}),
    "POST /projects/{project}/api-keys": Shown("/api-keys/{answer[key][id]}", {"name": "one-more"}),
    "PATCH /api-keys/{api_key}": _same("/api-keys/{api_key}", {"name": "T"}),
    "POST /api-keys/{api_key}/rotate": Shown("/api-keys/{api_key}", {}),
    "DELETE /api-keys/{api_key}/previous": Shown("/api-keys/{api_key}"),
    "POST /functions": Shown("/functions/{answer[id]}", {"project": "main", "name": "one-more"}),
    f"PATCH {_FUNCTION}": _same(_FUNCTION, {"title": "T"}),
    f"PATCH {_DRAFT}/files": Shown(_DRAFT, {"changes": [{"op": "delete", "path": "function.py"}]}, _DRAFT),
    f"PUT {_DRAFT}/files/{{path}}": Shown(_DRAFT, b"x = 4\n", _DRAFT),
    f"PUT {_DRAFT}/archive": Shown(_DRAFT, b"", _DRAFT),
    f"POST {_DRAFT}/lock": Shown(_DRAFT),
    f"DELETE {_DRAFT}/files/{{path}}": Shown(_DRAFT, None, _DRAFT),
    f"POST {_FUNCTION}/shares": Shown("/shares/{answer[id]}", {"version": 1, "audience": "organization"}),
    "PUT /shares/{share}": _same("/shares/{share}", {"version": 2}),
    "POST /market/{share}/installations": Shown(
        "/functions/{answer[id]}", {"project": "main", "name": "taken-too"}
    ),
    f"POST {_FUNCTION}/installation/update": Shown(_DRAFT, {}, _DRAFT),
    f"PUT {_FUNCTION}/releases/{{number}}/guard": Shown(
        _RELEASE, {"error_percent": 5}, f"{_FUNCTION}/releases/{{number}}"
    ),
    f"DELETE {_FUNCTION}/releases/{{number}}/guard": Shown(
        _RELEASE, None, f"{_FUNCTION}/releases/{{number}}"
    ),
    f"PUT {_FUNCTION}/tags/{{tag}}": Shown(_RELEASE, {"version": 1}, _TRAFFIC),
    f"DELETE {_FUNCTION}/tags/{{tag}}": Shown(_RELEASE, None, _TRAFFIC),
    f"POST {_FUNCTION}/releases": Shown(_RELEASE, {"version": 1}),
    f"POST {_FUNCTION}/releases/rollback": Shown(_RELEASE, {}),
    f"POST {_FUNCTION}/restore": Shown(_FUNCTION),
}


@dataclass(frozen=True)
class Filled:
    """An owner, and what the variables of addresses stand for."""

    owner: Person
    values: dict[str, str]

    def address(self, path: str, **more: Any) -> str:
        """Return a path of the document with all its variables filled, without the prefix."""
        values = {**self.values, **more}
        if "/secrets/" in path:
            values["name"] = "PIN"
        if "/installation/" in path or path.endswith("/installation"):
            values["function"] = "taken"
        return path.removeprefix("/api/v1").format(**values)

    def etag(self, path: str) -> dict[str, str]:
        """Return the headers that name what is there now, for a route that makes a version."""
        if not path.endswith("/versions"):
            return {}
        return {"If-Match": self.owner.get(self.address("/functions/{function}/draft")).headers["ETag"]}


def fill(api: ApiWorld, people: ApiPeople) -> Filled:
    """Make two of each thing that a list shows."""
    world, owner = api.world, people.owner
    for number in (1, 2):
        world.departments.create(owner, name=f"department-{number}")
        world.projects.create(owner, name=f"project-{number}")
        version = world.frozen(people.author, text=f"x = {number}\n")
        world.approved(people.author, people.reviewer, version)
        world.released(people.operator, version)
        key = world.api_keys.create(owner, project="main", name=f"key-{number}").key
    review = world.reviews.submit(
        people.author, version.function, world.frozen(people.author, text="x = 3\n").number
    )
    share = world.sharing.create(owner, version.function, ShareWish(1), audience=Audience.EVERYONE)
    person = api.person(owner)
    installed = person.post(f"/market/{share.id}/installations", {"project": "main", "name": "taken"})
    assert installed.status_code == 201, installed.text
    for number in (1, 2):
        file = person.post("/files", {"project": "main", "name": f"{number}.csv", "size": 1}).json
        assert person.send("PUT", "/" + file["upload"]["url"], data=b"x").status_code == 200
    for kind, name in (("settings", "API_URL"), ("secrets", "PIN")):
        assert person.put(f"/projects/main/{kind}/{name}", {"value": "v"}).status_code == 200
    values = {
        "organization": "current",
        "department": "department-1",
        "project": "main",
        "function": version.function,
        "review": review.id,
        "api_key": key.id,
        "file": file["id"],
        "share": share.id,
        "number": "2",
        "name": "API_URL",
        "path": "function.py",
        "tag": "canary",
        "export": world.exports.function(owner, version.function, [1]).id,
    }
    world.exporting.sign_due()
    return Filled(person, values)


def parts(body: Any) -> dict[str, Any]:
    """Return how a body is sent: bytes as a file or an archive, the rest as JSON."""
    if isinstance(body, bytes):
        return {"data": body, "content_type": "application/octet-stream"}
    return {} if body is None else {"json": body}
