"""An image on its way: the very layers of one machine, signed for everybody, whole or not there."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from builders.attachments import attached, attachment_tags, check_signature, sbom_of
from builders.base.assemble import BaseImage
from builders.base.stored import load_base, push_base
from builders.build import Built, Folders, Frozen, build, freeze, lock, read_draft
from builders.errors import BuildError
from builders.layout import LayoutPlace
from builders.oci import canonical
from builders.place import Place, RegistryPlace
from builders.publish import Entry, find, listed, remove
from builders.publish_version import keep_version, kept_layers, publish_version
from builders.registry.access import Access, Patience
from builders.registry.client import Registry, Stored
from builders.registry.conversation import Conversation
from builders.registry.names import digest_of
from builders.registry.sources import of_bytes
from builders.signature import ANNOTATION, PAYLOAD_TYPE, SigningKey, VerifyKey, payload_for
from builders.storage import remove_tree
from control_plane.adapters.embedded.host.interpreters import running_runtime
from tests.support.cosign_check import build_cosign_check, cosign_accepts, openssl_accepts
from tests.support.docker_registry import running_registry
from tests.support.fake_registry import FakeRegistry, Fault, running_fake_registry
from tests.support.small_base import small_base

_KEY, _OTHER = SigningKey.generate(), SigningKey.generate()
# What lies in the registry of a place: address -> registry.
_FAKES: dict[str, FakeRegistry] = {}


@dataclass
class Made:
    """A built version and a base image for it."""

    folders: Folders
    frozen: Frozen
    built: Built
    base: BaseImage

    def publish(self, place: Place, key: SigningKey = _KEY, mounts: dict[str, str] | None = None) -> Entry:
        """Publish the version."""
        version = (self.frozen.manifest, self.built.layers, self.built.sbom)
        return publish_version(place, self.base, version, key, self.folders, mounts or {})


def _made(folder: Path, code: str = "input") -> Made:
    folders = Folders(folder / "blobs", folder / "layers", folder / "cache")
    files = {
        "main.py": f"def execute(input, context):\n    return {code}\n".encode(),
        "ingot.toml": f'runtime = "{running_runtime()}"\n'.encode(),
    }
    plan = read_draft(files)
    locked = lock(plan, folders.cache)
    frozen = freeze(plan, locked)
    built = build(frozen, files, locked, folders)
    return Made(folders, frozen, built, small_base(folders.blobs, folders.cache, running_runtime()))


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    yield _made(tmp_path)
    remove_tree(tmp_path / "layers")


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with running_fake_registry() as running:
        yield running


@pytest.fixture(params=["keeps-referrers", "keeps-none", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "folder":
        yield LayoutPlace(tmp_path / "images")
        return
    with running_fake_registry(FakeRegistry(referrers=request.param == "keeps-referrers")) as running:
        _FAKES[running.address] = running
        with Conversation(_access(running)) as conversation:
            yield _place(conversation)


def _access(fake: FakeRegistry, attempts: int = 2) -> Access:
    return Access(fake.address, plain_http=True, patience=Patience(transfer=2.0, attempts=attempts))


def _place(conversation: Conversation, name: str = "functions/org") -> RegistryPlace:
    registry = Registry(conversation)
    return RegistryPlace(registry, registry.repository(name))


def test_the_layers_are_those_of_one_machine_byte_for_byte(made: Made, place: Place) -> None:
    entry = made.publish(place)
    stored = place.manifest(entry.digest)
    assert stored is not None
    layers = {one["annotations"]["dev.ingot.layer.role"]: one for one in stored.document["layers"]}
    assert list(layers) == ["system", "runtime", "function", "function-bytecode", "version"]
    local = made.folders.blobs / "sha256"
    for role, digest in made.built.layers.items():
        assert layers[role]["digest"] == digest
        assert place.blob(digest, 1 << 20) == (local / digest[7:]).read_bytes()
    config = json.loads(place.blob(stored.document["config"]["digest"], 1 << 20))
    assert config["rootfs"]["diff_ids"] == [one["digest"] for one in layers.values()]
    assert config["config"]["User"] == "65532:65532"
    assert config["config"]["Labels"]["dev.ingot.version.digest"] == made.frozen.digest
    assert entry == Entry(entry.digest, made.frozen.digest, made.base.digest)


def test_every_machine_makes_the_same_image(made: Made, place: Place, tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        other = _made(tmp_path / "elsewhere" / "deep")
    finally:
        os.umask(old)
    first, second = LayoutPlace(tmp_path / "1"), LayoutPlace(tmp_path / "2")
    assert made.publish(place).digest == made.publish(first).digest == other.publish(second).digest
    remove_tree(tmp_path / "elsewhere")


def test_signature_and_bill_of_materials_are_found_by_both_ways(made: Made, place: Place) -> None:
    entry = made.publish(place)
    check_signature(place, entry.digest, [_KEY.public])
    with pytest.raises(BuildError) as caught:
        check_signature(place, entry.digest, [_OTHER.public])
    assert caught.value.code == "signature_invalid"
    kinds = {one["artifactType"]: one["digest"] for one in attached(place, entry.digest)}
    assert set(kinds) == {
        "application/vnd.cyclonedx+json",
        "application/vnd.dev.cosign.artifact.sig.v1+json",
    }
    # The bill of materials is signed as the image is.
    check_signature(place, kinds["application/vnd.cyclonedx+json"], [_KEY.public])
    sbom = json.loads(sbom_of(place, entry.digest))
    assert {"base", "libc"} <= {one["bom-ref"] for one in sbom["components"]}
    root = sbom["metadata"]["component"]["bom-ref"]
    depends = {one["ref"]: one.get("dependsOn", []) for one in sbom["dependencies"]}
    assert depends[root] == ["base"]
    assert depends["base"] == ["libc"]


def test_the_openssl_program_accepts_the_signature(made: Made, place: Place, tmp_path: Path) -> None:
    entry = made.publish(place)
    for name, key, wanted in (("own", _KEY, True), ("other", _OTHER, False)):
        (tmp_path / f"{name}.pem").write_bytes(key.public.pem)
        assert openssl_accepts(place, entry.digest, tmp_path / f"{name}.pem", tmp_path) is wanted


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_cosign_accepts_the_signature(made: Made, tmp_path: Path) -> None:
    try:
        program = build_cosign_check()
        registry = running_registry(tmp_path)
        address = registry.__enter__()
    except FileNotFoundError as reason:
        pytest.skip(str(reason))
    (tmp_path / "own.pem").write_bytes(_KEY.public.pem)
    (tmp_path / "other.pem").write_bytes(_OTHER.public.pem)
    try:
        with Conversation(Access(address, plain_http=True)) as conversation:
            place = _place(conversation)
            entry = made.publish(place)
            sbom = next(one for one in attached(place, entry.digest) if "cyclonedx" in one["artifactType"])
            for digest in (entry.digest, sbom["digest"]):
                assert cosign_accepts(program, tmp_path / "own.pem", place.reference(digest))
                assert not cosign_accepts(program, tmp_path / "other.pem", place.reference(digest))
            # Two keys while one takes over from the other: cosign finds either.
            made.publish(place, _OTHER)
            assert cosign_accepts(program, tmp_path / "own.pem", place.reference(entry.digest))
            assert cosign_accepts(program, tmp_path / "other.pem", place.reference(entry.digest))
            # A signature that was moved here from another image is none.
            other = _made(tmp_path / "other", "1").publish(place, _OTHER)
            moved = place.manifest(attachment_tags(entry.digest)[0])
            assert moved is not None
            place.put_manifest(attachment_tags(other.digest)[0], moved)
            assert not cosign_accepts(program, tmp_path / "own.pem", place.reference(other.digest))
    finally:
        registry.__exit__(None, None, None)
        remove_tree(tmp_path / "other")


def test_a_new_key_signs_beside_the_old_one(made: Made, place: Place) -> None:
    entry = made.publish(place)
    made.publish(place, _OTHER)
    made.publish(place, _OTHER)
    check_signature(place, entry.digest, [_KEY.public])
    check_signature(place, entry.digest, [_OTHER.public])
    stored = place.manifest(attachment_tags(entry.digest)[0])
    assert stored is not None
    assert len(stored.document["layers"]) == 2


def test_a_signature_of_another_image_or_a_forged_one_counts_for_nothing(made: Made, place: Place) -> None:
    entry = made.publish(place)
    image = place.manifest(entry.digest)
    assert image is not None
    good = payload_for("sha256:" + "1" * 64, place.name)
    forged = payload_for(entry.digest, place.name)
    for payload, signature in (
        (good, _KEY.sign(good)),
        (forged, _OTHER.sign(forged)),
        (forged, _KEY.sign(good)),
        (forged, "no base64!"),
        (b"[]", _KEY.sign(b"[]")),
    ):
        place.put_blob(of_bytes(payload))
        layer = {"mediaType": PAYLOAD_TYPE, "digest": digest_of(payload), "size": len(payload)}
        document = {**image.document, "layers": [{**layer, "annotations": {ANNOTATION: signature}}]}
        place.put_manifest(attachment_tags(entry.digest)[0], Stored(image.media_type, canonical(document)))
        with pytest.raises(BuildError) as caught:
            check_signature(place, entry.digest, [_KEY.public])
        assert caught.value.code == "signature_invalid"


def test_a_signature_is_the_same_each_time() -> None:
    assert _KEY.sign(b"x") == _KEY.sign(b"x")
    assert SigningKey.from_pem(_KEY.pem).sign(b"x") == _KEY.sign(b"x")
    assert VerifyKey.from_pem(_KEY.public.pem).made(_KEY.sign(b"x"), b"x")


@pytest.mark.parametrize(
    "command", ["genrsa 2048", "ecparam -name secp384r1 -genkey -noout", "genpkey -algorithm ed25519"]
)
def test_other_kinds_of_keys_are_refused(command: str) -> None:
    pem = subprocess.run(["openssl", *command.split()], capture_output=True, check=True, timeout=60).stdout
    with pytest.raises(ValueError, match="P-256"):
        SigningKey.from_pem(pem)
    public = subprocess.run(
        ["openssl", "pkey", "-pubout"], input=pem, capture_output=True, check=True, timeout=60
    ).stdout
    with pytest.raises(ValueError, match="P-256"):
        VerifyKey.from_pem(public)


def test_what_breaks_off_anywhere_is_healed_by_the_next_try(made: Made, fake: FakeRegistry) -> None:
    """Every writing request in turn is the last one that arrives; what is found is whole and signed."""
    with Conversation(_access(fake)) as conversation:
        place = _place(conversation)
        made.publish(place)
        writes = [(method, path) for method, path, _ in fake.seen if method in ("PUT", "POST")]
        wanted = fake.manifests
    for number in range(len(writes)):
        fake.blobs, fake.manifests, fake.tags, fake.seen = {}, {}, {}, []
        _publish_until(made, fake, number)
        with Conversation(_access(fake)) as conversation:
            place = _place(conversation)
            entry = made.publish(place)
            assert find(place, made.frozen.digest, made.base.digest, [_KEY.public]) == entry
            assert fake.manifests["functions/org"].keys() == wanted["functions/org"].keys()


def _publish_until(made: Made, fake: FakeRegistry, number: int) -> None:
    done = [0]

    def fault_for(method: str, path: str) -> Fault | None:
        if method in ("PUT", "POST"):
            done[0] += 1
        return Fault(method, status=403) if done[0] > number else None

    honest, fake.fault_for = fake.fault_for, fault_for  # type: ignore[method-assign]
    try:
        with Conversation(_access(fake, attempts=1)) as conversation:
            with pytest.raises(BuildError):
                made.publish(_place(conversation))
            fake.fault_for = honest  # type: ignore[method-assign]
            pair = (made.frozen.digest, made.base.digest)
            assert find(_place(conversation), *pair, [_KEY.public]) is None
    finally:
        fake.fault_for = honest  # type: ignore[method-assign]


def test_layers_are_mounted_instead_of_sent(made: Made, fake: FakeRegistry) -> None:
    with Conversation(_access(fake)) as conversation:
        push_base(_place(conversation, "base"), made.base, _KEY, made.folders.blobs)
        keep_version(_place(conversation, "versions"), made.built.image, made.folders)
        mounts = {layer.digest: "base" for layer in made.base.layers}
        mounts |= dict.fromkeys(made.built.layers.values(), "versions")
        fake.seen.clear()
        made.publish(_place(conversation), mounts=mounts)
        assert fake.count("POST", "from=base") == 2
        assert fake.count("POST", "from=versions") == 1
        fake.seen.clear()
        made.publish(_place(conversation), mounts=mounts)
        assert fake.count("POST") == fake.count("PATCH") == 0, "everything is there"


def test_removing_takes_all_of_it_and_nothing_of_others(made: Made, place: Place, tmp_path: Path) -> None:
    kept = made.publish(place)
    before = _all_of(place)
    other = _made(tmp_path / "other", "1").publish(place)
    assert _all_of(place) > before
    assert remove(place, [other.digest]) == 1
    assert _all_of(place) == before
    check_signature(place, kept.digest, [_KEY.public])
    assert [one.digest for one in listed(place)] == [kept.digest]
    assert remove(place, [kept.digest]) == 1
    assert _all_of(place) == set()
    assert remove(place, [kept.digest]) == 0
    remove_tree(tmp_path / "other")


def _all_of(place: Place) -> set[str]:
    """Return every digest and tag that lies in a place."""
    if isinstance(place, LayoutPlace):
        files = {path.name for path in (place.folder / "blobs" / "sha256").glob("?" * 64)}
        return files | set(place.tags())
    assert isinstance(place, RegistryPlace)
    repository = place.repository.name
    fake = _FAKES[place.repository.registry]
    held = (fake.blobs, fake.manifests, fake.tags)
    return {key for where in held for key in where.get(repository, {})}


def test_a_removal_that_broke_off_goes_on(made: Made, fake: FakeRegistry) -> None:
    with Conversation(_access(fake, attempts=1)) as conversation:
        place = _place(conversation)
        entry = made.publish(place)
        for step in range(20):
            honest = fake.fault_for
            left = [step]

            def fault_for(method: str, path: str, left: list[int] = left) -> Fault | None:
                left[0] -= method == "DELETE"
                return Fault(method, status=403) if left[0] < 0 else None

            fake.fault_for = fault_for  # type: ignore[method-assign]
            try:
                remove(place, [entry.digest])
                finished = True
            except BuildError:
                finished = False
            fake.fault_for = honest  # type: ignore[method-assign]
            if finished:
                break
            # Either it is listed still, or nothing of it is a manifest any more.
            manifests = fake.manifests["functions/org"]
            assert [one.digest for one in listed(place)] == [entry.digest] or not manifests
            made.publish(place)
        assert finished
        assert not fake.manifests["functions/org"]


def test_a_base_image_comes_back_as_it_went(made: Made, fake: FakeRegistry, tmp_path: Path) -> None:
    with Conversation(_access(fake)) as conversation:
        place = _place(conversation, "base")
        push_base(place, made.base, _KEY, made.folders.blobs)
        name = f"{made.base.runtime}-{made.base.platform}"
        there = load_base(place, name, [_KEY.public], tmp_path / "b", tmp_path / "c")
        assert (there.digest, there.config, there.layers, there.sbom) == (
            made.base.digest, made.base.config, made.base.layers, made.base.sbom,
        )  # fmt: skip
        with pytest.raises(BuildError) as caught:
            load_base(place, name, [_OTHER.public], tmp_path / "b", tmp_path / "c")
        assert caught.value.code == "signature_invalid"
        fake.blobs["base"][made.base.layers[0].digest] = b"other bytes"
        with pytest.raises(BuildError) as caught:
            load_base(place, name, [_KEY.public], tmp_path / "new", tmp_path / "c")
        assert caught.value.code == "registry_corrupt"
        assert not [path for path in (tmp_path / "new" / "sha256").iterdir() if len(path.name) == 64]


def test_a_version_is_published_by_a_machine_that_did_not_build_it(made: Made, place: Place) -> None:
    keep_version(place, made.built.image, made.folders)
    layers = {layer.role: layer.digest for layer in kept_layers(place, made.frozen.manifest)}
    assert layers == made.built.layers
    with pytest.raises(BuildError, match="does not hold"):
        kept_layers(place, b"{}")


def test_a_folder_is_what_other_tools_read(made: Made, tmp_path: Path) -> None:
    place = LayoutPlace(tmp_path / "images")
    entry = made.publish(place)
    index = json.loads((place.folder / "index.json").read_bytes())
    assert json.loads((place.folder / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    assert entry.digest in {one["digest"] for one in index["manifests"]}
    made.publish(place)
    assert json.loads((place.folder / "index.json").read_bytes()) == index
