"""Taking a function out and bringing it in: digests, evidence, trust, and files that somebody damaged."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.domain.access import Role
from control_plane.domain.canonical import canonical_json
from control_plane.domain.moving import Export, ExportState, ImportRefused
from control_plane.domain.versions import Version, VersionState
from control_plane.errors import Conflict, Forbidden, IngotError, NotFound
from control_plane.ports import Built
from control_plane.services.imports import Imported, Vouched
from control_plane.services.releases import ReleaseRefused, Wish
from tests.support.builders import World
from tests.unit.conftest import People
from tests.unit.test_market import make_stranger


@pytest.fixture(autouse=True)
def _sboms(world: World) -> None:
    """Let every build leave a bill of materials."""
    build = world.builder.build

    def build_with_sbom(files: Any, lock: str) -> Built:
        return replace(build(files, lock), sbom=world.blobs.put(b'{"bomFormat":"CycloneDX"}'))

    world.builder.build = build_with_sbom  # type: ignore[method-assign]


def reviewed(world: World, people: People, text: str = "x = 1\n") -> Version:
    version = world.frozen(people.author, "orders", text, description="Adds up orders")
    world.approved(people.author, people.reviewer, version)
    return version


def exported(world: World, people: People, *numbers: int) -> tuple[Export, bytes]:
    asked = world.exports.function(people.author, "orders", numbers)
    assert world.exporting.sign_due() == 1
    _, pieces = world.exports.archive(people.author, "orders", asked.id)
    return world.exports.get(people.author, "orders", asked.id), b"".join(pieces)


def trusting(approvals: int = 1) -> Callable[..., Vouched]:
    return lambda public, project, now: Vouched("laptop", approvals)


def brought(world: World, content: bytes, name: str = "") -> Imported:
    stranger = make_stranger(world)
    return world.imports.receive(stranger, io.BytesIO(content), project="main", name=name)


class TestExport:
    def test_the_same_export_gives_the_same_bytes(self, world: World, people: People) -> None:
        reviewed(world, people)
        export, content = exported(world, people)
        again = b"".join(world.exports.archive(people.author, "orders", export.id)[1])
        assert content == again
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            names = tar.getnames()
        assert names[0] == "ingot-function.json"
        assert names[1:] == sorted(names[1:])

    def test_the_evidence_says_who_approved_and_who_wrote(self, world: World, people: People) -> None:
        version = reviewed(world, people)
        export, _ = exported(world, people)
        [said] = json.loads(base64.b64decode(export.evidence["payload"]))["versions"]
        assert (said["number"], said["digest"]) == (1, version.digest)
        assert [one["email"] for one in said["approvals"]] == [people.reviewer.email]
        assert said["authors"] == [people.author.email]
        assert export.signer == world.signer.public_key()

    def test_it_waits_until_the_worker_has_signed(self, world: World, people: People) -> None:
        reviewed(world, people)
        asked = world.exports.function(people.author, "orders")
        with pytest.raises(Conflict, match="waiting"):
            world.exports.archive(people.author, "orders", asked.id)
        world.exporting.sign_due()
        assert world.exporting.sign_due() == 0
        assert world.exports.get(people.author, "orders", asked.id).state is ExportState.READY

    def test_what_was_taken_down_does_not_travel(self, world: World, people: People) -> None:
        reviewed(world, people)
        world.takedowns.now(people.operator, "orders", reason="bad")
        with pytest.raises(Conflict, match="taken_down"):
            world.exports.function(people.author, "orders", [1])
        with pytest.raises(Conflict, match="0 versions"):
            world.exports.function(people.author, "orders")

    def test_who_only_looks_takes_nothing_out(self, world: World, people: People) -> None:
        reviewed(world, people)
        viewer = world.member(people.owner, "vera", Role.VIEWER)
        with pytest.raises(Forbidden):
            world.exports.function(viewer, "orders")
        asked = world.exports.function(people.author, "orders")
        with pytest.raises(Forbidden):
            world.exports.get(viewer, "orders", asked.id)
        with pytest.raises(NotFound):
            world.exports.get(make_stranger(world), "orders", asked.id)

    def test_old_exports_go_with_the_next(self, world: World, people: People) -> None:
        reviewed(world, people)
        old = world.exports.function(people.author, "orders")
        world.clock.advance(days=2)
        world.exports.function(people.author, "orders")
        with pytest.raises(NotFound):
            world.exports.get(people.author, "orders", old.id)


class TestRelease:
    def test_without_a_registry_it_is_refused_with_the_setting(self, world: World, people: People) -> None:
        version = reviewed(world, people)
        world.released(people.operator, version)
        asked = world.exports.release(people.operator, "orders", 1)
        world.exporting.sign_due()
        found = world.exports.get(people.operator, "orders", asked.id)
        assert found.state is ExportState.REFUSED
        assert "interpreter of this machine" in found.message

    def test_a_version_taken_down_since_is_not_attested(self, world: World, people: People) -> None:
        version = reviewed(world, people)
        world.released(people.operator, version)
        asked = world.exports.release(people.operator, "orders", 1, namespace="shop")
        assert (asked.namespace, asked.name) == ("shop", "orders")
        world.takedowns.now(people.operator, "orders", reason="bad")
        world.exporting.sign_due()
        found = world.exports.get(people.operator, "orders", asked.id)
        assert (found.state, found.message) == (
            ExportState.REFUSED, "Version 1 was taken down; only a review reinstates it.",
        )  # fmt: skip

    @pytest.mark.parametrize("namespace", ["Shop", "a/b", "-a", "a-", "x" * 64, "a.b"])
    def test_a_place_is_one_that_a_cluster_can_have(
        self, world: World, people: People, namespace: str
    ) -> None:
        world.released(people.operator, reviewed(world, people))
        with pytest.raises(IngotError, match="namespace"):
            world.exports.release(people.operator, "orders", 1, namespace=namespace)

    def test_only_who_may_release_attests(self, world: World, people: People) -> None:
        world.released(people.operator, reviewed(world, people))
        with pytest.raises(Forbidden):
            world.exports.release(people.author, "orders", 1)


class TestImport:
    def test_versions_keep_their_digests_and_show_where_they_came_from(
        self, world: World, people: People
    ) -> None:
        first, second = reviewed(world, people), reviewed(world, people, "x = 2\n")
        _, content = exported(world, people)
        made = brought(world, content)
        assert [(one.number, one.digest, one.new) for one in made.versions] == [
            (1, first.digest, True), (2, second.digest, True),
        ]  # fmt: skip
        stranger = world.sign_in("eve@other.example")
        origin = world.imports.origin(stranger, "orders", 2)
        assert (origin.source_organization_name, origin.source_name, origin.source_number) == (
            "acme", "orders", 2,
        )  # fmt: skip
        assert [one.email for one in origin.approvals] == [people.reviewer.email]
        assert world.drafts.files(stranger, "orders")["function.py"] == b"x = 2\n"
        assert world.versions.freeze(stranger, "orders").digest == second.digest
        assert world.functions.get(stranger, "orders").latest == 2

    def test_the_same_file_again_changes_nothing(self, world: World, people: People) -> None:
        reviewed(world, people)
        _, content = exported(world, people)
        first = brought(world, content)
        stranger = world.sign_in("eve@other.example")
        again = world.imports.receive(stranger, io.BytesIO(content), project="main")
        assert again.function.id == first.function.id
        assert [one.new for one in again.versions] == [False]
        assert again.function.latest == 1

    def test_later_versions_join_the_function_that_came_before(self, world: World, people: People) -> None:
        reviewed(world, people)
        made = brought(world, exported(world, people)[1])
        reviewed(world, people, "x = 2\n")
        stranger = world.sign_in("eve@other.example")
        later = world.imports.receive(stranger, io.BytesIO(exported(world, people, 2)[1]), project="main")
        assert later.function.id == made.function.id
        assert [(one.number, one.source_number) for one in later.versions] == [(2, 2)]

    def test_another_function_of_that_name_is_left_alone(self, world: World, people: People) -> None:
        reviewed(world, people)
        _, content = exported(world, people)
        stranger = make_stranger(world)
        world.frozen(stranger, "orders", "y = 1\n")
        with pytest.raises(Conflict, match="another one"):
            world.imports.receive(stranger, io.BytesIO(content), project="main")
        made = world.imports.receive(stranger, io.BytesIO(content), project="main", name="bought")
        assert made.function.name == "bought"

    def test_what_nobody_here_trusts_is_to_be_reviewed(self, world: World, people: People) -> None:
        reviewed(world, people)
        made = brought(world, exported(world, people)[1])
        assert [one.approvals for one in made.versions] == [0]
        stranger = world.sign_in("eve@other.example")
        with pytest.raises(ReleaseRefused, match="0 of 1 valid approvals"):
            world.releases.apply(stranger, "orders", [Wish(1, 100)])

    def test_approvals_of_a_trusted_ingot_count(self, world: World, people: People) -> None:
        reviewed(world, people)
        world.trust = trusting()
        made = brought(world, exported(world, people)[1])
        assert [one.approvals for one in made.versions] == [1]
        stranger = world.sign_in("eve@other.example")
        plan = world.releases.plan(stranger, "orders", [Wish(1, 100)])
        assert [one.reason for one in plan.approvals] == ["approved_elsewhere"]
        assert not world.releases.apply(stranger, "orders", [Wish(1, 100)]).unreviewed

    def test_they_count_as_long_as_the_project_says(self, world: World, people: People) -> None:
        reviewed(world, people)
        world.trust = trusting()
        brought(world, exported(world, people)[1])
        world.clock.advance(days=8)
        stranger = world.sign_in("eve@other.example")
        with pytest.raises(ReleaseRefused):
            world.releases.apply(stranger, "orders", [Wish(1, 100)])

    def test_fewer_approvals_than_the_trust_list_asks_for_count_as_none(
        self, world: World, people: People
    ) -> None:
        reviewed(world, people)
        world.trust = trusting(approvals=2)
        made = brought(world, exported(world, people)[1])
        assert [one.approvals for one in made.versions] == [0]

    def test_an_unapproved_version_stays_unapproved(self, world: World, people: People) -> None:
        world.frozen(people.author, "orders")
        world.trust = trusting(approvals=0)
        made = brought(world, exported(world, people)[1])
        assert [one.approvals for one in made.versions] == [0]
        with pytest.raises(ReleaseRefused):
            world.releases.apply(world.sign_in("eve@other.example"), "orders", [Wish(1, 100)])

    def test_a_no_given_here_outweighs_a_yes_given_there(self, world: World, people: People) -> None:
        reviewed(world, people)
        world.trust = trusting()
        brought(world, exported(world, people)[1])
        stranger = world.sign_in("eve@other.example")
        other = world.member(stranger, "rita", Role.REVIEWER)
        review = world.reviews.submit(stranger, "orders", 1)
        world.reviews.reject(other, review.id, reason="not here")
        with pytest.raises(ReleaseRefused):
            world.releases.apply(stranger, "orders", [Wish(1, 100)])

    def test_trust_given_later_counts_when_the_file_comes_again(self, world: World, people: People) -> None:
        reviewed(world, people)
        _, content = exported(world, people)
        brought(world, content)
        world.trust = trusting()
        stranger = world.sign_in("eve@other.example")
        again = world.imports.receive(stranger, io.BytesIO(content), project="main")
        assert [(one.new, one.approvals) for one in again.versions] == [(False, 1)]
        assert world.imports.origin(stranger, "orders", 1).trusted_as == "laptop"

    def test_neither_importer_nor_author_can_approve_it_here(self, world: World, people: People) -> None:
        reviewed(world, people)
        brought(world, exported(world, people)[1])
        stranger = world.sign_in("eve@other.example")
        version = world.versions.get(stranger, "orders", 1)
        assert version.authors == ((stranger.user, stranger.email), ("", people.author.email))

    def test_back_where_it_came_from_it_is_the_same_function(self, world: World, people: People) -> None:
        reviewed(world, people)
        _, content = exported(world, people)
        before = world.functions.get(people.author, "orders")
        made = world.imports.receive(people.author, io.BytesIO(content), project="main")
        assert (made.function, [one.new for one in made.versions]) == (before, [False])
        with pytest.raises(NotFound):
            world.imports.origin(people.author, "orders", 1)

    def test_a_retired_version_does_not_come_back(self, world: World, people: People) -> None:
        reviewed(world, people)
        _, content = exported(world, people)
        world.trust = trusting()
        brought(world, content)
        stranger = world.sign_in("eve@other.example")
        world.versions.retire(stranger, "orders", 1)
        world.imports.receive(stranger, io.BytesIO(content), project="main")
        assert world.versions.get(stranger, "orders", 1).state is VersionState.RETIRED

    def test_it_needs_the_right(self, world: World, people: People) -> None:
        reviewed(world, people)
        _, content = exported(world, people)
        viewer = world.member(people.owner, "vera", Role.VIEWER)
        with pytest.raises(Forbidden):
            world.imports.receive(viewer, io.BytesIO(content), project="main")

    def test_layers_are_taken_over_from_trusted_ingots_alone(self, world: World, people: People) -> None:
        files = {"function.py": b"x = 1\n", "requirements.txt": b"left-pad==1"}
        world.functions.create(people.author, project="main", name="orders")
        draft = world.drafts.get(people.author, "orders")
        world.drafts.put_all(people.author, "orders", files, if_match=draft.etag)
        layer = world.blobs.put(b'{"left-pad": "1"}')
        version = world.versions.freeze(people.author, "orders")
        assert version.layers["deps"] == layer
        _, content = exported(world, people)
        brought(world, content, "first")
        assert world.builder.adopted == []
        world.trust = trusting(0)
        stranger = world.sign_in("eve@other.example")
        world.imports.receive(stranger, io.BytesIO(content), project="main", name="second")
        assert world.builder.adopted == [(version.lock, layer)]


def repacked(content: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """Return the file with its index changed, and every header as it should be."""
    size = int(content[124:135], 8)
    index = json.loads(content[512 : 512 + size])
    change(index)
    new = canonical_json(index)
    info = tarfile.TarInfo("ingot-function.json")
    info.size, info.mode = len(new), 0o644
    head = info.tobuf(format=tarfile.USTAR_FORMAT) + new + bytes(-len(new) % 512)
    return head + content[512 + size + -size % 512 :]


HOSTILE: dict[str, Callable[[dict[str, Any]], None]] = {
    "another format": lambda index: index.update(format=2),
    "no versions": lambda index: index.update(versions=[]),
    "a version twice": lambda index: index["versions"].append(index["versions"][0]),
    "a path that leaves": lambda index: index["versions"][0]["files"][0].__setitem__(0, "../x"),
    "an absolute path": lambda index: index["versions"][0]["files"][0].__setitem__(0, "/etc/x"),
    "another size": lambda index: index["versions"][0]["files"][0].__setitem__(2, 7),
    "a huge size": lambda index: index["versions"][0]["files"][0].__setitem__(2, 1 << 39),
    "another number": lambda index: index["versions"][0].update(number=9),
    "a digest of nothing": lambda index: index["versions"][0].update(lock="sha256:" + "0" * 64),
    "the lock as manifest": lambda index: index["versions"][0].update(lock=index["versions"][0]["digest"]),
    "another name": lambda index: index["function"].update(name="payments"),
    "labels of another kind": lambda index: index["function"].update(labels={"a": 1}),
    "a title of another kind": lambda index: index["function"].update(title=["x"]),
    "no evidence": lambda index: index.update(evidence={}),
    "another signer": lambda index: index.update(signer=base64.b64encode(bytes(32)).decode()),
    "no signer": lambda index: index.update(signer="?"),
    "a signature of nobody": lambda index: index["evidence"]["signatures"][0].update(sig="AAAA"),
    "one more field": lambda index: index.update(more=1),
}


@pytest.mark.parametrize("case", sorted(HOSTILE))
def test_a_file_that_says_something_else_is_refused(world: World, people: People, case: str) -> None:
    reviewed(world, people)
    _, content = exported(world, people)
    assert repacked(content, lambda index: None) == content
    stranger = make_stranger(world)
    with pytest.raises(ImportRefused):
        world.imports.receive(stranger, io.BytesIO(repacked(content, HOSTILE[case])), project="main")
    assert world.functions.list(stranger).items == ()


def test_evidence_that_was_changed_after_signing_is_refused(world: World, people: People) -> None:
    reviewed(world, people)
    _, content = exported(world, people)

    def add_approval(index: dict[str, Any]) -> None:
        said = json.loads(base64.b64decode(index["evidence"]["payload"]))
        said["versions"][0]["approvals"].append({"email": "z@z.example", "at_ms": 5})
        index["evidence"]["payload"] = base64.b64encode(canonical_json(said)).decode()

    with pytest.raises(ImportRefused, match="changed since it was signed"):
        brought(world, repacked(content, add_approval))


@pytest.mark.parametrize(
    "member",
    [
        {"name": "../../etc/passwd"},
        {"name": "blobs/sha256/" + "0" * 64, "type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
        {"name": "blobs/sha256/" + "0" * 64, "mode": 0o4755},
        {"name": "blobs/sha256/" + "f" * 64, "uid": 7},
    ],
)
def test_members_that_no_export_has_are_refused(world: World, people: People, member: dict[str, Any]) -> None:
    reviewed(world, people)
    _, content = exported(world, people)
    info = tarfile.TarInfo(member["name"])
    for name, value in member.items():
        setattr(info, name, value)
    hostile = content[:-1024] + info.tobuf(format=tarfile.USTAR_FORMAT) + bytes(1024)
    with pytest.raises(ImportRefused):
        brought(world, hostile)


@pytest.mark.slow
def test_a_damaged_file_is_refused_whole_or_is_the_same(world: World, people: People) -> None:
    """Whatever one byte, a cut, a doubled or a moved part does: nothing is half there."""
    reviewed(world, people)
    _, content = exported(world, people)
    stranger = make_stranger(world)

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def damaged(data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(content) - 1))
        way = data.draw(st.sampled_from(["flip", "cut", "double", "drop", "noise"]))
        if way == "flip":
            changed = content[:place] + bytes([content[place] ^ data.draw(st.integers(1, 255))])
            changed += content[place + 1 :]
        elif way == "cut":
            changed = content[:place]
        elif way == "double":
            block = place // 512 * 512
            changed = content[: block + 512] + content[block:]
        elif way == "drop":
            block = place // 512 * 512
            changed = content[:block] + content[block + 512 :]
        else:
            changed = data.draw(st.binary(max_size=2_000))
        with pytest.raises(ImportRefused):
            world.imports.receive(stranger, io.BytesIO(changed), project="main")
        assert world.functions.list(stranger).items == ()

    damaged()
    assert world.imports.receive(stranger, io.BytesIO(content), project="main").versions[0].new
