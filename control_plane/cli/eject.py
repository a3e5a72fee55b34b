"""`ingot eject`: plain Knative YAML and an image that run where nothing of Ingot is installed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from control_plane.cli.failures import ExitCode, Failure
from control_plane.cli.moving import fetch_export
from control_plane.cli.output import note, progress
from control_plane.cli.references import find_function
from control_plane.cli.state import CliState, pass_state
from control_plane.errors import IngotError

if TYPE_CHECKING:
    from builders.build import Folders
    from builders.release_image import ReleaseImage
    from control_plane.services.function_archive import ArchivedVersion, Received

__all__ = ["eject"]

_PATH: Final = click.Path(path_type=Path, file_okay=False)
_FILE: Final = click.Path(path_type=Path, dir_okay=False, exists=True)
_CACHE: Final = Path("~/.cache/ingot")


@click.command()
@click.argument("function", required=False)
@click.argument("folder", type=_PATH)
@click.option("--version", "number", type=int, help="Default: the newest that may be released.")
@click.option(
    "--from", "source", type=_FILE, help="Take it from what `ingot export` wrote, not from a server."
)
@click.option("--image", help="Repository that the image goes to, as registry.example/team/orders.")
@click.option(
    "--push", is_flag=True, help="Push it there, as INGOT_REGISTRY_USER with INGOT_REGISTRY_PASSWORD."
)
@click.option("--plain-http", is_flag=True, help="The registry speaks no TLS.")
@click.option("--set", "values", multiple=True, metavar="NAME=VALUE", help="Value of a setting.")
@click.option("--cache", type=_PATH, default=_CACHE, help="Where the base image and layers are kept.")
@pass_state
def eject(  # noqa: PLR0913, PLR0917  (each is one option)
    state: CliState,
    function: str | None,
    folder: Path,
    number: int | None,
    source: Path | None,
    image: str | None,
    push: bool,
    plain_http: bool,
    values: tuple[str, ...],
    cache: Path,
) -> None:
    """Write a version of FUNCTION to FOLDER: service.yaml for `kubectl apply`, and its image as OCI layout.

    Needs Debian's package archive, or a base image that an earlier run kept in the cache.
    """
    from control_plane.services.function_archive import receive

    if folder.exists() and any(folder.iterdir()):
        raise Failure(f"{folder} is not empty.", exit_code=ExitCode.USAGE)
    given = _values(values)
    folder.mkdir(parents=True, exist_ok=True)
    path = source or folder / "function.ingot"
    if source is None:
        given = _fetch(state, function, number, path) | given
    try:
        with path.open("rb") as stream:
            received = receive(stream)
            name = str(received.archive.function["name"])
            version = _chosen(received, number)
            folders, made = _image(received, version, cache.expanduser())
            manifest = json.loads(received.blob(version.digest))
            (folder / "sbom.json").write_bytes(received.blob(version.sbom))
    except IngotError as error:
        raise Failure(error.message, hint=error.hint or "") from error
    repository = image or f"registry.example/{name}"
    _put(folder, made, folders, version.number)
    if push:
        _push(repository, made, folders, plain_http, version.number)
    _write(folder, (name, version.number, f"{repository}@{made.digest}"), manifest, given)
    note(f"Wrote version {version.number} of {name} to {folder}; {folder}/README.md says how to run it.")


def _fetch(state: CliState, function: str | None, number: int | None, path: Path) -> dict[str, str]:
    """Write the function's file to `path`; return the live values of its settings."""
    with state.client(timeout_s=900) as client:
        found = find_function(client, function)
        fetch_export(client, found["id"], (number,) if number else (), path)
        rows = client.pages(f"/projects/{found['project']}/settings", function=found["id"])
        live = [row for row in rows if row["stage"] == "live" and row["kind"] == "setting"]
    # One for the function alone comes before one for all of the project.
    live.sort(key=lambda row: bool(row.get("function")))
    return {row["name"]: str(row["value"]) for row in live}


