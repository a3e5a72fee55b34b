"""One good request for each route that changes something; `test_faults` tries each under every fault.

A case is built from a prepared world, so that it finds what it needs. A route
that stands in neither table fails the completeness test there.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.api.fault_stage import SECRET, SETTING, Prepared
from tests.support.api import ORIGIN
from tests.support.builders import World

__all__ = ["BYTES", "CANCELLED", "CASES", "INTERIM", "LATER", "OTHERWISE", "Interim", "Sent"]


# What lies beside the database, named like a table.
BYTES: Final = "bytes of files"
CANCELLED: Final = "cancelled runs"


@dataclass(frozen=True)
class Sent:
    """A request below /api/v1."""

    path: str
    who: str = "owner"
    body: Any = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def _tar(**files: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name.replace("_", "."))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content.encode()))
    return packed.getvalue()


def _edit(prepared: Prepared, kind: str) -> dict[str, str]:
    return {"If-Match": prepared.etags["draft"], "Content-Type": kind}


_FUNCTION: Final = "/functions/parked"
_VALUE: Final = {"value": "blue", "stage": "live"}
_FIRST: Final = {"If-Match": '"v1"'}

CASES: Final[dict[str, Callable[[Prepared], Sent]]] = {
    "POST /tokens": lambda _: Sent("/tokens", "author", {"name": "robot"}),
    "DELETE /tokens/<token>": lambda it: Sent(f"/tokens/{it.spare_token}", "operator"),
    "POST /projects": lambda _: Sent("/projects", body={"name": "next"}),
    "PUT /projects/<project>/policy": lambda it: Sent(
        "/projects/main/policy", body={"approvals": 2}, headers={"If-Match": it.etags["main"]}
    ),
    "POST /members": lambda _: Sent(
        "/members", body={"email": "new@acme.example", "name": "New", "role": "viewer"}
    ),
    "POST /members/<user>/roles": lambda it: Sent(f"/members/{it.member}/roles", body={"role": "operator"}),
    "DELETE /members/<user>": lambda it: Sent(f"/members/{it.member}"),
    "POST /functions": lambda _: Sent("/functions", "author", {"project": "main", "name": "fresh"}),
    "DELETE /functions/<function>": lambda _: Sent(_FUNCTION, "operator"),
    "PUT /functions/<function>/draft/archive": lambda it: Sent(
        f"{_FUNCTION}/draft/archive",
        "author",
        content=_tar(a_py="x = 1\n", b_py="y = 2\n"),
        headers=_edit(it, "application/x-tar"),
    ),
    "PUT /functions/<function>/draft/files/<path:path>": lambda it: Sent(
        f"{_FUNCTION}/draft/files/new.py", "author", content=b"z = 3\n",
        headers=_edit(it, "application/octet-stream"),
    ),
    "DELETE /functions/<function>/draft/files/<path:path>": lambda it: Sent(
        f"{_FUNCTION}/draft/files/function.py", "author", headers={"If-Match": it.etags["draft"]}
    ),
    "POST /functions/<function>/draft/lock": lambda _: Sent(f"{_FUNCTION}/draft/lock", "author"),
    "POST /functions/<function>/versions": lambda it: Sent(
        f"{_FUNCTION}/versions", "author", headers={"If-Match": it.etags["draft"]}
    ),
    "POST /functions/<function>/versions/<int:number>/deprecate": lambda _: Sent(
        f"{_FUNCTION}/versions/1/deprecate", "operator", {}
    ),
    "POST /functions/<function>/versions/<int:number>/retire": lambda _: Sent(
        f"{_FUNCTION}/versions/1/retire", "operator", {}
    ),
    "POST /functions/<function>/reviews": lambda _: Sent(
        "/functions/orders/reviews", "author", {"version": 1}
    ),
    "POST /reviews/<review>/approve": lambda it: Sent(
        f"/reviews/{it.submitted}/approve", "reviewer", {"digest": it.submitted_digest}
    ),
    "POST /reviews/<review>/reject": lambda it: Sent(
        f"/reviews/{it.submitted}/reject", "reviewer", {"reason": "No."}
    ),
    "POST /reviews/<review>/request-changes": lambda it: Sent(
        f"/reviews/{it.submitted}/request-changes", "reviewer", {"reason": "Why?"}
    ),
    "POST /reviews/<review>/resubmit": lambda it: Sent(
        f"/reviews/{it.returned}/resubmit", "author", {"note": "Because."}
    ),
    "POST /reviews/<review>/comments/<comment>/resolve": lambda it: Sent(
        f"/reviews/{it.returned}/comments/{it.comment}/resolve", "author", {}
    ),
    "POST /reviews/<review>/comments/<comment>/reopen": lambda it: Sent(
        f"/reviews/{it.returned}/comments/{it.settled}/reopen", "reviewer", {}
    ),
    "POST /functions/<function>/takedown": lambda _: Sent(
        "/functions/orders/takedown", "operator", {"reason": "It leaks."}
    ),
    "POST /reviews/<review>/withdraw": lambda it: Sent(f"/reviews/{it.submitted}/withdraw", "author"),
    "POST /reviews/<review>/comments": lambda it: Sent(
        f"/reviews/{it.submitted}/comments", "reviewer", {"text": "Why?"}
    ),
    "POST /functions/<function>/releases/plan": lambda _: Sent(
        "/functions/orders/releases/plan", "operator", {"version": 1}
    ),
    "POST /functions/<function>/releases": lambda _: Sent(
        "/functions/orders/releases", "operator", {"version": 1}
    ),
    "POST /functions/<function>/releases/rollback": lambda _: Sent(
        "/functions/orders/releases/rollback", "operator", {}
    ),
    "POST /functions/<function>/exports": lambda _: Sent("/functions/orders/exports", "author", {}),
    "POST /functions/<function>/releases/<int:number>/exports": lambda _: Sent(
        "/functions/orders/releases/1/exports", "operator", {}
    ),
    "POST /projects/<project>/imports": lambda it: Sent(
        "/projects/main/imports?name=moved", "author", content=it.moved,
        headers={"Content-Type": "application/x-tar"},
    ),
    "POST /projects/<project>/api-keys": lambda _: Sent(
        "/projects/main/api-keys", "operator", {"name": "shop"}
    ),
    "DELETE /api-keys/<api_key>": lambda it: Sent(f"/api-keys/{it.api_key}", "operator"),
    "PUT /projects/<project>/settings/<name>": lambda _: Sent(
        SETTING, "operator", _VALUE, headers=_FIRST
    ),
    "DELETE /projects/<project>/settings/<name>": lambda _: Sent(SETTING, "operator", headers=_FIRST),
    "PUT /projects/<project>/secrets/<name>": lambda _: Sent(
        SECRET, "operator", _VALUE, headers=_FIRST
    ),
    "DELETE /projects/<project>/secrets/<name>": lambda _: Sent(SECRET, "operator", headers=_FIRST),
    "POST /api-keys/<api_key>/rotate": lambda it: Sent(f"/api-keys/{it.api_key}/rotate", "operator", {}),
    "POST /departments": lambda _: Sent("/departments", body={"name": "sales"}),
    "POST /organizations": lambda _: Sent("/organizations", body={"name": "other"}),
    "POST /files": lambda _: Sent("/files", "author", {"project": "main", "name": "a.csv", "size": 3}),
    "POST /functions/<function>/shares": lambda _: Sent(
        "/functions/orders/shares", "owner", {"version": 1, "audience": "organization"}
    ),
    "PATCH /functions/<function>": lambda it: Sent(
        _FUNCTION, "author", {"title": "New"}, headers={"If-Match": it.etags["parked"]}
    ),
    "PATCH /projects/<project>": lambda it: Sent(
        "/projects/main", body={"title": "New"}, headers={"If-Match": it.etags["main"]}
    ),
    "PATCH /organizations/<organization>": lambda it: Sent(
        "/organizations/acme", body={"title": "New"}, headers={"If-Match": it.etags["organization"]}
    ),
    "PATCH /functions/<function>/draft/files": lambda it: Sent(
        f"{_FUNCTION}/draft/files", "author", {"changes": [{"op": "delete", "path": "function.py"}]},
        headers={"If-Match": it.etags["draft"]},
    ),
    "POST /members/<user>/disable": lambda it: Sent(f"/members/{it.member}/disable"),
    "POST /functions/<function>/releases/rollback/plan": lambda _: Sent(
        "/functions/orders/releases/rollback/plan", "operator", {}
    ),
    "POST /sessions": lambda _: Sent(
        "/sessions",
        "",
        {"email": "owner@acme.example", "password": "a rather long sentence"},
        headers={"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"},
    ),
    "DELETE /api-keys/<api_key>/previous": lambda it: Sent(
        f"/api-keys/{it.rotated_key}/previous", "operator"
    ),
    "PATCH /api-keys/<api_key>": lambda it: Sent(
        f"/api-keys/{it.api_key}", "operator", {"rate_10s": 5}, headers={"If-Match": it.etags["key"]}
    ),
    "DELETE /departments/<department>": lambda _: Sent("/departments/labs"),
    "PATCH /departments/<department>": lambda it: Sent(
        "/departments/labs", body={"title": "New"}, headers={"If-Match": it.etags["labs"]}
    ),
    "DELETE /members/<user>/roles/<role>": lambda it: Sent(f"/members/{it.member}/roles/author"),
    "POST /members/<user>/enable": lambda it: Sent(f"/members/{it.disabled}/enable"),
    "POST /files/<file>/links": lambda it: Sent(f"/files/{it.file}/links", "author"),
    "PUT /files/<file>/content": lambda it: Sent(it.upload, "", content=b"xyz"),
    "DELETE /files/<file>": lambda it: Sent(f"/files/{it.file}", "author"),
    "POST /functions/<function>/previews": lambda _: Sent("/functions/returned/previews", "author", {}),
    "POST /functions/<function>/previews/<preview>/reload": lambda it: Sent(
        f"{_FUNCTION}/previews/{it.preview}/reload", "author"
    ),
    "POST /functions/<function>/previews/<preview>/renew": lambda it: Sent(
        f"{_FUNCTION}/previews/{it.preview}/renew", "author"
    ),
    "DELETE /functions/<function>/previews/<preview>": lambda it: Sent(
        f"{_FUNCTION}/previews/{it.preview}", "author"
    ),
    "PUT /functions/<function>/releases/<int:number>/guard": lambda it: Sent(
        "/functions/orders/releases/2/guard", "operator", {"p95_ms": 500},
        headers={"If-Match": it.etags["release"]},
    ),
    "DELETE /functions/<function>/releases/<int:number>/guard": lambda it: Sent(
        f"/functions/guarded/releases/{it.guarded}/guard", "operator",
        headers={"If-Match": it.etags["guarded"]},
    ),
    "PUT /functions/<function>/tags/<tag>": lambda it: Sent(
        "/functions/orders/tags/old", "operator", {"version": 1}, headers={"If-Match": it.etags["traffic"]}
    ),
    "DELETE /functions/<function>/tags/<tag>": lambda it: Sent(
        "/functions/guarded/tags/next", "operator", headers={"If-Match": it.etags["tagged"]}
    ),
    "POST /functions/<function>/restore": lambda _: Sent("/functions/gone/restore", "operator"),
    "POST /functions/<function>/draft/test-runs/<run>/cancel": lambda it: Sent(
        f"{_FUNCTION}/draft/test-runs/{it.run}/cancel", "author"
    ),
    "POST /invocations/<invocation>/rerun": lambda it: Sent(f"/invocations/{it.call}/rerun", "author", {}),
    "PUT /shares/<share>": lambda it: Sent(
        f"/shares/{it.share}", body={"version": 1}, headers={"If-Match": it.etags["share"]}
    ),
    "DELETE /shares/<share>": lambda it: Sent(
        f"/shares/{it.share}", headers={"If-Match": it.etags["share"]}
    ),
    "POST /market/<share>/installations": lambda it: Sent(
        f"/market/{it.share}/installations", "author", {"project": "main", "name": "another"}
    ),
    "POST /functions/<function>/installation/update": lambda it: Sent(
        "/functions/copied/installation/update", "author", {}, headers={"If-Match": it.etags["copied"]}
    ),
}  # fmt: skip

# Routes that change something and are tried elsewhere, and why.
OTHERWISE: Final[dict[str, str]] = {
    "POST /setup": "It works once, on an Ingot without an owner; tests/unit/test_accounts.py.",
    "DELETE /sessions/current": "It needs a cookie, not a token; tests/api/test_sessions.py.",
    "POST /functions/<function>/draft/test-runs": "Each attempt is a run; tests/unit/test_authoring.py.",
    "DELETE /sessions": "It needs cookies, not tokens; tests/api/test_sessions.py.",
    "DELETE /sessions/<session>": "It needs cookies, not tokens; tests/api/test_sessions.py.",
    "PUT /me/password": "It needs a cookie, not a token; tests/api/test_sessions.py.",
}


@dataclass(frozen=True)
class Interim:
    """What an attempt that broke off may leave changed, and why that is right."""

    why: str
    tables: frozenset[str]
    # The repeat does not undo it: both attempts are on record.
    stays: bool = True


_RECORD: Final = frozenset({"audit_entries", "audit_heads"})

INTERIM: Final[dict[str, Interim]] = {
    "POST /sessions": Interim(
        "A sign-in counts as failed until its password is known to be right.", frozenset({"login_failures"})
    ),
    "POST /invocations/<invocation>/rerun": Interim(
        "Each attempt runs the version, so each attempt is on record, before it runs.", _RECORD
    ),
    "POST /functions/<function>/previews": Interim(
        "Its key is lost with the answer; the repeat gives it another one, and both are on record.",
        _RECORD | {"outbox", "counters"},
    ),
    "POST /functions/<function>/draft/test-runs/<run>/cancel": Interim(
        "The run is cancelled before its process is ended; the repeat ends the process.",
        frozenset({CANCELLED}),
        stays=False,
    ),
    "PUT /files/<file>/content": Interim(
        "The bytes are in their place before the row says so; the repeat or the worker's turn replaces them.",
        frozenset({BYTES}),
        stays=False,
    ),
}

# What the worker's next turn finishes, where an answer does not wait for all of it.
LATER: Final[dict[str, Callable[[World], object]]] = {
    "DELETE /files/<file>": lambda world: world.file_removal.delete_due(),
}
