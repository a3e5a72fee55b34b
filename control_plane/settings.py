"""Settings, resolved once by the supervisor: what there is stands in `settings_groups`.

A value comes from the environment (`INGOT_<GROUP>_<FIELD>`), else from the
settings file (TOML, `[group] field = …`), else from the group's default. How one
came about is told by `settings_explained`. Nothing here reads a database or
starts a process.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import urlsplit

from control_plane.errors import Invalid
from control_plane.settings_groups import (
    GROUPS,
    Api,
    Cluster,
    Database,
    Files,
    Gateway,
    Host,
    Identity,
    Listen,
    Metering,
    Moving,
    Registry,
    Retention,
    Storage,
    Tls,
    Traces,
)

__all__ = [
    "Api",
    "Cluster",
    "Database",
    "Files",
    "Gateway",
    "Host",
    "Identity",
    "Listen",
    "Metering",
    "Moving",
    "Registry",
    "Retention",
    "Settings",
    "Storage",
    "Tls",
    "Traces",
    "load_settings",
    "nearest",
    "run_folder",
    "settings_file",
    "settings_from_document",
    "settings_from_file",
]


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that one Ingot needs to know before it starts."""

    # Absolute folder of all data; sockets live in `run`, which has a short path.
    data: Path
    run: Path
    listen: Listen = field(default_factory=Listen)
    api: Api = field(default_factory=Api)
    database: Database = field(default_factory=Database)
    storage: Storage = field(default_factory=Storage)
    identity: Identity = field(default_factory=Identity)
    host: Host = field(default_factory=Host)
    gateway: Gateway = field(default_factory=Gateway)
    metering: Metering = field(default_factory=Metering)
    tls: Tls = field(default_factory=Tls)
    traces: Traces = field(default_factory=Traces)
    registry: Registry = field(default_factory=Registry)
    cluster: Cluster = field(default_factory=Cluster)
    retention: Retention = field(default_factory=Retention)
    files: Files = field(default_factory=Files)
    moving: Moving = field(default_factory=Moving)

    @property
    def scheme(self) -> str:
        """Return what both origins speak themselves."""
        return "https" if self.tls.certificate else "http"

    @property
    def console_url(self) -> str:
        """Return the console's public origin, without a slash at the end."""
        return self.listen.console_url or f"{self.scheme}://{self.listen.address}:{self.listen.console_port}"

    @property
    def functions_url(self) -> str:
        """Return the functions' public origin, without a slash at the end."""
        listen = self.listen
        return listen.functions_url or f"{self.scheme}://{listen.address}:{listen.functions_port}"

    @property
    def control_url(self) -> str:
        """Return the SQLAlchemy URL of the control database."""
        return self.database.control_url or f"sqlite:///{self.data / 'db' / 'control.db'}"

    @property
    def usage_url(self) -> str:
        """Return the SQLAlchemy URL of the usage database."""
        return self.database.usage_url or f"sqlite:///{self.data / 'db' / 'usage.db'}"

    def document(self) -> str:
        """Return the settings as the frozen JSON document that a role reads."""
        return json.dumps(asdict(self), default=str, indent=1, sort_keys=True)


_REPLICA = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# The settings file's name in the data folder.
FILE_NAME = "ingot.toml"
# What it was called before; read by nobody, so it must not lie there as if it were.
_OLD_FILE_NAME = "settings.toml"

# Variables of the command line, of `scripts/demo.py` and of the supervisor for its children.
_OTHER_VARIABLES = frozenset(
    f"INGOT_{name}"
    for name in (
        *("URL", "TOKEN", "KEY", "FUNCTIONS_URL", "EMAIL", "NEW_PASSWORD", "CONFIG_HOME", "VERBOSE", "DATA"),
        *("CONFIG", "READY_FD", "SECRETS_FD", "STORE_FD"),
        *("FD_ACCESS_LOG", "FD_CONSOLE", "FD_FUNCTIONS"),
        # Of `knative.bootstrap`, which reads them itself.
        *("CLUSTER_STATE", "CLUSTER_RUN", "CLUSTER_CACHE", "CLUSTER_PROFILE", "CLUSTER_NAME"),
    )
)
# Kubernetes sets these in every pod beside a service that is called ingot, or ingot-something.
_SERVICE_LINK = re.compile(r"INGOT_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP)(_\w+)?)")


def options() -> Iterator[tuple[str, str, Any, str]]:
    """Yield (environment name, `group.field`, default, help) of every setting."""
    for group, kind in GROUPS.items():
        for option in fields(kind):
            name = f"{group}.{option.name}"
            yield f"INGOT_{name.replace('.', '_').upper()}", name, option.default, option.metadata["help"]


def run_folder(data: Path, environment: Mapping[str, str]) -> Path:
    """Return the folder for sockets: short, as a Unix path ends at 107 bytes, and this data folder's own."""
    mark = sha256(str(data).encode()).hexdigest()[:10]
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    if runtime and len(runtime) <= 30 and Path(runtime).is_dir():
        return Path(runtime) / f"ingot-{mark}"
    # A long temporary folder (as macOS or some CI set) would break the limit of the gateway.
    temporary = tempfile.gettempdir()
    return Path(temporary if len(temporary) <= 20 else "/tmp") / f"ingot-{os.getuid()}" / mark  # noqa: S108


