"""Settings: small frozen dataclasses, one for each concern, resolved once by the supervisor.

Each field carries its meaning, its unit and the reason for its default as
`help`; the settings page of the docs is checked against them by a test. A value comes from
the environment (`INGOT_<GROUP>_<FIELD>`), else from the settings file (TOML,
`[group] field = …`), else from here. No secret is a setting: keys travel by an
inherited descriptor. Nothing here reads a database or starts a process.
"""

from __future__ import annotations

import json
import os
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, get_type_hints

from control_plane.errors import Invalid

__all__ = [
    "Database",
    "Gateway",
    "Host",
    "Listen",
    "Metering",
    "Settings",
    "load_settings",
    "run_folder",
    "settings_from_document",
]


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, slots=True)
class Listen:
    """Where people and callers reach Ingot."""

    address: str = _option(
        "127.0.0.1",
        "Address of both listeners. Loopback by default: nobody else on the network is meant yet.",
    )
    console_port: int = _option(8080, "Port of the console and the API.")
    functions_port: int = _option(
        8081, "Port of the functions' own origin; a function's page must never share the console's."
    )
    console_url: str = _option(
        "", "Public URL of the console, when a proxy stands in front. Empty: address and port."
    )
    functions_url: str = _option(
        "", "Public URL of the functions' origin, when a proxy stands in front. Empty: address and port."
    )


@dataclass(frozen=True, slots=True)
class Database:
    """Where rows live."""

    control_url: str = _option(
        "", "SQLAlchemy URL of the control database. Empty: SQLite in the data folder, which needs no server."
    )
    usage_url: str = _option("", "SQLAlchemy URL of the usage database. Empty: SQLite in the data folder.")


@dataclass(frozen=True, slots=True)
class Host:
    """The function host: instances, templates, isolation."""

    isolation: str = _option(
        "auto",
        "auto, namespaces, landlock or none. auto takes the strongest level that this machine allows and "
        "refuses to start when there is none; none runs functions unisolated and must be asked for.",
    )
    idle_timeout_s: float = _option(
        60.0,
        "Seconds without a call after which an instance ends; a minute keeps bursts warm and costs little.",
    )
    max_life_s: float = _option(
        3600.0, "Seconds after which an instance is replaced, so that leaks in user code end within the hour."
    )
    memory_mb: int = _option(
        0,
        "Memory for all instances together, in MB. 0: half of the machine's memory, as others live here too.",
    )
    level2_templates: int = _option(
        32, "Templates kept with a version's code imported; each costs the pages that the import touched."
    )
    level2_memory_mb: int = _option(
        1024, "Memory for all level-2 templates together, in MB; the least recently used goes first."
    )
    uid_base: int = _option(
        61000,
        "First of the user ids that are used when Ingot runs as root: services from here, functions from "
        "here plus 1000. The range must hold no real user.",
    )
    log_mb_per_day: int = _option(
        64, "Log of one function and day, in MB; what comes after is counted, not kept."
    )
    log_mb_total: int = _option(
        2048, "Logs of all functions and days together, in MB; the oldest days are deleted beyond it."
    )
    drain_s: float = _option(
        35.0,
        "Seconds for which an instance that was told to end may finish what runs; above the longest "
        "time-out of a call that shall survive a release or a stop.",
    )
    backlog: int = _option(
        1024,
        "Connections that may wait at one version's socket; above the calls that the gateway lets "
        "through at once, as a full backlog answers 503 without a wait.",
    )


@dataclass(frozen=True, slots=True)
class Gateway:
    """HAProxy."""

    slots: int = _option(256, "Version slots declared at start; doubled by a reload when they are used up.")
    queue_timeout_ms: int = _option(
        30_000, "How long a call waits for a free instance before it is answered 503."
    )


@dataclass(frozen=True, slots=True)
class Metering:
    """The meter and its lease over the gateway."""

    lease_s: int = _option(
        5, "Seconds for which the gateway may answer calls without a sign of life from the meter."
    )
    max_lag_lines: int = _option(
        1_000_000,
        "Unread access-log lines above which the lease is not renewed: uncounted calls must not pile up.",
    )
    min_free_mb: int = _option(256, "Free disk space below which the lease is not renewed, in MB.")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that one Ingot needs to know before it starts."""

    # Absolute folder of all data; sockets live in `run`, which has a short path.
    data: Path
    run: Path
    listen: Listen = field(default_factory=Listen)
    database: Database = field(default_factory=Database)
    host: Host = field(default_factory=Host)
    gateway: Gateway = field(default_factory=Gateway)
    metering: Metering = field(default_factory=Metering)

    @property
    def console_url(self) -> str:
        """Return the console's public origin, without a slash at the end."""
        return self.listen.console_url or f"http://{self.listen.address}:{self.listen.console_port}"

    @property
    def functions_url(self) -> str:
        """Return the functions' public origin, without a slash at the end."""
        return self.listen.functions_url or f"http://{self.listen.address}:{self.listen.functions_port}"

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


GROUPS = {"listen": Listen, "database": Database, "host": Host, "gateway": Gateway, "metering": Metering}


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
    written = _read_file(file) if file else {}
    known = {environment_name for environment_name, *_ in options()}
    for name in environment:
        if any(name.startswith(f"INGOT_{group.upper()}_") for group in GROUPS) and name not in known:
            raise Invalid(f"{name} is not a setting.", field=name, hint="See the settings page of the docs.")
    groups = {
        group: _group(group, kind, written.get(group, {}), environment) for group, kind in GROUPS.items()
    }
    data = data.absolute()
    return Settings(data=data, run=run_folder(data, environment), **groups)


def settings_from_document(document: str) -> Settings:
    """Read what `Settings.document` wrote."""
    raw = json.loads(document)
    groups = {group: kind(**raw[group]) for group, kind in GROUPS.items()}
    return Settings(data=Path(raw["data"]), run=Path(raw["run"]), **groups)


def _read_file(file: Path) -> dict[str, Any]:
    try:
        written = tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Invalid(f"The settings file {file} cannot be read: {error}") from error
    unknown = [group for group in written if group not in GROUPS]
    if unknown:
        raise Invalid(f"The settings file {file} has an unknown group “{unknown[0]}”.", field=unknown[0])
    return written


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
        raise Invalid(f"{group}.{unknown[0]} is not a setting.", field=f"{group}.{unknown[0]}")
    return kind(**values)


def _convert(name: str, value: Any, kind: type) -> Any:
    wrong = Invalid(f"{name} is {value!r}, which is no {kind.__name__}.", field=name)
    if isinstance(value, bool) or (kind is str and not isinstance(value, str)):
        raise wrong
    try:
        return kind(value)
    except (TypeError, ValueError):
        raise wrong from None
