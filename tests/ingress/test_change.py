"""The order of a change: at every step between two states, each call that both serve is served."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.adapters.gateway.commands import Command
from operators.ingress.change import keep_content, plan_change, unused_since
from operators.ingress.desired import Before, Translator
from operators.ingress.model import MAP_NAMES, Desired
from operators.ingress.objects import Watched
from operators.ingress.settings import IngressSettings
from tests.ingress.objects import CLASS, by_key, ingress, path, ready, rule, service, split

SETTINGS = IngressSettings(run_folder=Path("/r"), data_folder=Path("/d"))


@dataclass
class Model:
    """What HAProxy would hold after the commands so far."""

    maps: dict[str, dict[str, str]] = field(default_factory=lambda: {name: {} for name in MAP_NAMES})
    servers: dict[str, bool] = field(default_factory=dict)

    def take(self, command: Command) -> None:
        words = command.text.split(" ")
        if words[:2] == ["add", "server"]:
            assert words[2] not in self.servers, "a server is added twice"
            self.servers[words[2]] = False
        elif words[:2] == ["enable", "server"]:
            self.servers[words[2]] = True
        elif words[:2] == ["set", "server"]:
            assert words[2] in self.servers
            self.servers[words[2]] = words[4] == "ready"
        else:
            self._change_map(command, self.maps[Path(words[2]).stem])

    def _change_map(self, command: Command, entries: dict[str, str]) -> None:
        first, *lines = command.text.splitlines()
        verb, _, _, *rest = first.split(" ")
        if verb == "add":
            for key, _, value in (line.partition(" ") for line in lines):
                assert key not in entries, "a key is added twice"
                entries[key] = value
        elif verb == "set":
            assert rest[0] in entries, "a key is set that is not there"
            entries[rest[0]] = rest[1]
        else:
            del entries[rest[0]]

    def serves(self, table: str, route: str) -> bool:
        """Say whether every number leads to a slot with a server that takes calls."""
        target = self.maps[f"routes-{table}"].get(route, "")
        target = self.maps["states"].get(target, target)
        weights = [value for key, value in self.maps["weights"].items() if key.startswith(f"{target}:")]
        splits = weights if target.startswith("W") else [target]
        slots = [self.maps["splits"].get(split, "none").split("|")[0] for split in splits]
        taking = {name.split("/")[0] for name, enabled in self.servers.items() if enabled}
        return bool(slots) and all(slot in taking for slot in slots)


HOSTS = ("a.example.com", "b.example.com")
SERVICES = {f"fn/s{number}": service() for number in range(4)}


@st.composite
def _worlds(draw: st.DrawFn) -> Watched:
    made = []
    for number, host in enumerate(HOSTS):
        if not draw(st.booleans()):
            continue
        chosen = draw(st.lists(st.integers(0, 3), min_size=1, max_size=2, unique=True))
        percents = [100] if len(chosen) == 1 else [30, 70]
        splits = [split(f"s{each}", percent) for each, percent in zip(chosen, percents, strict=True)]
        tagged = path(split("s0"), headers={"Knative-Serving-Tag": {"exact": "t"}})
        paths = [path(*splits), *([tagged] if draw(st.booleans()) else [])]
        made.append(ingress(rule(*paths, host=host), name=f"i{number}", generation=draw(st.integers(1, 99))))
    endpoints = {key: ready(f"198.18.0.{draw(st.integers(1, 2))}") for key in SERVICES}
    return Watched(by_key(*made), SERVICES, endpoints)


def _steps(worlds: list[Watched]) -> Iterator[tuple[Desired, Desired, list[Command]]]:
    translator, live = Translator(CLASS), Desired()
    since: Mapping[tuple[str, str], float] = {}
    for turn, world in enumerate(worlds):
        before = Before(positions=live.positions, lingering=tuple(live.positions.slots))
        wanted = translator.desired(world, before)
        # Two turns of grace.
        kept = keep_content(live.maps, wanted, dict(since), float(turn - 2))
        since = unused_since(kept.maps, wanted.maps, since, float(turn))
        change = plan_change(SETTINGS, live, kept, {})
        leaving = [Command(f"set server k{number}/{name} state maint") for number, name in change.leaving]
        yield live, kept, [*change.servers, *change.entries, *leaving]
        live = kept


@settings(max_examples=200, deadline=None)
@given(st.lists(_worlds(), min_size=1, max_size=5))
def test_what_is_served_before_and_after_is_served_at_every_step(worlds: list[Watched]) -> None:
    model = Model()
    for live, wanted, commands in _steps(worlds):
        routes = live.maps["routes-public"].keys() & wanted.maps["routes-public"].keys()
        for command in commands:
            model.take(command)
            for route in routes:
                assert model.serves("public", route), (route, command)
        assert model.maps == wanted.maps
        # A server that left is deleted later; here it is forgotten at once.
        model.servers = {name: enabled for name, enabled in model.servers.items() if enabled}
        expected = {
            f"k{number}/{each.name}" for number, servers in wanted.servers.items() for each in servers
        }
        assert model.servers.keys() == expected


def test_the_hash_changes_last() -> None:
    worlds = [
        Watched(
            by_key(ingress(rule(path(split(name))), generation=number)),
            SERVICES,
            {"fn/s0": ready("198.18.0.1"), "fn/s1": ready("198.18.0.2")},
        )
        for number, name in enumerate(("s0", "s1"), start=1)
    ]
    *_, (_, _, commands) = _steps(worlds)
    assert commands[-1].text.startswith("set map /d/hashes-public.map hello.example.com ")
    assert commands[0].text.startswith("add server k1/")


def test_nothing_to_do_is_nothing_to_say() -> None:
    world = Watched(by_key(ingress()), {"fn/hello-1": service()}, {"fn/hello-1": ready("198.18.0.1")})
    first, second = list(_steps([world, world]))
    assert first[2]
    assert not second[2]
