"""Texts that prove something, and what their rows say."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.domain.credentials import (
    ApiKey,
    Credential,
    CredentialKind,
    KeyKind,
    make_text,
    parse_text,
    sha256_hex,
)
from control_plane.errors import Invalid

bits = st.integers(0, 2**304 - 1)


@given(bits)
def test_a_key_has_the_documented_form(number: int) -> None:
    text = make_text("ing_live", number)
    assert re.fullmatch(r"ing_live_[0-9A-Za-z]{8}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}", text)
    assert parse_text(text, "ing_live") == text.split("_")[2]


@given(bits, st.data())
def test_one_wrong_character_is_noticed(number: int, data: st.DataObject) -> None:
    text = make_text("ingt", number)
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from("0aZ_~").filter(lambda character: character != text[place]))
    with pytest.raises(Invalid):
        parse_text(text[:place] + other + text[place + 1 :], "ingt")


def test_another_prefix_is_another_kind() -> None:
    with pytest.raises(Invalid):
        parse_text(make_text("ing_test", 7), "ing_live")


def test_a_credential_ends_by_time_or_by_hand() -> None:
    one = Credential("tok_1", CredentialKind.TOKEN, "u", "o", "n", sha256_hex("x"), "h", 0, 100)
    assert one.valid(99)
    assert not one.valid(100)
    assert not one.revoke(5).valid(6)
    assert one.revoke(5).revoke(9).revoked_ms == 5


def test_a_key_without_an_end_lasts() -> None:
    key = ApiKey("key_1", "o", "p", "n", KeyKind.LIVE, "s", "h", ("p",), 0, 0, "u", 0)
    assert key.valid(10**15)
    assert not key.revoke(1).revoke(3).valid(2)
    assert key.revoke(1).revoke(3).revoked_ms == 1
