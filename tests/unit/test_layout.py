"""What import-linter cannot see: code that is copied into functions imports nothing of ours."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
# folder -> what its modules may import beside the standard library
_ALLOWED = {
    "templates/sandbox/ingot_sandbox": {"ingot_sandbox"},
    "templates/runtimes/python/ingot_shim": {"ingot_shim", "ingot_sandbox", "jsonschema_rs"},
}


def imported(path: Path) -> Iterator[str]:
    """Yield the top-level names that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module).split(".")[0]


@pytest.mark.parametrize("folder", _ALLOWED)
def test_what_runs_inside_functions_imports_the_standard_library_only(folder: str) -> None:
    modules = list((_ROOT / folder).rglob("*.py"))
    assert modules
    foreign = {
        f"{path.name}: {name}"
        for path in modules
        for name in imported(path)
        if name not in sys.stdlib_module_names | _ALLOWED[folder]
    }
    assert foreign == set()


def test_the_sandbox_does_not_know_what_it_confines() -> None:
    used = {name for path in (_ROOT / "templates/sandbox").rglob("*.py") for name in imported(path)}
    assert "ingot_shim" not in used
