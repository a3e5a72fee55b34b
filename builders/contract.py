"""Reads contract.json: the JSON Schemas 2020-12 of a function's input and output.

Pure. A schema that refers to something outside itself is refused, so that a
version means the same on every machine. Validating calls may not live here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jsonschema_rs
import rfc8785

from builders.errors import BuildError

__all__ = ["read_contract"]

MAX_CONTRACT_BYTES = 500_000
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def read_contract(files: Mapping[str, bytes]) -> tuple[Any, Any]:
    """Return (input schema, output schema); None where the contract says nothing."""
    content = files.get("contract.json")
    if content is None:
        return None, None
    document = _parsed(content)
    if not isinstance(document, dict) or set(document) - {"$schema", "input", "output"}:
        raise _invalid("contract.json", 'must be an object with "input" and "output" only')
    for key in ("input", "output"):
        if key in document:
            _check_schema(document[key], f"contract.json:{key}")
    return document.get("input"), document.get("output")


def _parsed(content: bytes) -> Any:
    if len(content) > MAX_CONTRACT_BYTES:
        raise _invalid("contract.json", f"is larger than {MAX_CONTRACT_BYTES} bytes")
    try:
        document = json.loads(
            content.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
        # A version's manifest is read back and hashed again, so numbers must survive that:
        # beyond a double's exact range they have no canonical form.
        rfc8785.dumps(json.loads(rfc8785.dumps(document)))
    except (ValueError, RecursionError) as error:
        raise _invalid("contract.json", f"is not usable JSON: {str(error)[:200]}") from None
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _check_schema(schema: Any, field: str) -> None:
    if not isinstance(schema, dict | bool):
        raise _invalid(field, "must be a JSON Schema: an object, true or false")
    if isinstance(schema, dict) and str(schema.get("$schema", _DIALECT)).rstrip("#") != _DIALECT:
        raise _invalid(f"{field}.$schema", f"must be {_DIALECT} or absent")
    try:
        jsonschema_rs.meta.validate({"$schema": _DIALECT, **schema} if isinstance(schema, dict) else schema)
        jsonschema_rs.Draft202012Validator(schema, retriever=_refuse_reference)
    except jsonschema_rs.ValidationError as error:
        where = "".join(f"/{part}" for part in error.instance_path)
        raise _invalid(
            f"{field}{where}", f"is not a valid JSON Schema 2020-12: {error.message[:200]}"
        ) from None
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise _invalid(field, f"is not a usable JSON Schema 2020-12: {str(error)[:200]}") from None


def _refuse_reference(uri: str) -> Any:
    raise ValueError(f"{uri} lies outside the contract; copy it into $defs")


def _invalid(field: str, what: str) -> BuildError:
    return BuildError(
        "contract_invalid",
        f"{field} {what}.",
        field=field,
        hint='Write {"input": <JSON Schema 2020-12>, "output": <JSON Schema 2020-12>}.',
    )
