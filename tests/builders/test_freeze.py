"""The version's digest: what it covers, what it must not depend on, and its golden value."""

from __future__ import annotations

import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from builders import tree
from builders.build import freeze, read_draft, read_lock
from builders.errors import BuildError
from builders.locked import LockedPackage, Wheel, make_lock
from tests.builders.drafts import a_draft

SIX = LockedPackage(
    "six",
    "1.17.0",
    {name: Wheel("six-1.17.0-py2.py3-none-any.whl", "4" * 64) for name in ("linux-x86_64", "linux-aarch64")},
)
# Changes only with `freeze.FORMAT`: a new value here is a new digest for every draft there is.
GOLDEN = "sha256:b9d23ab8a5e3c4a120702fbc547fa14448b9b02f946430af401c5213cb532377"


def digest_of(files: dict[str, bytes], *packages: LockedPackage) -> str:
    plan = read_draft(files)
    return freeze(plan, make_lock("3.11", plan.requirements, packages)).digest


def test_the_golden_digest() -> None:
    files = a_draft(requirements_txt="six", contract_json='{"input": {"minimum": 1.0}}', data_txt="é\n")
    assert digest_of(files, SIX) == GOLDEN


def test_the_manifest_is_canonical_and_complete() -> None:
    plan = read_draft(a_draft(requirements_txt="six"))
    frozen = freeze(plan, make_lock("3.11", plan.requirements, [SIX]))
    document = json.loads(frozen.manifest)
    assert list(document) == sorted(document)
    assert b" " not in frozen.manifest
    assert set(document) == {
        "artefacts", "contract", "egress", "format", "gateway", "handler", "kind", "limits", "lock",
        "runtime",
        "secrets", "settings", "source", "streaming", "triggers",
    }  # fmt: skip
    assert [item["path"] for item in document["source"]] == ["ingot.toml", "main.py", "requirements.txt"]
    assert set(document["artefacts"]) == {"linux-aarch64", "linux-x86_64"}


CHANGES: dict[str, tuple[dict[str, bytes], tuple[LockedPackage, ...]]] = {
    "source": (a_draft() | {"main.py": b"def execute(input, context): return 1\n"}, ()),
    "a new file": (a_draft(note_txt=""), ()),
    "a renamed file": (a_draft(note_md=""), ()),
    "limits": (a_draft("[limits]\nmemory_mb = 128"), ()),
    "a setting": (a_draft("settings = ['A']"), ()),
    "a secret": (a_draft("secrets = ['A']"), ()),
    "streaming": (a_draft("streaming = true"), ()),
    "public": (a_draft("public = true"), ()),
    "the contract": (a_draft(contract_json='{"input": {}}'), ()),
    "a dependency": (a_draft(requirements_txt="six"), (SIX,)),
    "another wheel": (
        a_draft(requirements_txt="six"),
        (LockedPackage("six", "1.17.0", {"linux-x86_64": Wheel("six-1.17.0-py3-none-any.whl", "5" * 64)}),),
    ),
}


def test_every_change_that_a_reviewer_must_see_is_another_digest() -> None:
    digests = {name: digest_of(files, *packages) for name, (files, packages) in CHANGES.items()}
    digests["nothing"] = digest_of(a_draft())
    assert len(set(digests.values())) == len(CHANGES) + 1


_names = st.from_regex(r"[a-zé0-9]{1,6}(/[a-z0-9]{1,6}){0,2}", fullmatch=True)


@given(st.dictionaries(_names, st.binary(max_size=30), max_size=8), st.randoms())
def test_the_order_of_the_files_means_nothing(extra: dict[str, bytes], random: object) -> None:
    files = a_draft() | extra
    try:
        tree.normalise(files)
    except BuildError:
        return
    items = list(files.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    assert digest_of(dict(items)) == digest_of(files)


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.recursive(
            st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e15, 1e15),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=5,
        ),
        max_size=5,
    )
)  # fmt: skip
def test_the_contracts_values_survive_the_canonical_form(examples: dict[str, object]) -> None:
    contract = json.dumps({"input": {"type": "object", "default": examples}})
    plan = read_draft(a_draft(contract_json=contract))
    manifest = json.loads(freeze(plan, make_lock("3.11", (), ())).manifest)
    assert manifest["contract"]["input"]["default"] == examples
    # Whoever stores the manifest as values must get the same bytes again.
    assert rfc8785.dumps(manifest) == freeze(plan, make_lock("3.11", (), ())).manifest


def test_a_lock_of_another_draft_is_stale() -> None:
    plan = read_draft(a_draft(requirements_txt="six"))
    for stale in (
        make_lock("3.11", (), ()),
        make_lock("3.12", plan.requirements, [SIX]),
        make_lock("3.11", ("six>1",), [SIX]),
    ):
        with pytest.raises(BuildError) as caught:
            freeze(plan, stale)
        assert caught.value.code == "lock_stale"


def test_a_draft_without_a_runtime_gets_the_locks() -> None:
    plan = read_draft(a_draft(""))
    assert json.loads(freeze(plan, make_lock("3.13", (), ())).manifest)["runtime"] == "python3.13"


def test_a_lock_reads_back_as_it_was() -> None:
    made = make_lock("3.11", ("six",), [SIX])
    assert read_lock(made.content) == made
    assert b"://" not in made.content


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content + b" ",
        lambda content: content.replace(b'"format":1', b'"format":2'),
        lambda content: content.replace(b"4" * 64, b"4" * 63),
        lambda content: content.replace(b"six-1.17.0", b"../1.17.0"),
        lambda content: content.replace(b'"1.17.0"', b'"1 --index-url x"'),
        lambda content: content.replace(b'"name":"six"', b'"name":"Six"'),
        lambda content: content.replace(b"linux-x86_64", b"linux-s390x"),
        lambda content: b"[]",
        lambda content: b"[" * 100_000,
    ],
)
def test_a_damaged_lock_is_refused(damage: object) -> None:
    made = make_lock("3.11", ("six",), [SIX])
    with pytest.raises(BuildError) as caught:
        read_lock(damage(made.content))  # type: ignore[operator]
    assert caught.value.code == "lock_invalid"
