"""Every code that comes from inside an instance, its sandbox or its host stands in docs/errors.md.

The codes of the API, the gateway and the builders are held to the page by tests/api.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PAGE = _ROOT / "control_plane" / "docs" / "errors.md"
# What makes an error -> which of its arguments is the code.
_MAKERS = {
    "Problem": 1,
    "caller_fault": 1,
    "author_fault": 0,
    "LoadFailed": 0,
    "StartFailed": 0,
    "Failure": 0,
    "failed": 1,
}
_FOLDERS = ("templates/runtimes/python/ingot_shim", "control_plane/adapters/embedded/host")


def made() -> Iterator[tuple[str, str]]:
    """Yield (code, where) of every error that is made with a code written out."""
    for folder in _FOLDERS:
        for path in (_ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    position = _MAKERS.get(node.func.id, 99)
                    if len(node.args) > position and isinstance(code := node.args[position], ast.Constant):
                        yield str(code.value), f"{path.name}:{node.lineno}"


def test_every_code_of_an_instance_and_its_host_is_documented() -> None:
    rows = re.findall(r"^\| ([^|]+) \|", _PAGE.read_text(), re.MULTILINE)
    documented = {code for row in rows for code in re.findall(r"`(\w+)`", row)}
    found = dict(made())
    # The search itself works: these exist.
    assert {"import_failed", "crashed", "overdue"} <= set(found)
    assert {code: where for code, where in found.items() if code not in documented} == {}
