"""What all tables of the control database belong to; each noun's are in a module of its own beside it.

Column names are the field names of the domain's dataclasses. Times are Unix milliseconds, UTC.
Statements live in the row modules, never here.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import MetaData

__all__ = ["CONTROL_SCHEMA", "metadata"]

CONTROL_SCHEMA: Final = "control"

metadata = MetaData()
