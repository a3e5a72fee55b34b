"""One Ingress as entries of the maps: routes, header states, weights, splits, redirects and hashes.

Pure. Where servers stand and whose host it is are given; ids are hashes of
their content, so a new version of a route is new entries and one changed value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from control_plane.adapters.gateway.weights import content_id, spread
from operators.ingress.header_rules import add_machine
from operators.ingress.kingress import KIngress, Path, Split
from operators.ingress.model import MAP_NAMES, Maps, Positions, Probe

__all__ = ["Part", "make_part"]


@dataclass(frozen=True, slots=True)
class Part:
    """What one Ingress adds to the wanted state; maps without entries are left out."""

    maps: Maps
    probes: tuple[Probe, ...]


class _Writer:
    """Writes the entries of one Ingress into maps of its own."""

    def __init__(self, positions: Positions, maps: Maps) -> None:
        self._positions = positions
        self._maps = maps
        self._appended = {name.lower(): place for place, name in enumerate(positions.appended)}
        # Header names are the same in any spelling; the first one stands in the configuration.
        self._matched = {name.lower(): place for place, name in enumerate(positions.matched)}

    def _split(self, split: Split, rewrite_host: str) -> str:
        fields = [""] * len(self._positions.appended)
        for name, content in split.appended:
            fields[self._appended[name.lower()]] = quote(content, safe="")
        slot = f"k{self._positions.slots[split.backend]}"
        value = "|".join([slot, rewrite_host, *fields]).rstrip("|")
        split_id = content_id("S", value, 16)
        self._maps["splits"][split_id] = value
        return split_id

    def _path(self, path: Path) -> str:
        choices = [
            split_id
            for split in path.splits
            for split_id in [self._split(split, path.rewrite_host)] * split.percent
        ]
        if len(set(choices)) == 1:
            return choices[0]
        weights_id = content_id("W", " ".join(choices), 16)
        self._maps["weights"].update(spread(weights_id, choices))
        return weights_id

    def targets(self, paths: Iterable[Path]) -> dict[str, str]:
        """Return where each prefix leads. Longer prefixes and more headers come first."""
        ordered = sorted(paths, key=lambda path: (-len(path.prefix), -len(path.matched)))
        leads = [(path, self._path(path)) for path in ordered]
        found: dict[str, str] = {}
        for prefix in {path.prefix for path in ordered}:
            candidates = [
                (frozenset((name.lower(), value) for name, value in path.matched), target)
                for path, target in leads
                if prefix.startswith(path.prefix)
            ]
            if any(wanted for wanted, _ in candidates):
                found[prefix] = add_machine(candidates, self._matched, self._maps)
            else:
                found[prefix] = candidates[0][1]
        return found


def _paths_by_host(ingress: KIngress) -> Mapping[tuple[str, str], tuple[Path, ...]]:
    """Return all paths of each host on each listener; rules of the same host add up."""
    found: dict[tuple[str, str], tuple[Path, ...]] = {}
    for rule in ingress.rules:
        for host in rule.hosts:
            found[rule.table, host] = (*found.get((rule.table, host), ()), *rule.paths)
    return found


def make_part(ingress: KIngress, foreign: frozenset[str], positions: Positions) -> Part:
    """Return the entries of an Ingress, without the hosts that belong to others. Raises Refused."""
    maps: Maps = {name: {} for name in MAP_NAMES}
    writer = _Writer(positions, maps)
    known: dict[tuple[Path, ...], dict[str, str]] = {}
    probes: list[Probe] = []
    for (table, host), paths in _paths_by_host(ingress).items():
        if host in foreign:
            continue
        if paths not in known:
            known[paths] = writer.targets(paths)
        routes = maps[f"routes-{table}"]
        for prefix, target in known[paths].items():
            routes[host + prefix] = target
        maps[f"hashes-{table}"][host] = ingress.hash
        if ingress.redirected and table == "public":
            maps["redirects"][host] = "1"
        probes.append(Probe(table, host, paths[0].prefix))
    return Part({name: entries for name, entries in maps.items() if entries}, tuple(probes))
