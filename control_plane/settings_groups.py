"""The groups of settings: small frozen dataclasses, one for each concern.

Each field carries its meaning, its unit and the reason for its default as
`help`; the settings page of the docs is checked against them by a test. How
values are found is the business of `settings`. No secret is a setting: keys
travel by an inherited descriptor.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from control_plane.settings_cluster import Cluster
from control_plane.settings_options import option
from control_plane.settings_storage import Database, Moving, Storage

__all__ = [
    "GROUPS",
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
    "Storage",
    "Tls",
    "Traces",
]


@dataclass(frozen=True, slots=True)
class Listen:
    """Where people and callers reach Ingot."""

    address: str = option(
        "127.0.0.1",
        "Address of both listeners. Loopback by default: nobody else on the network is meant yet.",
    )
    console_port: int = option(8080, "Port of the console and the API.")
    functions_port: int = option(
        8081, "Port of the functions' own origin; a function's page must never share the console's."
    )
    console_url: str = option(
        "", "Public URL of the console, when a proxy stands in front. Empty: address and port."
    )
    functions_url: str = option(
        "", "Public URL of the functions' origin, when a proxy stands in front. Empty: address and port."
    )


@dataclass(frozen=True, slots=True)
class Api:
    """The processes that answer the console's and the API's requests."""

    processes: int = option(
        0,
        "How many processes answer; Python runs on one core in each. 0: one for each core, at most four, "
        "as each takes about 100 MB.",
    )

    @property
    def count(self) -> int:
        """Return how many there are on this machine."""
        return max(1, self.processes) if self.processes else min(4, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Identity:
    """Passwords and signing in."""

    breached_passwords: str = option(
        "",
        "File of leaked passwords that nobody may choose: sorted lines of upper-case SHA-1 hashes, whole "
        "or cut to one length, optionally with `:count`. Empty: only how a password is made decides.",
    )
    hashes_at_once: int = option(
        2,
        "Passwords that are hashed at the same time, shared out to the api's processes; each takes 64 MB, "
        "so guessing cannot take the memory.",
    )
    keys_folder: str = option(
        "",
        "Folder with the keys of this Ingot, `<name>.key` as in the data folder's `keys`, such as a mounted "
        "Secret. All of them must be there. Empty: the first start makes them, in the data folder.",
    )


@dataclass(frozen=True, slots=True)
class Host:
    """The function host: instances, templates, isolation."""

    isolation: str = option(
        "auto",
        "auto, namespaces, landlock or none. auto takes the strongest level that this machine allows and "
        "refuses to start when there is none; none runs functions unisolated and must be asked for.",
    )
    idle_timeout_s: float = option(
        60.0,
        "Seconds without a call after which an instance ends; a minute keeps bursts warm and costs little.",
    )
    max_life_s: float = option(
        3600.0, "Seconds after which an instance is replaced, so that leaks in user code end within the hour."
    )
    memory_mb: int = option(
        0,
        "Memory for all instances together, in MB. 0: half of the machine's memory, as others live here too.",
    )
    level2_templates: int = option(
        32, "Templates kept with a version's code imported; each costs the pages that the import touched."
    )
    level2_memory_mb: int = option(
        1024, "Memory for all level-2 templates together, in MB; the least recently used goes first."
    )
    uid_base: int = option(
        61000,
        "First of the user ids that are used when Ingot runs as root: services from here, functions from "
        "here plus 1000. The range must hold no real user.",
    )
    log_mb_per_day: int = option(
        64, "Log of one function and day, in MB; what comes after is counted, not kept."
    )
    log_mb_total: int = option(
        2048, "Logs of all functions and days together, in MB; the oldest days are deleted beyond it."
    )
    drain_s: float = option(
        35.0,
        "Seconds for which an instance that was told to end may finish what runs; above the longest "
        "time-out of a call that shall survive a release or a stop.",
    )
    backlog: int = option(
        1024,
        "Connections that may wait at one version's socket; above the calls that the gateway lets "
        "through at once, as a full backlog answers 503 without a wait.",
    )


@dataclass(frozen=True, slots=True)
class Gateway:
    """HAProxy."""

    slots: int = option(256, "Version slots declared at start; doubled by a reload when they are used up.")
    queue_timeout_ms: int = option(
        30_000, "How long a call waits for a free instance before it is answered 503."
    )
    ingress: str = option(
        "",
        "Where the ingress of a Knative cluster answers for hosts inside of it, this gateway's own or "
        "another one: a Unix socket's path or IP:port. Empty: functions run on this machine.",
    )
    replicas: int = option(
        1,
        "How many gateways share the callers. Each grants its part of every limit, rounded up, as none "
        "knows what the others let through.",
    )
    replica: str = option(
        "",
        "Name of this gateway among several, of small letters, digits and hyphens. Set: `ingot up` runs "
        "a gateway and its meter alone, beside an Ingot with the same databases. Empty: the whole.",
    )


@dataclass(frozen=True, slots=True)
class Metering:
    """The meter and its lease over the gateway."""

    lease_s: int = option(
        5, "Seconds for which the gateway may answer calls without a sign of life from the meter."
    )
    max_lag_lines: int = option(
        1_000_000,
        "Unread access-log lines above which the lease is not renewed: uncounted calls must not pile up.",
    )
    min_free_mb: int = option(256, "Free disk space below which the lease is not renewed, in MB.")
    series_days: int = option(
        7,
        "Days for which the monitor keeps sums by minute and samples; a function that is called all the "
        "time takes about 0.5 MB a day. Hourly sums and the calls themselves are not meant.",
    )


@dataclass(frozen=True, slots=True)
class Tls:
    """Encryption at both origins."""

    certificate: str = option(
        "",
        "PEM file with the certificate, its chain and, unless `tls.key` names it, the private key; both "
        "origins then speak HTTPS alone. Empty: HTTP, which is meant for loopback or a proxy in front.",
    )
    key: str = option("", "PEM file with the private key, when the certificate's file does not hold it.")


@dataclass(frozen=True, slots=True)
class Traces:
    """Spans of calls and of the API, for an OpenTelemetry collector."""

    endpoint: str = option(
        "",
        "Address of the collector's OTLP/HTTP receiver, as `http://127.0.0.1:4318`; the path is `/v1/traces` "
        "unless it is named. Empty: no spans are made, as nobody asked for them.",
    )
    percent: float = option(
        100.0,
        "Share of the traces that begin here which is exported, in percent; a caller's own trace goes by "
        "its `sampled` flag. All by default: few calls are made while traces are first looked at.",
    )


@dataclass(frozen=True, slots=True)
class Registry:
    """Where images of versions are kept for a cluster to pull."""

    address: str = option(
        "",
        "Address of the OCI registry, as `https://registry.example`; `http://` for one inside the cluster. "
        "Every version is then kept there, and releases stand on its base images. Empty: versions stay in "
        "the data folder, which is all that one machine needs.",
    )
    prefix: str = option(
        "ingot", "Beginning of the names of all repositories, below which nobody else may write."
    )
    ca_file: str = option("", "PEM file with the CA certificates of the registry. Empty: the system's.")
    username: str = option("", "User who may push, pull and delete below the prefix. Empty: no user is sent.")
    password_file: str = option("", "File with that user's password, readable to Ingot alone.")
    signing_key_file: str = option(
        "", "PEM file with the ECDSA key on P-256 that signs images; must be there when an address is set."
    )
    trusted_keys_file: str = option(
        "", "PEM file with further public keys that are trusted, such as the signer's of base images."
    )


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what piles up is kept. 0 days keep it for ever."""

    usage_days: int = option(
        400, "Days for which each call is kept as a row; the hourly sums, which bills need, stay for ever."
    )
    test_run_days: int = option(30, "Days for which the results of test runs are kept.")
    event_days: int = option(
        90, "Days for which events can be read again; longer than any subscriber should be away."
    )
    credential_days: int = option(
        30, "Days for which expired or revoked sessions, tokens and API keys are still listed."
    )
    draft_days: int = option(
        365,
        "Days after which the files of a draft go whose function was taken down. Its versions, reviews and "
        "history stay; a function that is restored later begins with an empty draft.",
    )
    log_days: int = option(
        30, "Days for which functions' logs are kept, unless `host.log_mb_total` ends them sooner."
    )
    process_log_mb: int = option(
        64, "Size of one process's own log at which it is set aside, in MB; one earlier part is kept."
    )
    content_hours: int = option(
        48,
        "Hours for which files, images and layers that nothing needs any more are kept; must be longer than "
        "any freeze or upload takes, and is at least 1.",
    )
    every_s: float = option(
        3600.0,
        "Seconds between two clean-ups; each is a bounded piece of work, so many short ones are best.",
    )
    batch: int = option(
        2000, "Rows or files that one clean-up removes of each kind at most, so that nobody waits for it."
    )


@dataclass(frozen=True, slots=True)
class Files:
    """Large inputs and outputs of functions."""

    largest_mb: int = option(
        200, "Largest file, in MB; an upload has 15 minutes, which a slow line needs for this much."
    )
    project_mb: int = option(2048, "All files of one project together, in MB.")
    project_count: int = option(
        10_000, "Files of one project; each is counted anew when one is announced, which must stay quick."
    )


GROUPS = {
    "listen": Listen,
    "api": Api,
    "database": Database,
    "storage": Storage,
    "identity": Identity,
    "host": Host,
    "gateway": Gateway,
    "metering": Metering,
    "tls": Tls,
    "traces": Traces,
    "registry": Registry,
    "cluster": Cluster,
    "retention": Retention,
    "files": Files,
    "moving": Moving,
}
