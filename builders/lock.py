"""Resolves a plan's dependencies into a lock, by uv, from wheels only.

The author's files never reach uv: it sees a list of checked requirements and
a project file that names the platforms. `--no-build` keeps it from running
any package's code. The lock's form is `builders.locked`.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.markers import InvalidMarker, Marker
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from builders.errors import BuildError
from builders.locked import Lock, LockedPackage, Wheel, make_lock
from builders.plan import Plan
from builders.platforms import PLATFORMS, Platform, marker_environments, wheel_tags
from builders.progress import Progress, no_progress
from builders.requirements import check_python
from builders.storage import temporary_folder
from builders.uv_command import failing_lines, is_unreachable, run_uv

__all__ = ["lock"]


def lock(
    plan: Plan,
    cache_dir: Path,
    *,
    previous: Lock | None = None,
    upgrade: bool = False,
    timeout_s: float = 120.0,
    progress: Progress = no_progress,
) -> Lock:
    """Return the lock of a plan. A previous one that still fits is returned as it is, unless upgrading.

    A plan without a runtime gets the previous lock's, else this machine's.
    """
    machine = f"3.{sys.version_info.minor}"
    python = plan.runtime.removeprefix("python") or (previous.python if previous else machine)
    check_python(plan.files, python)
    kept = None if upgrade or (previous and previous.python != python) else previous
    if kept and kept.requirements == plan.requirements:
        return kept
    if not plan.requirements:
        return make_lock(python, (), ())
    progress("resolve")
    cache_dir.mkdir(parents=True, exist_ok=True)
    with temporary_folder(cache_dir) as work:
        _write_inputs(work, plan, python, kept)
        outcome = run_uv(_arguments(python), work, cache_dir, timeout_s)
        if outcome.status != 0:
            raise _unresolved(outcome.output, plan)
        document = tomllib.loads((work / "pylock.toml").read_text())
    return make_lock(python, plan.requirements, _packages(document, python))


def _write_inputs(work: Path, plan: Plan, python: str, kept: Lock | None) -> None:
    (work / "requirements.in").write_text("".join(f"{line}\n" for line in plan.requirements))
    (work / "pyproject.toml").write_text(_project(python))
    if kept and kept.packages:
        # uv prefers the versions it finds in its output file; a list of none is no list to it.
        (work / "pylock.toml").write_text(_preferences(kept))


def _arguments(python: str) -> list[str]:
    return [
        "pip", "compile", "requirements.in", "--universal", "--python-version", python, "--no-build",
        "--generate-hashes", "--no-sources", "--format", "pylock.toml", "--output-file", "pylock.toml",
        "--quiet",
    ]  # fmt: skip


def _unresolved(output: str, plan: Plan) -> BuildError:
    # This hint of uv's is about the file that is written here, so it helps no author.
    lines = tuple(line for line in failing_lines(output) if "tool.uv.environments" not in line)
    if is_unreachable(output):
        return BuildError(
            "index_unreachable",
            f"The package index does not answer: {' '.join(line.strip() for line in lines)}",
            hint="Check the index, proxy and certificate settings of this machine, then lock again.",
            log=lines,
        )
    causes = [
        line.strip().removeprefix("cause: ") for line in lines if not line.startswith(("error:", "hint:"))
    ]
    return BuildError(
        "lock_failed",
        "The dependencies cannot be resolved: " + " ".join(causes or [line.strip() for line in lines]),
        field="requirements.txt" if "requirements.txt" in plan.files else "pyproject.toml",
        hint="Change the requirement that the resolver names. Only wheels are used, never source archives.",
        log=lines,
    )


def _project(python: str) -> str:
    """Return the project file that tells uv which environments to solve for."""
    minor = int(python.split(".")[1])
    machines = [f"sys_platform == 'linux' and platform_machine == '{p.machine}'" for p in PLATFORMS.values()]
    exact = [
        f"python_full_version < '3.{minor + 1}' and implementation_name == 'cpython' and {machine}"
        for machine in machines
    ]
    # A JSON list of texts is a TOML array as it stands.
    return f"[tool.uv]\nenvironments = {json.dumps(exact)}\nrequired-environments = {json.dumps(machines)}\n"


def _preferences(previous: Lock) -> str:
    lines = ['lock-version = "1.0"', 'created-by = "ingot"']
    for item in previous.packages:
        lines += ["[[packages]]", f'name = "{item.name}"', f'version = "{item.version}"']
    return "\n".join(lines) + "\n"


def _packages(document: Mapping[str, Any], python: str) -> list[LockedPackage]:
    found: dict[tuple[str, str], dict[str, Wheel]] = {}
    for platform in PLATFORMS.values():
        for item in _needed(document, platform, python):
            key = (canonicalize_name(item["name"]), item["version"])
            found.setdefault(key, {})[platform.name] = _best_wheel(item, platform, python)
    return [LockedPackage(name, version, wheels) for (name, version), wheels in found.items()]


def _needed(document: Mapping[str, Any], platform: Platform, python: str) -> list[dict[str, Any]]:
    """Return the packages of one platform; the last patch release decides where two versions apply."""
    chosen: dict[str, dict[str, Any]] = {}
    for environment in marker_environments(platform, python):
        for item in document.get("packages", []):
            try:
                applies = "marker" not in item or Marker(item["marker"]).evaluate(environment)
            except InvalidMarker as error:
                raise BuildError("lock_failed", f"uv wrote a marker that cannot be read: {error}.") from error
            if applies:
                chosen[item["name"]] = item
    return list(chosen.values())


def _best_wheel(item: Mapping[str, Any], platform: Platform, python: str) -> Wheel:
    ranks = wheel_tags(platform, python)
    candidates = []
    for entry in item.get("wheels", []):
        file = entry.get("name") or unquote(
            urlsplit(entry.get("url") or entry.get("path", "")).path.rsplit("/", 1)[-1]
        )
        sha256 = entry.get("hashes", {}).get("sha256")
        try:
            _, _, build, tags = parse_wheel_filename(file)
        except InvalidWheelFilename:
            continue
        rank = min((ranks[tag] for tag in tags if tag in ranks), default=None)
        if rank is not None and sha256:
            # The most specific tag wins, then the highest build number, then the name.
            candidates.append(((rank, tuple(-part for part in build[:1]), file), Wheel(file, sha256)))
    if not candidates:
        raise BuildError(
            "no_artefact",
            f"{item['name']} {item['version']} has no wheel for {platform.name}, "
            f"Python {python} and glibc 2.28.",
            field=item["name"],
            hint="Ask for another version of it; nothing is ever built from source here.",
        )
    return min(candidates)[1]
