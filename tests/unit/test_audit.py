"""The audit chain reports every kind of damage."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.domain.audit import GENESIS, AuditEntry, Checkpoint, link, verify_chain
from control_plane.domain.events import check_data, type_of


def chain(length: int) -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    previous = GENESIS
    for sequence in range(1, length + 1):
        plain = AuditEntry(
            organization="org_1",
            sequence=sequence,
            id=f"aud_{sequence}",
            at_ms=sequence,
            actor={"user": "usr_1"},
            action="draft.put",
            subject="function/fn_1",
            outcome="done",
            request="",
            details={"n": sequence},
            previous=previous,
            hash="",
        )
        entries.append(replace(plain, hash=link(plain)))
        previous = entries[-1].hash
    return entries


def rewritten(entries: list[AuditEntry]) -> list[AuditEntry]:
    """Hash everything anew, as somebody with the whole database could."""
    previous, result = GENESIS, []
    for entry in entries:
        plain = replace(entry, previous=previous, hash="")
        result.append(replace(plain, hash=link(plain)))
        previous = result[-1].hash
    return result


def checkpoint(entry: AuditEntry) -> Checkpoint:
    return Checkpoint(entry.organization, entry.sequence, entry.hash, 1, "", "signature")


@given(st.integers(0, 12))
def test_an_intact_chain_has_no_findings(length: int) -> None:
    entries = chain(length)
    assert verify_chain(entries, [checkpoint(entry) for entry in entries[::3]]) == ()


_FIELDS = [name for name in AuditEntry.__dataclass_fields__ if name not in {"sequence", "at_ms"}]


@given(st.integers(0, 5), st.sampled_from(_FIELDS))
def test_an_edit_of_any_field_is_found(place: int, name: str) -> None:
    entries = chain(6)
    changed = {"x": "y"} if name in {"actor", "details"} else "other"
    entries[place] = replace(entries[place], **{name: changed})  # type: ignore[arg-type]
    assert verify_chain(entries, [])


@given(st.integers(0, 4))
def test_a_deletion_is_found(place: int) -> None:
    entries = chain(6)
    del entries[place]
    assert [finding.kind for finding in verify_chain(entries, [])][:1] == ["missing"]


@given(st.integers(0, 4))
def test_reordering_is_found(place: int) -> None:
    entries = chain(6)
    entries[place], entries[place + 1] = entries[place + 1], entries[place]
    assert {"missing", "reordered"} <= {finding.kind for finding in verify_chain(entries, [])}


def test_a_cut_tail_is_found_by_a_checkpoint_alone() -> None:
    entries = chain(6)
    assert verify_chain(entries[:4], []) == ()
    assert [finding.kind for finding in verify_chain(entries[:4], [checkpoint(entries[5])])] == ["cut"]


def test_a_chain_written_anew_is_found_by_a_checkpoint_alone() -> None:
    entries = chain(6)
    forged = [replace(entry, details={"n": 0}) for entry in entries]
    assert verify_chain(rewritten(forged), []) == ()
    findings = verify_chain(rewritten(forged), [checkpoint(entries[2])])
    assert [(finding.kind, finding.sequence) for finding in findings] == [("rewritten", 3)]


def test_an_entry_grafted_onto_another_chain_is_found() -> None:
    entries = chain(3)
    grafted = replace(entries[2], previous="f" * 64, hash="")
    entries[2] = replace(grafted, hash=link(grafted))
    assert [finding.kind for finding in verify_chain(entries, [])] == ["rewritten"]


def test_a_checkpoint_signs_all_but_its_signature() -> None:
    one = checkpoint(chain(1)[0])
    assert one.signed_bytes() == replace(one, signature="other").signed_bytes()
    for name in ("organization", "hash", "previous"):
        assert one.signed_bytes() != replace(one, **{name: "other"}).signed_bytes()  # type: ignore[arg-type]


def test_only_catalogued_events_exist() -> None:
    assert type_of("release.live") == "dev.ingot.release.live.v1"
    with pytest.raises(KeyError):
        type_of("release.exploded")
    check_data("function.removed", {"name": "a", "project": "p"})
    with pytest.raises(ValueError, match="carries"):
        check_data("function.removed", {"name": "a", "project": "p", "secret": "s"})
