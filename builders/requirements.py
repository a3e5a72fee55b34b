"""Reads the dependencies a draft declares: requirements.txt or pyproject.toml.

Pure. Only names, extras, version ranges and markers are accepted: an index,
a URL, a path or an option of an author must never reach the resolver.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from builders.errors import BuildError

__all__ = ["check_python", "read_requirements"]

MAX_REQUIREMENTS = 200
MAX_LINE = 500
_COMMENT = re.compile(r"(^|\s)#.*$")


def read_requirements(files: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return the declared requirements in normal form, sorted, each once."""
    from_text = _from_text(files["requirements.txt"]) if "requirements.txt" in files else None
    from_project = _from_project(files["pyproject.toml"]) if "pyproject.toml" in files else None
    if from_text and from_project:
        raise BuildError(
            "dependencies_invalid",
            "Both requirements.txt and pyproject.toml declare dependencies.",
            field="pyproject.toml:project.dependencies",
            hint="Keep them in one of the two files.",
        )
    found = from_text or from_project or []
    if len(found) > MAX_REQUIREMENTS:
        raise BuildError(
            "dependencies_invalid",
            f"{len(found)} dependencies are declared; at most {MAX_REQUIREMENTS} are allowed.",
        )
    return tuple(sorted(set(found)))


def _from_text(content: bytes) -> list[str]:
    text = _decoded(content, "requirements.txt").replace("\\\n", " ")
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = _COMMENT.sub("", line).strip()
        if stripped:
            found.append(_normal(stripped, f"requirements.txt:{number}"))
    return found


def _project(content: bytes) -> dict[str, Any]:
    try:
        document = tomllib.loads(_decoded(content, "pyproject.toml"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BuildError(
            "dependencies_invalid", f"pyproject.toml is not TOML: {error}.", field="pyproject.toml"
        ) from None
    project = document.get("project", {})
    if not isinstance(project, dict):
        raise _invalid("pyproject.toml:project", "must be a table")
    return project


def _from_project(content: bytes) -> list[str]:
    project = _project(content)
    listed = project.get("dependencies", [])
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise _invalid("pyproject.toml:project.dependencies", "must be a list of texts")
    if "dependencies" in project.get("dynamic", []):
        raise _invalid(
            "pyproject.toml:project.dynamic", "must not name dependencies: nothing is run to find them"
        )
    return [_normal(item, f"pyproject.toml:project.dependencies[{n}]") for n, item in enumerate(listed)]


def check_python(files: Mapping[str, bytes], python: str) -> None:
    """Refuse a Python minor that pyproject.toml excludes."""
    wanted = _project(files["pyproject.toml"]).get("requires-python") if "pyproject.toml" in files else None
    if wanted is None:
        return
    field = "pyproject.toml:project.requires-python"
    try:
        # Any patch release of the minor may run the function.
        fits = isinstance(wanted, str) and any(
            SpecifierSet(wanted).contains(f"{python}.{patch}") for patch in (0, 999)
        )
    except InvalidSpecifier:
        raise _invalid(field, "is not a version range") from None
    if not fits:
        raise _invalid(field, f"({wanted}) excludes the draft's runtime python{python}")


def _normal(text: str, field: str) -> str:
    if len(text) > MAX_LINE:
        raise _invalid(field, f"is longer than {MAX_LINE} characters")
    if text.startswith("-") or " --" in text:
        raise _invalid(
            field,
            f"({text[:80]!r}) is an option",
            hint="List package names and versions only; hashes and index are not theirs to choose.",
        )
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise _invalid(field, f"({text[:80]!r}) is not a requirement: {str(error).splitlines()[0]}") from None
    if requirement.url:
        raise _invalid(
            field,
            f"({text[:80]!r}) names a URL",
            hint="Depend on a released version from the index, or put the code into the draft.",
        )
    requirement.name = canonicalize_name(requirement.name)
    return str(requirement)


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise BuildError("dependencies_invalid", f"{name} is not UTF-8 text.", field=name) from None


def _invalid(field: str, what: str, hint: str | None = None) -> BuildError:
    return BuildError(
        "dependencies_invalid", f"{field} {what}.", field=field, hint=hint or "Write it as `name>=1.2,<2`."
    )
