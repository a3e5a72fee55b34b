"""What keys are bound to: networks in one form, and which change takes something away."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.domain.credentials import ApiKey, KeyKind, KeyMode
from control_plane.domain.key_rules import MOST_NETWORKS, checked_networks, narrows
from control_plane.errors import Invalid

KEY = ApiKey("key_1", "o", "p", "n", KeyKind.LIVE, "one", "h1", ("p",), 0, 0, "u", 0)

networks = st.lists(
    st.one_of(
        st.tuples(st.ip_addresses(v=4), st.integers(0, 32)),
        st.tuples(st.ip_addresses(v=6), st.integers(0, 128)),
    ).map(lambda pair: str(ip_network(pair, strict=False))),
    max_size=6,
)


def held(address: str, kept: tuple[str, ...]) -> bool:
    return any(ip_address(address) in ip_network(one) for one in kept)


@given(networks, st.ip_addresses())
def test_the_kept_form_holds_exactly_the_same_addresses(texts: list[str], address: object) -> None:
    kept = checked_networks(texts)
    probe = str(address)
    assert held(probe, kept) == held(probe, tuple(texts))
    assert checked_networks(list(reversed(texts))) == kept
    assert checked_networks(kept) == kept


def test_networks_are_kept_once_and_in_order() -> None:
    assert checked_networks([" 10.0.0.1 ", "10.0.0.0/8", "::1", "192.0.2.0/24", "10.1.0.0/16"]) == (
        "10.0.0.0/8",
        "192.0.2.0/24",
        "::1/128",
    )
    assert checked_networks(["::ffff:192.0.2.1"]) == ("192.0.2.1/32",)


@pytest.mark.parametrize(
    "wrong", ["", "10.0.0.1/8", "10.0.0.0/33", "example.org", "10.0.0.0/8 x", "1", "fe80::1%eth0/64"]
)
def test_what_is_no_network_is_refused(wrong: str) -> None:
    with pytest.raises(Invalid) as caught:
        checked_networks([wrong])
    assert caught.value.field == "networks"


def test_there_are_not_too_many() -> None:
    with pytest.raises(Invalid, match="at most"):
        checked_networks([f"10.0.{number}.0/24" for number in range(MOST_NETWORKS + 1)])


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        ({}, {}, False),
        ({}, {"rate_10s": 1}, False),
        ({}, {"modes": (KeyMode.SYNC,)}, True),
        ({"modes": (KeyMode.SYNC,)}, {"modes": ()}, False),
        ({"modes": (KeyMode.SYNC,)}, {"modes": (KeyMode.SYNC, KeyMode.STREAM)}, False),
        ({"modes": (KeyMode.SYNC,)}, {"modes": (KeyMode.STREAM,)}, True),
        ({}, {"networks": ("10.0.0.0/8",)}, True),
        ({"networks": ("10.0.0.0/8",)}, {"networks": ()}, False),
        ({"networks": ("10.1.0.0/16",)}, {"networks": ("10.0.0.0/8", "::/0")}, False),
        ({"networks": ("10.0.0.0/8",)}, {"networks": ("10.1.0.0/16",)}, True),
        ({"networks": ("::/0",)}, {"networks": ("0.0.0.0/0",)}, True),
        ({}, {"scopes": ("fn_1",)}, True),
        ({"scopes": ("fn_1",)}, {"scopes": ("fn_1", "fn_2")}, False),
    ],
)
def test_a_change_that_takes_something_away_is_known(
    before: dict[str, object], after: dict[str, object], lost: bool
) -> None:
    one = replace(KEY, **before)  # type: ignore[arg-type]
    assert narrows(one, replace(one, **after)) is lost  # type: ignore[arg-type]


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100))
def test_the_older_secret_ends_no_later_than_the_key(now: int, overlap: int, expires: int) -> None:
    key = replace(KEY, expires_ms=expires)
    rotated = key.rotate("two", "h2", now + overlap, now)
    assert (rotated.sha256, rotated.hint, rotated.revision) == ("two", "h2", 2)
    good_until = min(now + overlap, expires or now + overlap)
    if good_until > now:
        assert (rotated.previous_sha256, rotated.previous_until_ms) == ("one", good_until)
        assert rotated.previous is not None
        assert not rotated.to_cut
    else:
        assert (rotated.previous, rotated.previous_sha256, rotated.to_cut) == (None, "", True)
    again = rotated.rotate("three", "h3", now + 1_000, now)
    assert "one" not in {again.sha256, again.previous_sha256}, "two secrets at most"


def test_the_older_secret_is_forgotten_once() -> None:
    rotated = KEY.rotate("two", "h2", 10, 0)
    alone = rotated.forget_previous()
    assert (alone.previous, alone.to_cut, alone.revision) == (None, True, 3)
    assert alone.forget_previous() == alone
