"""Input and output against their schemas, and the validator's isolation from the author's imports."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ingot_shim import validation
from ingot_shim.validation import BadSchema, Schema

from .harness import VALIDATOR, Instance, request

INPUT = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 5},
        "mail": {"type": "string", "format": "email"},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
    },
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {"line": {"type": "object", "properties": {"n": {"type": "integer"}}}},
}
OUTPUT = {"type": "object", "required": ["total"], "properties": {"total": {"type": "integer"}}}
SOURCE = """
def execute(input, context):
    return {"good": {"total": 1}, "keys": {"total": 1, 2: 3}, "text": {"total": "SECRET"}, "bare": {},
            "error": (404, {}, "no such order"), "bytes": b"raw"}[input["name"]]
"""


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("checked")
    with Instance(folder, SOURCE, input_schema=INPUT, output_schema=OUTPUT) as instance:
        yield instance


@pytest.mark.parametrize(
    ("value", "errors"),
    [
        ({}, [("/name", "is required")]),
        ({"name": 4}, [("/name", 'the value is not of type "string"')]),
        ({"name": "toolong"}, [("/name", "the value is longer than 5 characters")]),
        ({"name": "a", "mail": "no"}, [("/mail", 'the value is not a "email"')]),
        ({"name": "a", "x~/y": 1}, [("/x~0~1y", "is not expected here")]),
        ({"name": "a", "lines": [{}, {"n": "x"}]}, [("/lines/1/n", 'the value is not of type "integer"')]),
        (None, [("", 'the value is not of type "object"')]),
        ({"name": 1, "mail": 2}, [("/mail", 'the value is not of type "string"'), ("/name", "")]),
    ],
)
def test_invalid_input_points_at_the_field(
    checked: Instance, value: Any, errors: list[tuple[str, str]]
) -> None:
    answer = checked.post(value)
    assert answer.status == 422
    assert answer.json["code"] == "input_invalid"
    assert answer.json["fault"] == "caller"
    assert answer.json["request_id"] == "req-1"
    found = {item["pointer"]: item["message"] for item in answer.json["errors"]}
    assert set(found) == {pointer for pointer, _ in errors}
    for pointer, message in errors:
        assert message in found[pointer]


def test_half_a_surrogate_pair_is_refused(checked: Instance) -> None:
    answer = checked.call(
        request(body=b'{"name": "' + b"\\ud800" * 9 + b'"}', content_type="application/json")
    )
    assert (answer.status, answer.json["code"]) == (422, "input_invalid")


def test_many_errors_are_capped(checked: Instance) -> None:
    answer = checked.post({"name": "a", **{f"x{number}": 1 for number in range(100)}})
    assert len(answer.json["errors"]) == 20


@pytest.mark.parametrize("name", ["good", "keys"])
def test_valid_output(checked: Instance, name: str) -> None:
    assert checked.post({"name": name}).status == 200


def test_an_error_answer_is_not_held_to_the_output_schema(checked: Instance) -> None:
    answer = checked.post({"name": "error"})
    assert (answer.status, answer.json) == (404, "no such order")


def test_bytes_are_not_held_to_the_output_schema(checked: Instance) -> None:
    assert checked.post({"name": "bytes"}).body == b"raw"


@pytest.mark.parametrize(("name", "pointer"), [("text", "/total"), ("bare", "/total")])
def test_invalid_output_is_the_authors_fault(checked: Instance, name: str, pointer: str) -> None:
    answer = checked.post({"name": name})
    assert answer.status == 500
    assert answer.json["code"] == "output_invalid"
    assert answer.json["fault"] == "author"
    assert [item["pointer"] for item in answer.json["errors"]] == [pointer]
    assert "SECRET" not in answer.body.decode()


def test_other_media_types_are_refused_where_a_schema_stands(checked: Instance) -> None:
    answer = checked.call(request(body=b"a,b", content_type="text/csv"))
    assert (answer.status, answer.json["code"]) == (415, "unsupported_media_type")
    assert checked.call(request(body=b"")).status == 422


@pytest.mark.parametrize("side", ["input", "output"])
@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:1/x.json"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "#/nothing"},
        {"type": "strnig"},
        {"pattern": "("},
        [],
        "text",
    ],
)
def test_an_unusable_schema_fails_the_load(tmp_path: Path, side: str, schema: Any) -> None:
    with Instance(tmp_path, SOURCE, **{f"{side}_schema": schema}) as instance:
        assert instance.event["event"] == "failed"
        assert instance.event["code"] == "import_failed"
        assert f"The {side} schema is not a usable JSON Schema" in instance.event["message"]
        assert instance.wait() == 3


def test_the_whole_of_draft_2020_12_is_there() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "prefixItems": [True],
        "dependentSchemas": {"a": {"required": ["b"]}},
        "unevaluatedProperties": False,
        "properties": {"a": {"$dynamicRef": "#node"}, "b": {"contains": {"const": 1}, "maxContains": 1}},
        "$defs": {"node": {"$dynamicAnchor": "node", "type": "integer"}},
    }
    compiled = Schema(VALIDATOR, schema)
    assert compiled.errors({"a": 1, "b": [1]}) == ()
    assert [pointer for pointer, _ in compiled.errors({"a": 1})] == ["/b"]
    assert [pointer for pointer, _ in compiled.errors({"a": "x", "b": [1]})] == ["/a"]
    assert [pointer for pointer, _ in compiled.errors({"z": 1})] == ["/z"]
    assert [pointer for pointer, _ in compiled.errors({"b": [1, 1]})] == ["/b"]


def test_a_hostile_pattern_ends_soon() -> None:
    compiled = Schema(VALIDATOR, {"pattern": r"^(?=(a+)+$)(a|a)*$"})
    start = time.monotonic()
    assert compiled.errors("a" * 5000 + "b")
    assert time.monotonic() - start < 5


def test_a_boolean_schema() -> None:
    assert Schema(VALIDATOR, True).errors(1) == ()
    assert Schema(VALIDATOR, False).errors(1) != ()


def test_loading_and_checking_leave_the_modules_as_they_were() -> None:
    theirs = {name: module for name, module in sys.modules.items() if name.startswith("jsonschema_rs")}
    compiled = Schema(VALIDATOR, {"type": "string"})
    with pytest.raises(BadSchema):
        Schema(VALIDATOR, {"type": 5})
    assert compiled.errors(1)
    now = {name: module for name, module in sys.modules.items() if name.startswith("jsonschema_rs")}
    assert now == theirs
    assert validation.preload("/nowhere") is validation.preload(VALIDATOR)


NODE = {"anyOf": [{"type": "object", "properties": {"x": {"$ref": "#"}}}, {"type": "integer"}]}


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize("concurrency", [1, 2])
def test_the_deepest_input_is_checked_without_harm(tmp_path: Path, kind: str, concurrency: int) -> None:
    source = f"{kind} execute(input, context):\n    return input\n"
    schemas: dict[str, Any] = {"input_schema": NODE, "output_schema": NODE}
    with Instance(tmp_path, source, limits={"concurrency": concurrency}, **schemas) as instance:
        for leaf, status in (("1", 200), ('"text"', 422)):
            body = ('{"x":' * 500 + leaf + "}" * 500).encode()
            answer = instance.call(request(body=body, content_type="application/json"))
            assert answer.status == status
            assert status != 200 or answer.body == body


IMPORTING = """
import sys
def execute(input, context):
    try:
        import jsonschema_rs
        found = jsonschema_rs.MARK
    except ImportError:
        found = None
    modules = [name for name in sys.modules if name.startswith("jsonschema_rs")]
    return {"total": 1, "found": found, "modules": modules,
            "path": [entry for entry in sys.path if "site-packages" in entry or "ingot" in entry]}
"""


@pytest.mark.parametrize("brought", [True, False])
def test_the_authors_import_never_finds_our_validator(tmp_path: Path, brought: bool) -> None:
    files = {"main.py": IMPORTING}
    if brought:
        files["../deps/jsonschema_rs.py"] = "MARK = 'mine'\n"
    with Instance(tmp_path, files, input_schema=INPUT, output_schema=OUTPUT) as instance:
        assert instance.post({}).status == 422
        for _ in range(2):
            seen = instance.post({"name": "a"}).json
            assert seen["found"] == ("mine" if brought else None)
            assert seen["modules"] == (["jsonschema_rs"] if brought else [])
            assert seen["path"] == []
            assert instance.post({}).status == 422
