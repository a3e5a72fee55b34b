"""`ingot tls`: the certificate of both origins."""

from __future__ import annotations

from pathlib import Path

import click

from control_plane.cli.machine import data_option, load_machine, settings_option

__all__ = ["tls"]


@click.group()
def tls() -> None:
    """Make, look at and replace the certificate of both origins."""


@tls.command(name="self-signed")
@data_option
@settings_option
@click.option("--name", "names", multiple=True, help="A host name or address beside this machine's own.")
@click.option(
    "--days", type=click.IntRange(1, 825), default=90, show_default=True, help="Days until it expires."
)
def self_signed(data: Path, settings_file: Path | None, names: tuple[str, ...], days: int) -> None:
    """Make a certificate for development, which nobody else vouches for."""
    from control_plane.bootstrap.tls import make_for_development

    whole, alone = make_for_development(load_machine(data, settings_file), names, days)
    click.echo(f"{whole}  certificate and key, for you alone")
    click.echo(f"{alone}  the certificate, for those who shall trust it")
    click.echo(f"Use it:   INGOT_TLS_CERTIFICATE={whole} ingot up --data {data}")
    click.echo(f"Trust it: SSL_CERT_FILE={alone} ingot login, or curl --cacert {alone}")


@tls.command()
@data_option
@settings_option
def show(data: Path, settings_file: Path | None) -> None:
    """Show the certificate that the settings name, and when it expires."""
    from control_plane.bootstrap.tls import days_left, shown_certificate

    found = shown_certificate(load_machine(data, settings_file))
    click.echo(f"subject  {found.subject}")
    click.echo(f"names    {', '.join(found.names) or '-'}")
    click.echo(f"expires  {found.not_after:%Y-%m-%d %H:%M} UTC, in {days_left(found)} days")


@tls.command()
@data_option
@settings_option
def reload(data: Path, settings_file: Path | None) -> None:
    """Read the certificate's files again and serve them; no connection is dropped."""
    from control_plane.bootstrap.tls import reload_certificate

    found, served = reload_certificate(load_machine(data, settings_file))
    where = "New connections get" if served else "No gateway runs here; its next start serves"
    click.echo(f"{where} the certificate that expires on {found.not_after:%Y-%m-%d}.")
