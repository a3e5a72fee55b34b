"""Log lines are JSON, and what is secret does not survive in them, wherever it stands."""

from __future__ import annotations

import json
import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.domain.credentials import KeyKind, make_text
from control_plane.json_logs import JsonLines, json_line, redact

CANARY = "canary-7f3a9b"
TEXTS = [make_text(prefix, (7 << 256) | 3**150) for prefix in ("ings", "ingt", "ingc")]


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {CANARY}",
        f"authorization=Basic {CANARY}",
        f"Cookie: ingot_session_8080={CANARY}; a=b",
        f"ingot_session_8080={CANARY}",
        f"Sec-WebSocket-Protocol: ingot.key.{CANARY}",
        f"postgresql+psycopg://ingot:{CANARY}@db/ingot failed",
        f"new_password={CANARY}&x=1",
        f'{{"password": "{CANARY}", "x": 1}}',
        f"{{'secret': '{CANARY}'}}",
        f"x-api-key: {CANARY}",
        f"GET /x?api_key={CANARY}&page=2",
        f"csrf_token: {CANARY}",
        f"-----BEGIN EC PRIVATE KEY-----\n{CANARY}\n-----END EC PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{CANARY}",
    ],
)
def test_a_secret_in_a_text_does_not_survive(text: str) -> None:
    assert CANARY not in redact(text)
    assert CANARY not in json_line(
        "info", text, {"detail": [text, {"inner": text}], "error": ValueError(text)}
    )


@pytest.mark.parametrize("text", TEXTS)
def test_of_our_own_credentials_only_the_public_id_stays(text: str) -> None:
    secret = text.split("_")[2]
    said = redact(f"refused {text}, twice")
    assert secret not in said
    assert said == f"refused {'_'.join(text.split('_')[:2])}_***, twice"


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "new_password",
        "api_key",
        "Authorization",
        "cookie",
        "secret_value",
        "X-CSRF-Token",
        "tokens",
    ],
)
@given(value=st.text(min_size=1))
def test_nothing_stays_under_a_secret_name(name: str, value: str) -> None:
    assert redact({name: value}) == {name: "***"}
    assert json.loads(json_line("info", "m", {name: value}))[name] == "***"


@pytest.mark.parametrize(
    "text",
    [
        "the key is unknown",
        "removed 3 tokens",
        "a release failed",
        "GET /api/v1/tokens 200",
        "http://127.0.0.1:8080/x",
    ],
)
def test_ordinary_sentences_stay(text: str) -> None:
    assert redact(text) == text


def test_records_become_one_line_with_request_id_and_redacted_traceback() -> None:
    try:
        int(f"password={CANARY}")
    except ValueError:
        record = logging.LogRecord(
            "ingot.api", logging.ERROR, "x", 1, "bad %s\nnext", ("token: " + CANARY,), sys.exc_info()
        )
    record.request_id = "req_1"
    line = JsonLines("api").format(record)
    found = json.loads(line)
    assert "\n" not in line
    assert CANARY not in line
    assert (found["role"], found["level"], found["request_id"]) == ("api", "error", "req_1")
    assert "ValueError" in found["error"]


def test_the_prefix_of_keys_is_one_that_is_known() -> None:
    for kind in KeyKind:
        text = make_text(f"ing_{kind}", (7 << 256) | 3**150)
        assert text.split("_")[3] not in redact(text)


def test_a_line_is_never_longer_than_a_log_can_bear() -> None:
    assert len(json_line("info", "x" * 1_000_000, {})) < 20_000
