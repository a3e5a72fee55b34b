"""A Knative Ingress as typed values, read from what the API server holds.

Whatever is in the object is checked here, so that no text can end a map entry,
a line of the configuration or a socket command early. Nothing else is decided.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from operators.ingress.spec_hash import spec_hash

__all__ = ["KIngress", "Path", "Refused", "Rule", "Split", "Tls", "read_ingress"]

CLASS_ANNOTATION = "networking.knative.dev/ingress.class"
# Bounds for one object, far above what Knative writes.
MOST_ENTRIES = 10_000
LONGEST_VALUE = 4_096

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_PATH = re.compile(r"/[!-~]{0,1023}")
_PORT = re.compile(r"[A-Za-z0-9-]{1,63}")
_HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,126}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# Setting one of these would make another message of the request.
_NEVER_SET = frozenset(
    ["host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer", "keep-alive"]
)


class Refused(Exception):
    """The object holds something that cannot be served; the message says what."""


@dataclass(frozen=True, slots=True)
class Split:
    """A part of a path's calls: where they go, how many in a hundred, with which headers set."""

    backend: str
    percent: int
    appended: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Path:
    """Calls under a prefix that carry all the headers."""

    prefix: str
    rewrite_host: str
    matched: tuple[tuple[str, str], ...]
    splits: tuple[Split, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """The paths of some hosts, on the public or the private listener."""

    hosts: tuple[str, ...]
    table: str
    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Tls:
    """The certificate that some hosts are shown; no hosts means all of the Ingress's."""

    hosts: tuple[str, ...]
    secret: str


@dataclass(frozen=True, slots=True)
class KIngress:
    """What an Ingress asks for; with a `refusal` it asks for nothing."""

    key: str
    uid: str
    generation: int
    # Older ones keep their hosts: the creation time in RFC 3339 sorts as text.
    created: str
    ingress_class: str
    hash: str
    rules: tuple[Rule, ...] = ()
    tls: tuple[Tls, ...] = ()
    redirected: bool = False
    refusal: str = ""
    # Drawn from the rules once, as every turn asks for them: hosts, backends that get calls, and the
    # names of headers that are set and that are matched.
    hosts: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    appended: frozenset[str] = frozenset()
    matched: frozenset[str] = frozenset()


def _text(value: Any, what: str, pattern: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise Refused(f"{what} {str(value)[:80]!r} is not one that the gateway can hold")
    return value


def _list(holder: Any, name: str) -> list[Any]:
    if not isinstance(holder, Mapping):
        raise Refused(f"what should hold {name} is not an object")
    value = holder.get(name) or []
    if not isinstance(value, list):
        raise Refused(f"{name} is not a list")
    return value


def _headers(value: Any, what: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value or {}, Mapping):
        raise Refused(f"{what} is not an object")
    for name, content in (value or {}).items():
        checked = _text(name, f"the header in {what}", _HEADER)
        if not isinstance(content, str) or _CONTROL.search(content) or len(content) > LONGEST_VALUE:
            raise Refused(f"the value of header {checked} in {what} is not plain text")
        yield checked, content


def _appended(value: Any) -> Iterator[tuple[str, str]]:
    for name, content in _headers(value, "appendHeaders"):
        if name.lower() in _NEVER_SET:
            raise Refused(f"appendHeaders may not set {name}")
        yield name, content


def _split(value: Any, alone: bool, shared: dict[str, str]) -> Split:
    if not isinstance(value, Mapping):
        raise Refused("a split is not an object")
    namespace = _text(value.get("serviceNamespace"), "serviceNamespace", _NAME)
    service = _text(value.get("serviceName"), "serviceName", _NAME)
    port = _text(str(value.get("servicePort")), "servicePort", _PORT)
    percent = value.get("percent") or (100 if alone else 0)
    if not isinstance(percent, int) or not 0 <= percent <= 100:
        raise Refused(f"percent {percent!r} is not between 0 and 100")
    # A split's own header wins over its path's.
    appended = {**shared, **dict(_appended(value.get("appendHeaders")))}
    return Split(f"{namespace}/{service}:{port}", percent, tuple(sorted(appended.items())))


def _path(value: Any) -> Path:
    splits = _list(value, "splits")
    shared = dict(_appended(value.get("appendHeaders")))
    read = tuple(_split(split, len(splits) == 1, shared) for split in splits)
    if sum(split.percent for split in read) != 100:
        raise Refused("the percentages of a path do not add up to 100")
    wanted = value.get("headers") or {}
    if not isinstance(wanted, Mapping) or not all(isinstance(each, Mapping) for each in wanted.values()):
        raise Refused("headers of a path are not objects with `exact`")
    matched = dict(_headers({name: each.get("exact") for name, each in wanted.items()}, "headers"))
    rewrite = value.get("rewriteHost") or ""
    return Path(
        prefix=_text(value.get("path") or "/", "path", _PATH),
        rewrite_host=_text(rewrite, "rewriteHost", _HOST) if rewrite else "",
        matched=tuple(sorted(matched.items())),
        splits=tuple(split for split in read if split.percent),
    )


def _hosts(holder: Any) -> tuple[str, ...]:
    named = (host.lower() if isinstance(host, str) else host for host in _list(holder, "hosts"))
    return tuple(dict.fromkeys(_text(host, "host", _HOST) for host in named))


def _rule(value: Any) -> Rule:
    hosts = _hosts(value)
    visibility = value.get("visibility") or "ExternalIP"
    if visibility not in {"ExternalIP", "ClusterLocal"}:
        raise Refused(f"visibility {str(visibility)[:80]!r} is unknown")
    paths = tuple(_path(path) for path in _list(value.get("http") or {}, "paths"))
    if not paths:
        raise Refused("a rule has no paths")
    return Rule(hosts, "private" if visibility == "ClusterLocal" else "public", paths)


def _tls(value: Any, namespace: str) -> Tls:
    hosts = _hosts(value)
    where = _text(value.get("secretNamespace") or namespace, "secretNamespace", _NAME)
    return Tls(hosts, f"{where}/{_text(value.get('secretName'), 'secretName', _NAME)}")


def _content(spec: Any, namespace: str) -> tuple[tuple[Rule, ...], tuple[Tls, ...], bool]:
    rules = tuple(_rule(rule) for rule in _list(spec, "rules"))
    entries = sum(len(rule.hosts) * len(path.splits) for rule in rules for path in rule.paths)
    if entries > MOST_ENTRIES:
        raise Refused(f"it has {entries} routes; at most {MOST_ENTRIES} are served")
    option = spec.get("httpOption") or "Enabled"
    if option not in {"Enabled", "Redirected"}:
        raise Refused(f"httpOption {str(option)[:80]!r} is unknown")
    tls = tuple(_tls(each, namespace) for each in _list(spec, "tls"))
    return rules, tls, option == "Redirected"


def read_ingress(document: Mapping[str, Any]) -> KIngress:
    """Read one object of the API server; what cannot be served stands in `refusal`."""
    metadata = document["metadata"]
    namespace, name = str(metadata["namespace"]), str(metadata["name"])
    spec = document.get("spec") or {}
    rules: tuple[Rule, ...] = ()
    tls: tuple[Tls, ...] = ()
    redirected, refusal = False, ""
    try:
        rules, tls, redirected = _content(spec, namespace)
    except Refused as refused:
        refusal = str(refused)
    paths = [path for rule in rules for path in rule.paths]
    splits = [split for path in paths for split in path.splits]
    return KIngress(
        key=f"{namespace}/{name}",
        uid=str(metadata.get("uid", "")),
        generation=int(metadata.get("generation", 0)),
        created=str(metadata.get("creationTimestamp", "")),
        ingress_class=str((metadata.get("annotations") or {}).get(CLASS_ANNOTATION, "")),
        hash=spec_hash(spec, namespace, name),
        rules=rules,
        tls=tls,
        redirected=redirected,
        refusal=refusal,
        hosts=tuple(dict.fromkeys(host for rule in rules for host in rule.hosts)),
        backends=tuple(dict.fromkeys(split.backend for split in splits)),
        appended=frozenset(header for split in splits for header, _ in split.appended),
        matched=frozenset(header for path in paths for header, _ in path.matched),
    )
