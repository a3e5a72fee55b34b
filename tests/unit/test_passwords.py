"""What makes a password easy to guess, and the list of those that leaked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.domain.passwords import check_password, weight
from control_plane.errors import Forbidden, Invalid, TooMany
from tests.support.builders import PASSWORD, World
from tests.unit.conftest import People

EMAIL = "olga.sharp@acme.example"


@pytest.mark.parametrize(
    "password",
    [
        "password1234",
        "Password2024!!",
        "P@ssw0rd!2024",
        "qwertyuiop12",
        "iloveyou1234",
        "letmeinletmein",
        "123456789012",
        "1q2w3e4r5t6y",
        "abcdefghijkl",
        "aaaaaaaaaaaaaaaa",
        "abcabcabcabcabc",
        "Welcome2Ingot!",
        "zyxwvutsrqponm",
        "olga.sharp2024",
        "sharp-acme-2024",
        "AcmeIndustries1",
        "olga.sharp@acme.example",
    ],
)
def test_what_guessers_try_first_is_refused(password: str) -> None:
    with pytest.raises(Invalid, match="too easy") as caught:
        check_password(password, EMAIL, ("Olga Sharp", "acme industries"))
    assert caught.value.field == "password"


@pytest.mark.parametrize(
    "password",
    ["a rather long sentence", "correct horse battery staple", "x7Gq-pL2v-9sTz", "höhere Mächte üben"],
)
def test_sentences_and_random_texts_are_taken(password: str) -> None:
    assert check_password(password, EMAIL, ("Olga Sharp",)) == password


@pytest.mark.parametrize("password", ["", "short", "x" * 11, "ab" * 129])
def test_the_length_is_bounded(password: str) -> None:
    with pytest.raises(Invalid, match="12 to 256"):
        check_password(password, EMAIL)


@given(st.text(max_size=60), st.text(max_size=12))
def test_weight_never_fails_and_never_exceeds_the_length(text: str, name: str) -> None:
    assert 0 <= weight(text, (name,)) <= len(text)


@given(st.text(alphabet="abcdefghij0123456789", min_size=1, max_size=6), st.integers(2, 9))
def test_repeating_a_part_adds_nothing(part: str, times: int) -> None:
    assert weight(part * times) <= len(part)


def test_a_leaked_password_is_refused_everywhere(world: World) -> None:
    leaked = "tolerably unique sentence"
    world.breached.known.add(leaked)
    text = world.accounts.open_claim()
    claim = {"email": "olga@acme.example", "name": "Olga", "organization": "acme"}
    with pytest.raises(Invalid, match="leaked"):
        world.accounts.claim(text, password=leaked, **claim)
    world.accounts.claim(text, password=PASSWORD, **claim)
    owner = world.sign_in("olga@acme.example")
    with pytest.raises(Invalid, match="leaked"):
        world.accounts.change_password(owner, current=PASSWORD, new=leaked)


def test_guessing_the_present_password_waits_as_a_sign_in_does(world: World, people: People) -> None:
    for _ in range(4):
        with pytest.raises(Forbidden):
            world.accounts.change_password(people.author, current="wrong", new="another long sentence")
    with pytest.raises(TooMany):
        world.accounts.change_password(people.author, current=PASSWORD, new="another long sentence")
    with pytest.raises(TooMany):
        world.sign_in(people.author.email)
    world.clock.advance(seconds=1)
    world.accounts.change_password(people.author, current=PASSWORD, new="another long sentence")
    assert world.sign_in(people.author.email, "another long sentence").user == people.author.user