def load_settings(data: Path, environment: Mapping[str, str], file: Path | None = None) -> Settings:
    """Resolve the settings for `data` from the environment and an optional TOML file.

    Raises Invalid naming the setting that is unknown or of the wrong type.
    """
    written = settings_from_file(file) if file else {}
    _refuse_unknown(environment)
    groups = {
        group: _group(group, kind, written.get(group, {}), environment) for group, kind in GROUPS.items()
    }
    _check_traces(groups["traces"])
    _check_replicas(groups["gateway"], groups["database"])
    data = data.absolute()
    return Settings(data=data, run=run_folder(data, environment), **groups)


def settings_from_document(document: str) -> Settings:
    """Read what `Settings.document` wrote."""
    raw = json.loads(document)
    groups = {group: kind(**raw[group]) for group, kind in GROUPS.items()}
    return Settings(data=Path(raw["data"]), run=Path(raw["run"]), **groups)


def settings_file(data: Path, named: Path | None = None) -> Path | None:
    """Return the file to read: the one that was named, else the data folder's own if there is one.

    Raises Invalid when the data folder holds one by the name of earlier versions.
    """
    if named is not None:
        return named
    if (data / _OLD_FILE_NAME).exists():
        raise Invalid(
            f"{data / _OLD_FILE_NAME} is not read: the settings file is called {FILE_NAME} now.",
            field=_OLD_FILE_NAME,
            hint=f"mv {data / _OLD_FILE_NAME} {data / FILE_NAME}",
        )
    found = data / FILE_NAME
    return found if found.exists() else None


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint that names what was probably meant."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    meant = f"Did you mean {close[0]}? " if close else ""
    return f"{meant}`ingot settings explain` lists every setting."


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    """Refuse every variable in our name that nothing reads: it was meant to change something."""
    known = {environment_name for environment_name, *_ in options()}
    for name, value in environment.items():
        if not name.startswith("INGOT_") or name in known or name in _OTHER_VARIABLES:
            continue
        if not _SERVICE_LINK.fullmatch(name) and not value.startswith(("tcp://", "udp://")):
            raise Invalid(f"{name} is not a setting.", field=name, hint=nearest(name, known))


def settings_from_file(file: Path) -> dict[str, Any]:
    """Return what a settings file holds, by group. Raises Invalid naming what is wrong with it."""
    try:
        written = tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Invalid(f"The settings file {file} cannot be read: {error}") from error
    unknown = [group for group in written if group not in GROUPS]
    if unknown:
        message = f"The settings file {file} has an unknown group “{unknown[0]}”."
        raise Invalid(message, field=unknown[0], hint=nearest(unknown[0], GROUPS))
    return written


def _check_traces(traces: Traces) -> None:
    """Refuse what would only show as spans that never arrive."""
    address = urlsplit(traces.endpoint)
    if traces.endpoint and (address.scheme not in {"http", "https"} or not address.hostname):
        raise Invalid(
            f"traces.endpoint is {traces.endpoint!r}, which is no http or https address.",
            field="traces.endpoint",
            hint="Name the collector's OTLP/HTTP receiver, as http://127.0.0.1:4318.",
        )
    if not 0 <= traces.percent <= 100:
        raise Invalid(
            f"traces.percent is {traces.percent}.",
            field="traces.percent",
            hint="It is a share from 0 to 100.",
        )


def _check_replicas(gateway: Gateway, database: Database) -> None:
    """Refuse gateways that could not share what they must."""
    if not 1 <= gateway.replicas <= 100:
        found = f"gateway.replicas is {gateway.replicas}."
        raise Invalid(found, field="gateway.replicas", hint="It is a number from 1 to 100.")
    if not gateway.replica:
        return
    if not _REPLICA.fullmatch(gateway.replica):
        raise Invalid(
            f"gateway.replica is {gateway.replica!r}.",
            field="gateway.replica",
            hint="Use up to 63 small letters, digits and inner hyphens, as a pod's name.",
        )
    if not gateway.ingress:
        raise Invalid(
            "One more gateway reaches functions through a cluster's ingress alone.",
            field="gateway.ingress",
            hint="Set it to where the ingress answers, as for the Ingot that this gateway belongs to.",
        )
    for url, name in ((database.control_url, "control_url"), (database.usage_url, "usage_url")):
        if not url.startswith("postgresql"):
            raise Invalid(
                f"One more gateway shares the databases of an Ingot, and database.{name} names none.",
                field=f"database.{name}",
                hint="Both must be the PostgreSQL that the other one uses.",
            )


def _group(group: str, kind: type, written: Any, environment: Mapping[str, str]) -> Any:
    if not isinstance(written, dict):
        raise Invalid(f"[{group}] in the settings file must be a table.", field=group)
    types = get_type_hints(kind)
    values: dict[str, Any] = {}
    for option in fields(kind):
        name = f"{group}.{option.name}"
        variable = f"INGOT_{name.replace('.', '_').upper()}"
        if variable in environment:
            values[option.name] = _convert(variable, environment[variable], types[option.name])
        elif option.name in written:
            values[option.name] = _convert(name, written[option.name], types[option.name])
    unknown = [name for name in written if name not in types]
    if unknown:
        name = f"{group}.{unknown[0]}"
        hint = nearest(name, (known for _, known, _, _ in options()))
        raise Invalid(f"{name} is not a setting.", field=name, hint=hint)
    return kind(**values)


def _convert(name: str, value: Any, kind: type) -> Any:
    wrong = Invalid(f"{name} is {value!r}, which is no {kind.__name__}.", field=name)
    if isinstance(value, bool) or (kind is str and not isinstance(value, str)):
        raise wrong
    try:
        return kind(value)
    except (TypeError, ValueError):
        raise wrong from None
