"""Reviews over HTTP: every action for every role, what an inbox holds, policies under If-Match, evidence."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.domain.access import ROLES, Permission, Role
from control_plane.domain.identity import ReviewPolicy
from control_plane.domain.review_comments import Comment
from control_plane.domain.reviews import Review
from tests.support.api import ApiWorld, Person
from tests.support.api_fixtures import ApiPeople

_P = Permission
# action -> (permission, path, body); {review} and {digest} are filled in
ACTIONS: dict[str, tuple[Permission, str, dict[str, str]]] = {
    "show": (_P.REVIEW_READ, "", {}),
    "diff": (_P.REVIEW_READ, "/diff", {}),
    "evidence": (_P.REVIEW_READ, "/evidence", {}),
    "comment": (_P.REVIEW_READ, "/comments", {"text": "Why?"}),
    "approve": (_P.REVIEW_DECIDE, "/approve", {"digest": "{digest}"}),
    "reject": (_P.REVIEW_DECIDE, "/reject", {"reason": "No."}),
    "request-changes": (_P.REVIEW_DECIDE, "/request-changes", {"reason": "Explain."}),
    "resubmit": (_P.REVIEW_SUBMIT, "/resubmit", {"note": "Explained."}),
    "withdraw": (_P.REVIEW_SUBMIT, "/withdraw", {}),
}
# What a role may do by the table, and the review's own rules refuse all the same.
REFUSED = {
    # By default the policy counts no operator's approval.
    ("operator", "approve"): 403,
    # Only the submitter takes a review back.
    ("owner", "withdraw"): 403,
    ("admin", "withdraw"): 403,
    ("author", "withdraw"): 403,
    # Nobody asked for changes.
    ("owner", "resubmit"): 409,
    ("admin", "resubmit"): 409,
    ("author", "resubmit"): 409,
}


def submitted(api: ApiWorld, people: ApiPeople, **declared: Any) -> Review:
    version = api.world.frozen(people.author, **declared)
    return api.world.reviews.submit(people.author, "orders", version.number)


@pytest.mark.parametrize("role", Role)
def test_each_action_for_each_role(api: ApiWorld, people: ApiPeople, role: Role) -> None:
    person = api.person(api.world.member(people.owner, "pat", role, project="main"))
    for action, (permission, path, body) in ACTIONS.items():
        version = api.world.frozen(people.author, action)
        review = api.world.reviews.submit(people.author, action, version.number)
        sent = {name: text.format(digest=review.digest) for name, text in body.items()}
        method = "POST" if sent or action == "withdraw" else "GET"
        more = {"json": sent} if method == "POST" else {}
        answer = person.send(method, f"/reviews/{review.id}{path}", **more)
        if permission not in ROLES[role]:
            # Who does not see reviews at all does not learn that there is one.
            assert answer.status_code in {403, 404}, (action, answer.text)
        else:
            wanted = {REFUSED[role, action]} if (role, action) in REFUSED else {200, 201}
            assert answer.status_code in wanted, (action, answer.text)


def approve(person: Person, review: str, digest: str, **more: str) -> Any:
    return person.post(f"/reviews/{review}/approve", {"digest": digest, **more})


def test_a_review_goes_back_and_is_approved_anew(api: ApiWorld, people: ApiPeople) -> None:
    review = submitted(api, people)
    author, reviewer = api.person(people.author), api.person(people.reviewer)
    place = {"text": "Why 1?", "path": "function.py", "line": 1, "side": "after"}
    remark = reviewer.post(f"/reviews/{review.id}/comments", place).json["comments"][0]
    assert (remark["line"], remark["side"], remark["thread"]) == (1, "after", "")
    returned = reviewer.post(f"/reviews/{review.id}/request-changes", {"reason": "Explain."})
    assert (returned.json["state"], returned.json["reason"]) == ("changes_requested", "Explain.")
    assert approve(reviewer, review.id, review.digest).status_code == 409
    answered = author.post(
        f"/reviews/{review.id}/comments", {"text": "It is the first.", "thread": remark["id"]}
    )
    assert [one["path"] for one in answered.json["comments"]] == ["function.py", "function.py"]
    resolved = author.post(f"/reviews/{review.id}/comments/{remark['id']}/resolve")
    assert resolved.json["comments"][0]["resolved_by"] == people.author.user
    opened = reviewer.post(f"/reviews/{review.id}/comments/{remark['id']}/reopen")
    assert opened.json["comments"][0]["resolved_at"] is None
    again = author.post(f"/reviews/{review.id}/resubmit", {"note": "Explained."})
    assert (again.json["state"], again.json["note"]) == ("submitted", "Explained.")
    assert approve(reviewer, review.id, review.digest).json["state"] == "approved"


def test_remarks_lie_on_files_and_threads_that_are_there(api: ApiWorld, people: ApiPeople) -> None:
    review = submitted(api, people)
    reviewer = api.person(people.reviewer)
    where = f"/reviews/{review.id}/comments"
    assert reviewer.post(where, {"text": "x", "path": "none.py"}).json["errors"][0]["pointer"] == "/path"
    assert reviewer.post(where, {"text": "x", "line": 3}).status_code == 422
    behind = reviewer.post(where, {"text": "x", "path": "function.py", "line": 2})
    assert (behind.status_code, behind.json["errors"][0]["pointer"]) == (422, "/line")
    other = {"text": "x", "path": "function.py", "line": 1, "side": "before"}
    assert reviewer.post(where, other).json["errors"][0]["pointer"] == "/side", "nothing was there before"
    assert reviewer.post(where, {"text": "x", "thread": "cmt_none"}).status_code == 404
    assert reviewer.post(f"{where}/cmt_none/resolve").status_code == 404


def test_what_was_approved_before_the_changes_were_asked_for_counts_no_more(
    api: ApiWorld, people: ApiPeople
) -> None:
    review = submitted(api, people)
    reviewer = api.person(people.reviewer)
    assert approve(reviewer, review.id, review.digest).json["state"] == "approved"
    reviewer.post(f"/reviews/{review.id}/request-changes", {"reason": "Wait."})
    again = api.person(people.author).post(f"/reviews/{review.id}/resubmit", {"note": "Done."})
    assert again.json["approvals"] == []
    released = api.person(people.operator).post("/functions/orders/releases", {"version": 1})
    assert released.json["code"] == "release_refused"


def test_the_inbox_holds_what_waits_for_whoever_asks(api: ApiWorld, people: ApiPeople) -> None:
    review = submitted(api, people)
    seen = {
        name: {
            mine: [
                one["id"]
                for one in api.person(getattr(people, name)).get(f"/reviews?mine={mine}").json["items"]
            ]
            for mine in ("to_decide", "submitted", "decided")
        }
        for name in ("author", "reviewer", "operator")
    }
    assert seen["reviewer"] == {"to_decide": [review.id], "submitted": [], "decided": []}
    assert seen["author"] == {"to_decide": [], "submitted": [review.id], "decided": []}
    assert seen["operator"]["to_decide"] == [], "the policy does not count their approval"
    reviewer, author = api.person(people.reviewer), api.person(people.author)
    assert reviewer.get("/reviews/counts").json == {"to_decide": 1, "submitted": 0, "changes_requested": 0}
    reviewer.post(f"/reviews/{review.id}/request-changes", {"reason": "Why?"})
    assert reviewer.get("/reviews/counts").json["to_decide"] == 0
    assert author.get("/reviews/counts").json == {"to_decide": 0, "submitted": 1, "changes_requested": 1}
    assert reviewer.get("/reviews?mine=decided").json["items"][0]["id"] == review.id
    assert reviewer.get("/reviews?mine=nobody").status_code == 422


def test_the_inbox_goes_page_by_page(api: ApiWorld, people: ApiPeople) -> None:
    for name in ("one", "two", "three"):
        version = api.world.frozen(people.author, name)
        api.world.reviews.submit(people.author, name, version.number)
    reviewer = api.person(people.reviewer)
    names: list[str] = []
    cursor = ""
    while True:
        page = reviewer.get(f"/reviews?mine=to_decide&limit=1&fields=function_name{cursor}").json
        names += [one["function_name"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert names == ["three", "two", "one"]


def test_a_policy_is_changed_under_if_match_and_audited_whole(api: ApiWorld, people: ApiPeople) -> None:
    owner = api.person(people.owner)
    shown = owner.get("/projects/main/policy")
    assert shown.json["approvers"] == ["owner", "admin", "reviewer"]
    wanted = {
        "approvals": 1,
        "approval_days": 3,
        "roles": [{"role": "reviewer"}, {"role": "operator"}],
        "rules": [{"paths": ["secrets/**"], "risks": ["new_secret"], "approvals": 1}],
        "values": "approved",
    }
    assert owner.put("/projects/main/policy", wanted).status_code == 428
    etag = shown.headers["ETag"]
    changed = owner.put("/projects/main/policy", wanted, headers={"If-Match": etag})
    assert changed.status_code == 200, changed.text
    assert changed.json["roles"][1] == {"role": "operator", "approvals": 1}
    assert owner.get("/projects/main/policy").json == changed.json
    assert owner.put("/projects/main/policy", wanted, headers={"If-Match": etag}).status_code == 412
    entries = owner.get("/audit?limit=100").json["items"]
    entry = next(one for one in entries if one["action"] == "project.set_policy")
    assert entry["details"]["before"]["approval_days"] == 7
    assert entry["details"]["after"]["rules"][0]["paths"] == ["secrets/**"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"approvals": 1, "roles": [{"role": "viewer"}]},
        {"approvals": 1, "approvers": ["author"]},
        {"approvals": 1, "rules": [{"approvals": 1}]},
        {"approvals": 1, "rules": [{"paths": ["*"]}]},
        {"approvals": 0, "rules": [{"paths": ["*"], "approvals": 1}]},
        {"approvals": 1, "roles": [{"role": "reviewer"}, {"role": "reviewer"}]},
        {"approvals": 1, "rules": [{"risks": ["bad_weather"], "approvals": 1}]},
        {"approvals": 7},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(
    api: ApiWorld, people: ApiPeople, wrong: dict[str, Any]
) -> None:
    owner = api.person(people.owner)
    etag = owner.get("/projects/main/policy").headers["ETag"]
    answer = owner.put("/projects/main/policy", wrong, headers={"If-Match": etag})
    assert answer.status_code == 422, answer.text


def test_evidence_tells_what_a_change_brings(api: ApiWorld, people: ApiPeople) -> None:
    world = api.world
    first = world.frozen(people.author)
    world.approved(people.author, people.reviewer, first)
    world.released(people.operator, first)
    world.drafted(people.author, text="x = 1\ny = 2\n", secrets=["PIN"], limits={"memory_mb": 512})
    draft = world.drafts.get(people.author, "orders")
    world.drafts.put_file(people.author, "orders", "requirements.txt", b"numpy==2.0", if_match=draft.etag)
    version = world.versions.freeze(people.author, "orders")
    review = world.reviews.submit(people.author, "orders", version.number)
    shown = api.person(people.reviewer).get(f"/reviews/{review.id}/evidence").json
    assert (shown["base"], shown["digest"]) == (1, version.digest)
    risks = {one["risk"]: one["reason"] for one in shown["risks"]}
    assert risks.keys() == {"new_secret", "limits_up", "dependency_added"}
    assert "256 to 512" in risks["limits_up"]
    assert shown["dependencies"] == [{"name": "numpy", "before": None, "after": "2.0"}]
    assert shown["secrets"] == [{"name": "PIN", "before": None, "after": "PIN"}]
    assert shown["limits"] == [{"name": "limits.memory_mb", "before": 256, "after": 512}]
    assert shown["egress"] == []
    files = {one["path"]: (one["kind"], one["code"], one["added"]) for one in shown["files"]}
    assert files["function.py"] == ("changed", True, 1)
    assert files["requirements.txt"] == ("added", False, 2)
    assert shown["cost_after"] == {
        "estimate": True,
        "basis": "timeout",
        "memory_mb": 512,
        "duration_ms": 30_000,
        "gb_seconds_per_1000_calls": 15_000.0,
    }
    assert shown["values"] == "", "the secret has no value yet"
    assert shown["needs"]["approvals"] == 1
    assert shown["needs"]["counted"] == 0


def test_a_takedown_needs_its_right_and_a_reason(api: ApiWorld, people: ApiPeople) -> None:
    version = api.world.frozen(people.author)
    api.world.approved(people.author, people.reviewer, version)
    api.world.released(people.operator, version)
    for name in ("author", "reviewer"):
        answer = api.person(getattr(people, name)).post("/functions/orders/takedown", {"reason": "x"})
        assert answer.status_code == 403
    operator = api.person(people.operator)
    assert operator.post("/functions/orders/takedown", {"reason": ""}).status_code == 422
    taken = operator.post("/functions/orders/takedown", {"reason": "It leaks."})
    assert taken.json == {"versions": [version.id]}
    api.world.settle()
    assert api.world.gateway.states[-1].routes == ()
    refused = operator.post("/functions/orders/releases", {"version": 1})
    assert "version_taken_down" in refused.text


def test_comments_of_others_stay_readable_after_a_decision(api: ApiWorld, people: ApiPeople) -> None:
    review = submitted(api, people)
    api.world.reviews.comment(people.reviewer, review.id, Comment("", 0, "Why?"))
    reviewer = api.person(people.reviewer)
    assert reviewer.post(f"/reviews/{review.id}/reject", {"reason": "No."}).json["state"] == "rejected"
    assert len(reviewer.get(f"/reviews/{review.id}").json["comments"]) == 1
    assert reviewer.post(f"/reviews/{review.id}/comments", {"text": "More."}).status_code == 409


def test_function_version_and_release_say_that_nobody_reviewed_them(api: ApiWorld, people: ApiPeople) -> None:
    owner, world = api.person(people.owner), api.world
    world.projects.set_policy(people.owner, "main", ReviewPolicy(approvals=0), if_match="p1")
    version = world.frozen(people.author)
    etag = owner.get("/functions/orders/draft").headers["ETag"]
    again = api.person(people.author).post("/functions/orders/versions", headers={"If-Match": etag})
    assert (again.json["number"], again.json["unreviewed"]) == (1, True)
    assert owner.get("/functions/orders").json["unreviewed"] is False, "no call reaches it yet"
    plan = owner.post("/functions/orders/releases/plan", {"version": 1}).json
    assert (plan["unreviewed"], plan["approvals"][0]["reason"]) == (True, "no_approval_asked")
    world.released(people.operator, version)

    def marks() -> dict[str, Any]:
        return {
            "function": owner.get("/functions/orders").json["unreviewed"],
            "functions": owner.get("/functions?fields=unreviewed").json["items"][0]["unreviewed"],
            "version": owner.get("/functions/orders/versions/1").json["unreviewed"],
            "versions": owner.get("/functions/orders/versions").json["items"][0]["unreviewed"],
            "release": owner.get("/functions/orders/releases/status").json["live"]["unreviewed"],
            "releases": owner.get("/functions/orders/releases").json["items"][0]["unreviewed"],
        }

    assert set(marks().values()) == {True}
    deprecated = api.person(people.operator).post("/functions/orders/versions/1/deprecate", {"reason": "x"})
    assert deprecated.json["unreviewed"] is True
    world.approved(people.author, people.reviewer, version)
    assert (marks()["version"], marks()["versions"]) == (False, False)
    assert marks()["release"] is True, "what was released without a review stays marked"
    world.released(people.operator, version)
    assert set(marks().values()) == {False}


def test_the_description_of_the_api_knows_the_mark(api: ApiWorld, people: ApiPeople) -> None:
    schemas = api.person(people.owner).get("/openapi.json").json["components"]["schemas"]
    for name in ("FunctionOut", "VersionOut", "VersionDetailOut", "ReleaseOut", "PlanOut"):
        assert schemas[name]["properties"]["unreviewed"]["type"] == "boolean"
        assert "unreviewed" in schemas[name]["required"]
