"""What `ingot doctor` prints about isolation."""

from __future__ import annotations

import json
import subprocess

import pytest
from ingot_sandbox import landlock
from ingot_sandbox.levels import choose
from ingot_sandbox.spec import IsolationUnavailable

from tests.sandbox.situation import SANDBOX, interpreter

LEVELS = ("namespaces", "landlock")


def test_probe_prints_a_sentence_for_each_fact() -> None:
    done = subprocess.run(
        [interpreter(), "-I", "-S", str(SANDBOX / "ingot_sandbox" / "__main__.py"), "probe"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    answer = json.loads(done.stdout)
    assert {fact["name"] for fact in answer["facts"]} == {
        *("namespaces", "warm_templates", "landlock", "landlock_abi", "cgroup_memory", "cgroup_pids")
    }
    assert all(fact["sentence"] for fact in answer["facts"])
    assert answer["levels"] == [
        fact["name"] for fact in answer["facts"] if fact["ok"] and fact["name"] in LEVELS
    ]


def test_a_wish_that_cannot_be_met_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # Trials run in forked children, which see the replacement too.
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    with pytest.raises(IsolationUnavailable, match="landlock is not available: this kernel has no Landlock"):
        choose("landlock")
