"""The world that the fault cases are tried in: one of everything that a route may change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from control_plane.domain.access import Role
from control_plane.domain.files import FileWish
from control_plane.domain.release_guards import Guard
from control_plane.domain.review_comments import Comment
from control_plane.domain.sharing import Audience, ShareWish
from control_plane.ports import TestCall
from control_plane.services.releases import Wish
from tests.support.api import ApiWorld
from tests.support.api_fixtures import ApiPeople
from tests.support.calls import Counted

__all__ = ["SECRET", "SETTING", "Prepared", "prepare"]

SETTING: Final = "/projects/main/settings/COLOUR"
SECRET: Final = "/projects/main/secrets/PIN"


@dataclass(frozen=True)
class Prepared:
    """What a case may name."""

    tokens: Mapping[str, str]
    # Another one of the operator's.
    spare_token: str
    etags: Mapping[str, str]
    # An approved version, one that is being reviewed, and both their digests.
    submitted: str
    submitted_digest: str
    approved: str
    # A review whose submitter is asked for changes, an open remark there and a settled one.
    returned: str
    comment: str
    settled: str
    api_key: str
    member: str
    # One whose secret before is still good.
    rotated_key: str
    disabled: str
    share: str
    # Another function's release that a guard watches.
    guarded: int
    run: str
    call: str
    preview: str
    file: str
    # Signed, and good for one file that is announced.
    upload: str
    # A function's file, as another Ingot would send it.
    moved: bytes


def prepare(api: ApiWorld, people: ApiPeople) -> Prepared:
    """Make one of everything: live version 1, approved 2, submitted 3, and a draft that is newer."""
    world = api.world
    for text in ("one", "two"):
        version = world.frozen(people.author, "orders", f"x = {text!r}\n")
        approved = world.approved(people.author, people.reviewer, version)
        if text == "one":
            operator = api.person(people.operator)
            for path in (SETTING, SECRET):
                assert operator.put(path, {"value": "red", "stage": "live"}).status_code == 200
        world.released(people.operator, version)
    world.functions.create(people.author, project="main", name="parked")
    version = world.frozen(people.author, "parked", "y = 1\n")
    submitted = world.reviews.submit(people.author, "parked", version.number)
    world.drafted(people.author, "parked", "y = 2\n")
    world.functions.create(people.author, project="main", name="returned")
    version = world.frozen(people.author, "returned", "z = 1\n")
    returned = world.reviews.submit(people.author, "returned", version.number)
    for text in ("Why?", "Really?"):
        returned = world.reviews.comment(people.reviewer, returned.id, Comment("", 0, text))
    settled = returned.comments[-1].id
    world.reviews.resolve(people.author, returned.id, settled, resolved=True)
    returned = world.reviews.request_changes(people.reviewer, returned.id, reason="Why?")
    key = world.api_keys.create(people.operator, project="main", name="shop")
    guarded = _guarded(api, people)
    share = _shared(api, people)
    rotated = world.api_keys.create(people.operator, project="main", name="till").key.id
    world.api_keys.rotate(people.operator, rotated, overlap_s=3_600)
    disabled = world.member(people.owner, "dora", Role.VIEWER).user
    world.members.disable(people.owner, disabled)
    world.departments.create(people.owner, name="labs")
    world.functions.create(people.author, project="main", name="gone")
    world.functions.remove(people.operator, "gone")
    world.run_executor.held = True
    call = TestCall("POST", "/", (), b"", 1_000)
    file, link = _files(api, people)
    made = {
        name: world.tokens.create(getattr(people, name), name="test")
        for name in ("owner", "author", "reviewer", "operator")
    }
    return Prepared(
        tokens={name: one.text for name, one in made.items()},
        spare_token=world.tokens.create(people.operator, name="spare").token.id,
        etags=_etags(api, people, key.key.id, share, guarded),
        submitted=submitted.id,
        submitted_digest=submitted.digest,
        approved=approved.id,
        returned=returned.id,
        comment=returned.comments[0].id,
        settled=settled,
        api_key=key.key.id,
        member=people.author.user,
        rotated_key=rotated,
        disabled=disabled,
        share=share,
        guarded=guarded,
        run=world.test_runs.start(people.author, "parked", call).id,
        call=Counted(api.usage, version, world.clock.now_ms() + 10_000).call().id,
        preview=world.previews.start(people.author, "parked").preview.id,
        file=file,
        upload=link,
        moved=_exported(api, people),
    )


def _exported(api: ApiWorld, people: ApiPeople) -> bytes:
    """Return the file of a function."""
    world = api.world
    export = world.exports.function(people.author, "orders")
    world.exporting.sign_due()
    return b"".join(world.exports.archive(people.author, "orders", export.id)[1])


def _guarded(api: ApiWorld, people: ApiPeople) -> int:
    """Release a function with a tag under a guard; return the release's number."""
    world = api.world
    for text in ("g = 1\n", "g = 2\n"):
        world.approved(people.author, people.reviewer, world.frozen(people.author, "guarded", text))
    wishes = [Wish(1, 100), Wish(2, 0, "next")]
    made = world.releases.apply(people.operator, "guarded", wishes, guard=Guard(error_percent=5.0))
    world.settle()
    return made.number


def _shared(api: ApiWorld, people: ApiPeople) -> str:
    """Share a version that is installed, and then a newer one; return the share's id."""
    world = api.world
    share = world.sharing.create(people.owner, "orders", ShareWish(1), audience=Audience.PROJECT)
    world.market.install(people.author, share.id, project="main", name="copied")
    return world.sharing.change(people.owner, share.id, ShareWish(2), if_match=share.etag).id


def _files(api: ApiWorld, people: ApiPeople) -> tuple[str, str]:
    """Return a file that is there, and the address to send another one to."""
    files = api.world.files
    stored, link = files.announce(people.author, project="main", wish=FileWish("a.csv", 3))
    files.store(stored.id, link.query, [b"abc"], request="", address="")
    _, link = files.announce(people.author, project="main", wish=FileWish("b.csv", 3))
    return stored.id, f"{link.path.removeprefix('/api/v1')}?{urlencode(link.query)}"


def _etags(api: ApiWorld, people: ApiPeople, key: str, share: str, guarded: int) -> dict[str, str]:
    owner = api.person(people.owner)
    paths = {
        "draft": "/functions/parked/draft",
        "main": "/projects/main",
        "parked": "/functions/parked",
        "organization": "/organizations/current",
        "key": f"/api-keys/{key}",
        "labs": "/departments/labs",
        "share": f"/shares/{share}",
        "release": "/functions/orders/releases/2",
        "guarded": f"/functions/guarded/releases/{guarded}",
        "traffic": "/functions/orders/releases/status",
        "tagged": "/functions/guarded/releases/status",
        "copied": "/functions/copied/draft",
    }
    return {name: owner.get(path).headers["ETag"] for name, path in paths.items()}
