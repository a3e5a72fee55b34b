"""The columns that most tables are made of, none of which may be empty."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, String

from control_plane.store.codec import Json

__all__ = ["identifier", "json_column", "number_column", "text_column"]


def identifier() -> Column[str]:
    """Return the key of a table whose rows have ids."""
    return Column("id", String, primary_key=True)


def text_column(name: str, *, key: bool = False) -> Column[str]:
    """Return a column of text; "" says that there is none."""
    return Column(name, String, primary_key=key, nullable=False)


def number_column(name: str, *, key: bool = False) -> Column[int]:
    """Return a column of whole numbers; 0 says that there is none."""
    return Column(name, BigInteger, primary_key=key, nullable=False, autoincrement=False)


def json_column(name: str, hint: Any) -> Column[Any]:
    """Return a column that holds a value of the type `hint` as JSON."""
    return Column(name, Json(hint), nullable=False)
