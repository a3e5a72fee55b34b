"""The level that functions run at is the wished one, the best one, or a refusal."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.errors import Invalid, Unavailable
from control_plane.supervisor import isolation
from control_plane.supervisor.isolation import choose_isolation, probe_isolation


def probed(*levels: str) -> dict[str, Any]:
    facts = [
        {"name": name, "ok": name in levels, "sentence": f"{name}: {'yes' if name in levels else 'no'}."}
        for name in ("namespaces", "landlock")
    ]
    return {"levels": list(levels), "facts": facts}


@pytest.mark.parametrize(
    ("wanted", "levels", "level"),
    [
        ("auto", ("namespaces", "landlock"), "namespaces"),
        ("auto", ("landlock",), "landlock"),
        ("landlock", ("namespaces", "landlock"), "landlock"),
        ("namespaces", ("namespaces",), "namespaces"),
        ("none", (), "none"),
    ],
)
def test_the_wish_is_met(
    monkeypatch: pytest.MonkeyPatch, wanted: str, levels: tuple[str, ...], level: str
) -> None:
    monkeypatch.setattr(isolation, "probe_isolation", lambda: probed(*levels))
    assert choose_isolation(wanted) == level


@pytest.mark.parametrize(("wanted", "levels"), [("auto", ()), ("namespaces", ("landlock",))])
def test_a_wish_is_never_weakened(
    monkeypatch: pytest.MonkeyPatch, wanted: str, levels: tuple[str, ...]
) -> None:
    monkeypatch.setattr(isolation, "probe_isolation", lambda: probed(*levels))
    with pytest.raises(Unavailable, match=r"cannot isolate functions\. namespaces: no\.") as caught:
        choose_isolation(wanted)
    assert "--insecure-no-sandbox" in str(caught.value.hint)


def test_an_unknown_level_is_refused_before_anything_is_tried() -> None:
    with pytest.raises(Invalid, match="“chroot”"):
        choose_isolation("chroot")


def test_the_probe_answers_for_this_machine() -> None:
    found = probe_isolation()
    assert {fact["name"] for fact in found["facts"]} >= {"namespaces", "landlock"}
    assert set(found["levels"]) <= {"namespaces", "landlock"}
