"""Every code that anybody can meet stands in docs/errors.md."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import control_plane
from builders.errors import CODES
from control_plane.adapters.gateway.refusals import REFUSALS
from control_plane.api.problems import HTTP_CODES
from control_plane.errors import IngotError

DOCS = Path("control_plane/docs")


def subclasses(kind: type[IngotError]) -> set[type[IngotError]]:
    found = {kind}
    for child in kind.__subclasses__():
        found |= subclasses(child)
    return found


def documented() -> set[str]:
    rows = re.findall(r"^\| ([^|]+) \|", (DOCS / "errors.md").read_text("utf-8"), re.MULTILINE)
    return {code for row in rows for code in re.findall(r"`(\w+)`", row)}


def test_every_code_is_documented() -> None:
    for module in pkgutil.walk_packages(control_plane.__path__, "control_plane."):
        if ".migrations" not in module.name:
            importlib.import_module(module.name)
    raised = {kind.code for kind in subclasses(IngotError) if kind.__module__.startswith("control_plane")}
    contract = (DOCS / "contracts.md").read_text("utf-8")
    conditions = re.findall(r"^Codes of failures.*?: (.+)$", contract, re.MULTILINE)[0]
    known = raised | {code for code, _ in HTTP_CODES.values()} | set(CODES) | set(REFUSALS)
    known |= set(re.findall(r"`(\w+)`", conditions))
    assert known - documented() == set()


def test_every_error_says_what_to_do() -> None:
    silent = [kind.__name__ for kind in subclasses(IngotError) if len(kind.advice) < 20]
    assert silent == []
    assert IngotError("x").hint == IngotError.advice
    assert IngotError("x", hint="Its own.").hint == "Its own."


def test_no_code_is_documented_that_nobody_raises() -> None:
    source = "\n".join(
        path.read_text("utf-8")
        for folder in ("control_plane", "builders", "templates")
        for path in Path(folder).rglob("*.py")
    )
    unused = {code for code in documented() if f'"{code}"' not in source and f"'{code}'" not in source}
    assert unused == set()