def _values(pairs: tuple[str, ...]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise Failure(f"“{pair}” is not NAME=VALUE.", exit_code=ExitCode.USAGE)
    return dict(pair.split("=", 1) for pair in pairs)


def _chosen(received: Received, number: int | None) -> ArchivedVersion:
    versions = received.archive.versions
    for one in versions:
        if one.number == number:
            return one
    if number is not None:
        raise Failure(f"The file does not hold version {number}.", exit_code=ExitCode.NOT_FOUND)
    return versions[-1]


def _image(received: Received, version: ArchivedVersion, cache: Path) -> tuple[Folders, ReleaseImage]:
    """Return the version's image, made in the cache's folders."""
    import sysconfig

    import builders
    from builders.base.assemble import make_base
    from builders.base.package_list import read_list
    from builders.base.runtime_files import Runtime
    from builders.build import Folders, machine_platform
    from builders.eject import Sources, make_image
    from builders.errors import BuildError

    files = {file.path: received.blob(file.digest) for file in version.files}
    deps = (version.deps, received.blob(version.deps)) if version.deps else None
    sources = Sources(version.digest, files, received.blob(version.lock), deps)
    runtime = str(json.loads(received.blob(version.digest))["runtime"])
    root = Path(builders.__file__).resolve().parents[1]
    wrapping = Runtime(root / "templates" / "runtimes" / "python", Path(sysconfig.get_path("platlib")))
    folders = Folders(cache / "blobs", cache / "layers", cache / "cache")
    for one in (folders.blobs, folders.layers, folders.cache):
        one.mkdir(parents=True, exist_ok=True)
    try:
        with progress("Making the image"):
            base = make_base(read_list(runtime, machine_platform()), wrapping, folders.blobs, folders.cache)
            return folders, make_image(sources, base, folders)
    except BuildError as error:
        raise Failure(error.message, hint=error.hint or "", exit_code=ExitCode.FAILED) from error


def _put(folder: Path, image: ReleaseImage, folders: Folders, number: int) -> None:
    from builders.eject import put_image
    from builders.layout import LayoutPlace

    put_image(LayoutPlace(folder / "image"), image, folders, f"v{number}")


def _push(repository: str, image: ReleaseImage, folders: Folders, plain_http: bool, number: int) -> None:
    from builders.eject import put_image
    from builders.errors import BuildError
    from builders.place import RegistryPlace
    from builders.registry.access import Access
    from builders.registry.client import Registry
    from builders.registry.conversation import Conversation

    host, _, name = repository.partition("/")
    access = Access(
        host,
        plain_http=plain_http,
        username=os.environ.get("INGOT_REGISTRY_USER", ""),
        password=os.environ.get("INGOT_REGISTRY_PASSWORD", ""),
    )
    try:
        with progress(f"Pushing to {repository}"), Conversation(access) as conversation:
            registry = Registry(conversation)
            put_image(RegistryPlace(registry, registry.repository(name)), image, folders, f"v{number}")
    except BuildError as error:
        raise Failure(error.message, hint=error.hint or "", exit_code=ExitCode.UNAVAILABLE) from error


def _write(
    folder: Path, version: tuple[str, int, str], manifest: dict[str, Any], values: dict[str, str]
) -> None:
    """Write service.yaml, and how to run it."""
    import yaml

    from operators.resources.plain import PlainFunction, make_plain_service, secret_name

    name, number, image = version
    missing = [one for one in manifest["settings"] if one not in values]
    if missing:
        note(f"No value is known of {', '.join(missing)}; give it with --set or in service.yaml.")
    plain = PlainFunction(
        name=name,
        number=number,
        image=image,
        limits=manifest["limits"],
        settings={one: values.get(one, "") for one in manifest["settings"]},
        secrets=tuple(manifest["secrets"]),
    )
    service = yaml.safe_dump(make_plain_service(plain), sort_keys=False, width=110)
    (folder / "service.yaml").write_text(service)
    literals = "".join(f" --from-literal={one}=…" for one in plain.secrets)
    secret = f"kubectl create secret generic {secret_name(name)}{literals}\n" if literals else ""
    (folder / "README.md").write_text(
        f"# {name}, version {number}\n\n"
        "An image in OCI layout (`image/`) and a Knative Service (`service.yaml`). To run them takes "
        "Knative Serving and nothing of Ingot.\n\n"
        "```\n"
        f"skopeo copy oci:image:v{number} docker://{image.partition('@')[0]}:v{number}\n"
        f"{secret}"
        "kubectl apply -f service.yaml\n"
        f"kubectl get ksvc {name}\n"
        "```\n"
        "The address that the last line shows takes a POST with JSON. There is no API key, no limit, no "
        "record of calls any more: whoever reaches it may call it.\n"
    )
