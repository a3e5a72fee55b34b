"""`ingot trust`: what a cluster must hold to run this installation's releases."""

from __future__ import annotations

import json
from pathlib import Path

import click

from control_plane.cli.machine import data_option, locate_machine

__all__ = ["trust"]


@click.command()
@data_option
@click.option(
    "--for", "namespaces", multiple=True, metavar="PATTERN", help="Only for these namespaces; default: all."
)
@click.option(
    "--approvals",
    type=click.IntRange(0, 100),
    default=0,
    show_default=True,
    help="Approvals that a release needs there; 1 refuses what nobody reviewed.",
)
@click.option("--namespace", default="ingot-system", show_default=True, help="The operator's namespace.")
def trust(data: Path, namespaces: tuple[str, ...], approvals: int, namespace: str) -> None:
    """Print the trust list that a cluster's operator needs, to be applied by whoever runs the cluster.

    ingot trust | kubectl apply --server-side --field-manager=NAME -f -
    """
    from control_plane.bootstrap.trust import trust_list

    document = trust_list(locate_machine(data), namespaces, approvals, namespace)
    click.echo(json.dumps(document, indent=2))
