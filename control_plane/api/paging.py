"""Lists: opaque signed cursors, a bounded limit and `fields=`.

A cursor is whatever key the service orders by; it is signed so that a caller
can neither read meaning into it nor forge one that scans another list.
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from flask import Response, current_app, request
from pydantic import BaseModel, Field, TypeAdapter

from control_plane.api.schemas import Input, Output
from control_plane.errors import Invalid

__all__ = ["BadCursor", "Cursors", "Page", "PageQuery", "list_position", "page_response", "slice_response"]

_Item = TypeVar("_Item", bound=BaseModel)
_SIGNATURE_BYTES = 16


class BadCursor(Invalid):
    """A cursor that this server did not hand out for this list."""

    code: ClassVar[str] = "bad_cursor"


class PageQuery(Input):
    """The query of every list."""

    limit: Annotated[int, Field(ge=1, le=100, description="Items on one page.")] = 50
    cursor: Annotated[str | None, Field(max_length=1000, description="next_cursor of the page before.")] = (
        None
    )
    fields: Annotated[
        str | None, Field(max_length=500, description="Comma-separated names of the fields to return.")
    ] = None


class Page(Output, Generic[_Item]):
    """One page of a list; `next_cursor` is null on the last one."""

    items: list[_Item]
    next_cursor: str | None = None

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """Return a name that may stand in an OpenAPI document."""
        return f"PageOf{params[0].__name__}"


class Cursors:
    """Signs and opens cursors with one key for the installation."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, scope: str, position: Any) -> str:
        """Return the opaque cursor for `position` in the list named `scope`."""
        body = json.dumps(position, separators=(",", ":")).encode()
        return urlsafe_b64encode(self._sign(scope, body) + body).rstrip(b"=").decode()

    def open(self, scope: str, cursor: str | None) -> Any:
        """Return the position, or None without a cursor. Raises BadCursor."""
        if cursor is None:
            return None
        try:
            raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        except ValueError:
            raw = b""
        signature, body = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._sign(scope, body)):
            raise BadCursor(
                "This cursor does not belong to this list.",
                field="/cursor",
                hint="Start without a cursor, then follow next_cursor unchanged.",
            )
        return json.loads(body)

    def _sign(self, scope: str, body: bytes) -> bytes:
        digest = hmac.digest(self._key, scope.encode() + b"\0" + body, "sha256")
        return digest[:_SIGNATURE_BYTES]


def list_position(query: PageQuery) -> Any:
    """Return the position that the request's cursor stands for."""
    return _cursors().open(request.path, query.cursor)


def page_response(
    model: type[BaseModel], rows: Sequence[Any], query: PageQuery, next_position: Any = None
) -> Response:
    """Answer one page of `rows` rendered as `model`, cut to the wanted fields."""
    wanted = _wanted_fields(model, query.fields)
    known = _list_of(model)
    items = known.dump_json(
        known.validate_python(rows), include=None if wanted is None else {"__all__": wanted}
    )
    after = None if next_position is None else _cursors().seal(request.path, next_position)
    # The items are JSON already: to read them back and write them again would take as long as the rest.
    body = b'{"items":%b,"next_cursor":%b}\n' % (items, json.dumps(after).encode())
    return Response(body, content_type="application/json")


def slice_response(model: type[BaseModel], rows: Sequence[Any], query: PageQuery) -> Response:
    """Answer one page of a list that its service returns whole, because it is small by nature.

    The position is the number of rows before the page.
    """
    start = int(list_position(query) or 0)
    end = start + query.limit
    return page_response(model, rows[start:end], query, end if len(rows) > end else None)


@cache
def _list_of(model: type[BaseModel]) -> TypeAdapter[list[Any]]:
    return TypeAdapter(list[model])  # type: ignore[valid-type]


def _wanted_fields(model: type[BaseModel], fields: str | None) -> set[str] | None:
    if fields is None:
        return None
    wanted = {name.strip() for name in fields.split(",") if name.strip()}
    unknown = sorted(wanted - set(model.model_fields))
    if unknown or not wanted:
        named = ", ".join(unknown) or "nothing"
        raise Invalid(
            f"fields= names {named}, which this list does not have.",
            field="/fields",
            hint=f"Choose from {', '.join(model.model_fields)}.",
        )
    return wanted


def _cursors() -> Cursors:
    cursors: Cursors = current_app.extensions["ingot"].cursors
    return cursors
