"""Every starter is a draft that freezes, and its sample call fits its contract."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from types import SimpleNamespace

import jsonschema_rs
import pytest

from builders.build import freeze, read_draft
from builders.locked import make_lock

STARTERS = Path(__file__).parents[2] / "templates/starters"
NAMES = sorted(path.name for path in STARTERS.iterdir() if path.is_dir())


def files_of(name: str) -> dict[str, bytes]:
    folder = STARTERS / name
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_starters_are_there() -> None:
    assert {"hello", "asgi-hello", "orders-report"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_starter_is_a_complete_draft(name: str) -> None:
    files = files_of(name)
    about = tomllib.loads(files["starter.toml"].decode())
    assert set(about) == {"title", "description"}
    assert files["README.md"]
    plan = read_draft(files)
    # A starter takes the minor of the machine that locks it first, and the name it is given.
    assert (plan.runtime, plan.name) == ("", "")
    for python in ("3.11", "3.14"):
        assert freeze(plan, make_lock(python, plan.requirements, ())).digest
    if plan.kind == "handler":
        sample = json.loads(files["input.json"])
        assert jsonschema_rs.Draft202012Validator(plan.input_schema).is_valid(sample)


def test_hello_answers_within_its_contract() -> None:
    files = files_of("hello")
    names: dict[str, object] = {}
    exec(compile(files["main.py"], "main.py", "exec"), names)
    context = SimpleNamespace(logger=SimpleNamespace(info=lambda *args, **fields: None))
    answer = names["execute"](json.loads(files["input.json"]), context)  # type: ignore[operator]
    assert answer == {"greeting": "Hello, Ada!"}
    schema = json.loads(files["contract.json"])["output"]
    assert jsonschema_rs.Draft202012Validator(schema).is_valid(answer)
