"""Evidence in words: every kind of change has its line, and nothing reaches the terminal as a command."""

from __future__ import annotations

from typing import Any

from control_plane.cli.evidence import evidence_lines
from control_plane.cli.versions import in_words

KINDS = ("dependencies", "sbom", "licences", "egress", "settings", "secrets", "limits")
NONE: dict[str, Any] = {
    "digest": "sha256:1",
    "base": 0,
    "needs": {"approvals": 1, "roles": {}, "approval_days": 7, "covers_values": False, "counted": 0},
    "risks": [],
    "test_runs": [],
    "files": [],
    **{kind: [] for kind in KINDS},
    "cost_before": None,
    "cost_after": {"gb_seconds_per_1000_calls": 625.0, "basis": "timeout"},
}


def test_a_first_version_has_nothing_to_compare_with() -> None:
    lines = list(evidence_lines(NONE))
    assert "against       nothing: no version was reviewed before" in lines
    assert "needs         0 of 1 approvals; they count 7 days" in lines
    assert "test run      none of exactly these bytes" in lines
    assert lines[-1] == "cost          625 GB-s for 1,000 calls, by its timeout"


def test_each_change_has_a_line() -> None:
    run = {"state": "answered", "status": 200, "code": "", "duration_us": 1500, "created_at": "2026-11-22"}
    change = {"name": "six", "before": None, "after": "1.17"}
    needs = {**NONE["needs"], "roles": {"owner": 1}, "covers_values": True}
    file = {"path": "main.py", "kind": "changed", "code": True, "binary": False, "added": 2, "removed": 1}
    found = {
        **NONE,
        "base": 3,
        "needs": needs,
        "risks": [{"risk": "dependency", "reason": "six is new."}],
        "test_runs": [run],
        "files": [file],
        **{kind: [change] for kind in KINDS},
        "cost_before": {"gb_seconds_per_1000_calls": 1.5, "basis": "test_runs"},
    }
    lines = list(evidence_lines(found))
    assert "against       version 3" in lines
    assert "needs         0 of 1 approvals, 1 of them owner, beside the values; they count 7 days" in lines
    assert "risk          dependency  six is new." in lines
    assert "test run      answered 200, 1.5 ms, 2026-11-22" in lines
    assert "file          changed main.py  +2 -1  code" in lines
    for kind in KINDS:
        assert f"{kind:<13} six: - -> 1.17" in lines
    assert lines[-1].endswith("; before 1.5")


def test_a_version_says_what_its_manifest_declares() -> None:
    wheel = {"name": "six", "version": "1.17", "file": "six.whl", "sha256": "00"}
    manifest = {
        "artefacts": {"linux-x86_64": [wheel], "linux-aarch64": [wheel]},
        "handler": "main:execute",
        "limits": {"memory_mb": 128, "timeout_ms": 5000},
        "runtime": "python3.11",
        "settings": ["COLOUR"],
        "secrets": ["TOKEN", "KEY"],
    }
    shown = in_words({"number": 1, "authors": [["usr_1", "ada@acme.example"]], "manifest": manifest})
    assert (shown["packages"], shown["authors"], shown["memory_mb"]) == ("six 1.17", "ada@acme.example", 128)
    assert (shown["secrets"], shown["settings"], shown["runtime"]) == ("TOKEN, KEY", "COLOUR", "python3.11")
