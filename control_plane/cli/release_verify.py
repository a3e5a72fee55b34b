"""`ingot release verify`: whether a cluster would admit a repository's files, asked without a cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from control_plane.cli.failures import ExitCode, Failure
from control_plane.cli.output import show_list
from control_plane.cli.state import CliState, pass_state

if TYPE_CHECKING:
    from operators.repository import Finding
    from operators.trust import TrustedKey

__all__ = ["verify"]

_LARGEST: Final = 5_000_000
_KINDS: Final = frozenset({".yaml", ".yml", ".json"})
_PATH = click.Path(path_type=Path, exists=True)


@click.command("verify")
@click.argument("paths", nargs=-1, required=True, type=_PATH, metavar="PATH...")
@click.option("--trust", required=True, type=_PATH, help="The trust list: what `ingot trust` printed.")
@click.option("--approvals", type=click.IntRange(0, 100), default=0, help="Ask every version for so many.")
@click.option(
    "--before", type=_PATH, multiple=True, help="The files as they were: an older release is then a replay."
)
@pass_state
def verify(
    state: CliState, paths: tuple[Path, ...], trust: Path, approvals: int, before: tuple[Path, ...]
) -> None:
    """Say of the Functions and approvals at PATH whether a cluster with this trust list would admit them.

    Folders are looked through. Ends with 1 when something is refused, and with 4 when there is no Function.
    """
    from operators.repository import judge_repository, sort_documents

    found = sort_documents(_documents(paths))
    if not found.functions:
        raise Failure("There is no Function in these files.", exit_code=ExitCode.NOT_FOUND)
    older = sort_documents(_documents(before))
    findings = judge_repository(found, older, _keys(trust), datetime.now(UTC), approvals=approvals)
    show_list(state, [_row(one) for one in findings], ("where", "what", "verdict", "message"))
    refused = sum(one.refusal is not None for one in findings)
    if refused:
        raise Failure(f"{refused} of {len(findings)} would be refused.")


def _row(finding: Finding) -> dict[str, Any]:
    by = "; ".join(
        f"version {number} approved by {', '.join(people) or 'nobody'}"
        for number, people in sorted(finding.approved_by.items())
    )
    refusal = finding.refusal
    return {
        "where": finding.where,
        "what": finding.what,
        "verdict": refusal.reason if refusal else "fine",
        "message": refusal.message if refusal else by,
        "approved_by": {str(number): list(people) for number, people in finding.approved_by.items()},
    }


def _keys(path: Path) -> tuple[TrustedKey, ...]:
    from operators.trust import read_trust

    documents = [document for _, document in _documents((path,))]
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise Failure(f"{path} is no trust list.", hint="Make one with: ingot trust > trust.json")
    keys, faults = read_trust(documents[0])
    if faults or not keys:
        raise Failure(f"{path} cannot be used: {faults[0] if faults else 'it trusts no key'}.")
    return keys


def _documents(paths: tuple[Path, ...]) -> Iterator[tuple[str, Any]]:
    """Yield (where, document) of every YAML or JSON file; what cannot be read ends the command."""
    for path in sorted(set(paths)):
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and (file.suffix in _KINDS or file == path):
                yield from ((str(file), document) for document in _read(file))


def _read(file: Path) -> list[Any]:
    import yaml

    try:
        if file.stat().st_size > _LARGEST:
            raise Failure(f"{file} is larger than {_LARGEST:,} bytes.")
        text = file.read_text()
        if file.suffix == ".json":
            return [json.loads(text)]
        # No anchors: a short file must not become a huge document.
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise Failure(f"{file} uses YAML aliases, which no manifest needs.")
        return list(yaml.safe_load_all(text))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise Failure(f"{file} cannot be read: {str(error)[:300]}") from error
