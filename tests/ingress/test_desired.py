"""The pure function against a second reading of the rules, for whatever Ingresses there may be."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping
from urllib.parse import quote, unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operators.ingress.desired import MOST_HEADER_NAMES, Before, Translator
from operators.ingress.kingress import KIngress, Path, Split
from operators.ingress.model import Desired, Positions
from operators.ingress.objects import TlsSecret, Watched, read_endpoints, usable_address
from tests.ingress.objects import CLASS, by_key, document, ingress, path, ready, rule, service, split

SERVICES = {f"fn/s{number}": service() for number in range(4)}
ENDPOINTS = {key: ready("198.18.0.9") for key in SERVICES}


def translated(*ingresses: KIngress, before: Before | None = None, **watched: object) -> Desired:
    """Return the wanted state, made without a memory."""
    objects = {"services": SERVICES, "endpoints": ENDPOINTS, **watched}
    return Translator(CLASS).desired(
        Watched(ingresses=by_key(*ingresses), **objects),  # type: ignore[arg-type]
        before or Before(),
    )


# --- what HAProxy does with the maps, and what the rules themselves say ---

Call = tuple[str, str, str, Mapping[str, str]]
Outcome = tuple[str, str, Mapping[str, str]] | None


def looked_up(desired: Desired, call: Call, number: int) -> Outcome:
    """Go through the maps as HAProxy does: backend, host and headers set, or None for a 404."""
    table, host, asked, headers = call
    routes = desired.maps[f"routes-{table}"]
    state = max((key for key in routes if (host + asked).startswith(key)), key=len, default=None)
    target = routes[state] if state else ""
    if target.startswith("H"):
        for place, name in enumerate(desired.positions.matched):
            value = {key.lower(): value for key, value in headers.items()}.get(name.lower())
            if value is not None:
                step = f"{target}|{place}={quote(value, safe='')}"
                target = desired.maps["steps"].get(step, target)
        target = desired.maps["states"][target]
    if target.startswith("W"):
        key = f"{target}:{number}"
        weights = desired.maps["weights"]
        target = weights[max((each for each in weights if key.startswith(each)), key=len)]
    if target not in desired.maps["splits"]:
        return None
    slot, rewritten, *fields = [*desired.maps["splits"][target].split("|"), "", ""]
    by_slot = {f"k{number}": backend for backend, number in desired.positions.slots.items()}
    named = zip(desired.positions.appended, fields, strict=False)
    return by_slot[slot], rewritten, {name.lower(): unquote(value) for name, value in named if value}


def _chosen(splits: tuple[Split, ...], number: int) -> Split:
    passed = 100
    for each in splits:
        passed += each.percent
        if number < passed:
            return each
    raise AssertionError("the percentages do not add up")


def said_by_rules(ingresses: tuple[KIngress, ...], call: Call, number: int) -> Outcome:
    """Read the rules themselves: the oldest Ingress has the host, then length, then number of headers."""
    table, host, asked, headers = call
    sent = {name.lower(): value for name, value in headers.items()}
    for each in sorted(ingresses, key=lambda made: (made.created, made.key)):
        if host not in each.hosts:
            continue
        paths = [
            path for rule in each.rules if rule.table == table and host in rule.hosts for path in rule.paths
        ]
        fitting = [path for path in paths if asked.startswith(path.prefix) and _shown(path, sent)]
        if not fitting:
            return None
        best = min(fitting, key=lambda path: (-len(path.prefix), -len(path.matched)))
        split = _chosen(best.splits, number)
        return (
            split.backend,
            best.rewrite_host,
            {name.lower(): value for name, value in split.appended if value},
        )
    return None


def _shown(path: Path, sent: Mapping[str, str]) -> bool:
    return all(sent.get(name.lower()) == value for name, value in path.matched)


# --- whatever Ingresses there may be ---

HOSTS = ("a.example.com", "b.example.com", "a.fn.svc.cluster.local")
PATHS = ("/", "/a", "/a/b", "/b")
HEADERS = ("X-One", "x-two", "Knative-Serving-Tag")
VALUES = ("1", "a b", "ü|=%", "2")

_splits = st.lists(st.integers(0, 100), min_size=1, max_size=3).map(
    lambda cuts: [right - left for left, right in zip([0, *sorted(cuts)], [*sorted(cuts), 100], strict=True)]
)
_headers = st.dictionaries(st.sampled_from(HEADERS), st.sampled_from(VALUES), max_size=2)


@st.composite
def _paths(draw: st.DrawFn) -> dict[str, object]:
    percents = draw(_splits)
    splits = []
    for number, percent in enumerate(percents):
        made = split(f"s{draw(st.integers(0, 3))}", percent)
        made["appendHeaders"] = {**draw(_headers), "Place": str(number)}
        splits.append(made)
    matched = {name: {"exact": value} for name, value in draw(_headers).items()}
    return path(*splits, path=draw(st.sampled_from(PATHS)), headers=matched, appendHeaders=draw(_headers))


@st.composite
def _ingresses(draw: st.DrawFn) -> tuple[KIngress, ...]:
    made = []
    for number in range(draw(st.integers(0, 3))):
        rules = [
            rule(
                *draw(st.lists(_paths(), min_size=1, max_size=3)),
                host=draw(st.sampled_from(HOSTS)),
                local=draw(st.booleans()),
            )
            for _ in range(draw(st.integers(1, 2)))
        ]
        created = f"2026-01-0{draw(st.integers(1, 3))}T00:00:00Z"
        made.append(ingress(*rules, name=f"i{number}", created=created, generation=draw(st.integers(1, 9))))
    return tuple(made)


_calls = st.tuples(
    st.sampled_from(("public", "private")),
    st.sampled_from(HOSTS),
    st.sampled_from(("/", "/a", "/ab", "/a/b/c", "/c")),
    _headers,
)
MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@MANY
@given(_ingresses(), st.lists(_calls, min_size=1, max_size=6), st.integers(100, 199))
def test_the_maps_lead_where_the_rules_say(
    made: tuple[KIngress, ...], calls: list[Call], number: int
) -> None:
    assert not any(each.refusal for each in made)
    desired = translated(*made)
    for call in calls:
        assert looked_up(desired, call, number) == said_by_rules(made, call, number), call


@MANY
@given(_ingresses())
def test_no_text_can_end_an_entry_early(made: tuple[KIngress, ...]) -> None:
    for entries in translated(*made).maps.values():
        for key, value in entries.items():
            assert re.fullmatch(r"[!-~]+", key)
            assert re.fullmatch(r"[!-~]+", value)


@MANY
@given(st.lists(_ingresses(), min_size=2, max_size=4))
def test_a_memory_changes_nothing(rounds: list[tuple[KIngress, ...]]) -> None:
    remembering = Translator(CLASS)
    before = Before()
    for made in rounds:
        watched = Watched(by_key(*made), SERVICES, ENDPOINTS)
        desired = remembering.desired(watched, before)
        assert desired == Translator(CLASS).desired(watched, before)
        before = Before(positions=desired.positions, lingering=tuple(desired.positions.slots))


@MANY
@given(st.lists(_ingresses(), min_size=2, max_size=4))
def test_places_are_kept_and_no_slot_is_given_twice(rounds: list[tuple[KIngress, ...]]) -> None:
    positions = Positions()
    for made in rounds:
        before = Before(positions=positions, lingering=tuple(positions.slots))
        after = translated(*made, before=before).positions
        assert positions.slots.items() <= after.slots.items()
        assert len(set(after.slots.values())) == len(after.slots)
        assert after.appended[: len(positions.appended)] == positions.appended
        assert after.matched[: len(positions.matched)] == positions.matched
        positions = after


@given(_splits)
def test_each_of_the_hundred_numbers_falls_where_the_percents_say(percents: list[int]) -> None:
    splits = [split(f"s{number}", percent) for number, percent in enumerate(percents)]
    desired = translated(ingress(rule(path(*splits))))
    call: Call = ("public", "hello.example.com", "/", {})
    seen = Counter(str(looked_up(desired, call, number)) for number in range(100, 200))
    assert sorted(seen.values()) == sorted(percent for percent in percents if percent)


# --- single cases ---


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"rules": [rule(path(split("s1", 50)))]}, "served"),
        ({"rules": [rule(path(split("s1", 50), split("s2", 40)))]}, "add up"),
        ({"rules": [rule(path(split("s1", -1), split("s2", 101)))]}, "percent"),
        ({"rules": [rule(path(split("s1"), path="/a b"))]}, "path"),
        ({"rules": [rule(path(split("s1"), path="a"))]}, "path"),
        ({"rules": [rule(path(split("s1")), host="a/b")]}, "host"),
        ({"rules": [rule(path(split("s1")), host="*.example.com")]}, "host"),
        ({"rules": [rule(path(split("s1"), rewriteHost="a b"))]}, "rewriteHost"),
        ({"rules": [rule(path(split("s1", 100, Host="x")))]}, "may not set"),
        ({"rules": [rule(path(split("s1"), appendHeaders={"a\nb": "c"}))]}, "header"),
        ({"rules": [rule(path(split("s1"), appendHeaders={"a": "b\r\nc"}))]}, "plain text"),
        ({"rules": [rule(path(split("s1"), headers={"a": "b"}))]}, "exact"),
        ({"rules": [{"hosts": ["a.b"], "http": {}}]}, "no paths"),
        ({"rules": "all"}, "list"),
        ({"rules": [rule()], "httpOption": "Sometimes"}, "httpOption"),
        ({"rules": [{**rule(), "visibility": "Secret"}]}, "visibility"),
        ({"rules": [rule()], "tls": [{"secretName": "../x"}]}, "secretName"),
        ({"rules": [rule(*[path(split("s1"), path=f"/{n}") for n in range(101)])] * 100}, "routes"),
    ],
)
def test_what_cannot_be_served_is_refused_with_its_reason(spec: dict[str, object], said: str) -> None:
    made = ingress(**spec)
    if said == "served":
        # One split alone may leave its percentage out, but not say another.
        said = "add up"
    assert said in made.refusal
    desired = translated(made)
    assert desired.verdicts[0].pending is not None
    assert desired.verdicts[0].pending.final
    assert not any(desired.maps.values())


def test_one_ingress_cannot_take_the_last_header_names_of_all() -> None:
    greedy = ingress(
        rule(path(split("s1"), appendHeaders={f"X-{number}": "1" for number in range(100)})), name="greedy"
    )
    modest = ingress(rule(path(split("s2", 100, **{"Knative-Serving-Revision": "r"})), host="b.example.com"))
    desired = translated(greedy, modest)
    assert len(desired.positions.appended) == MOST_HEADER_NAMES
    verdicts = {verdict.key: verdict.pending for verdict in desired.verdicts}
    assert verdicts["fn/hello"] is None
    assert verdicts["fn/greedy"] is not None
    assert len(desired.maps["routes-public"]) == 1


def test_too_many_header_rules_are_refused_before_they_are_many() -> None:
    paths = [
        path(split("s1"), headers={f"X-{name}": {"exact": str(value)} for name in range(8)})
        for value in range(8)
    ]
    desired = translated(ingress(rule(*paths)))
    assert desired.verdicts[0].pending is not None
    assert "header rules" in desired.verdicts[0].pending.message


def test_new_rules_wait_for_their_first_address_while_the_live_ones_serve() -> None:
    old, new = ingress(rule(path(split("s1")))), ingress(rule(path(split("s2"))), generation=2)
    empty = {**ENDPOINTS, "fn/s2": ()}
    waiting = Before(accepted={old.key: old})
    call: Call = ("public", "hello.example.com", "/", {})
    held = translated(new, before=waiting, endpoints=empty)
    assert held.verdicts[0].held
    assert held.verdicts[0].pending is not None
    assert looked_up(held, call, 100) == ("fn/s1:80", "", {})
    for before, endpoints in (
        (waiting, ENDPOINTS),
        (dataclasses.replace(waiting, impatient=(new.key,)), empty),
        (Before(accepted={old.key: dataclasses.replace(old, uid="another")}), empty),
    ):
        served = translated(new, before=before, endpoints=endpoints)
        assert not served.verdicts[0].held
        assert looked_up(served, call, 100) == ("fn/s2:80", "", {})


def test_an_edit_that_cannot_be_served_leaves_the_live_rules() -> None:
    old, broken = ingress(rule(path(split("s1")))), ingress(rule(path(split("s2", 3))), generation=2)
    desired = translated(broken, before=Before(accepted={old.key: old}))
    assert looked_up(desired, ("public", "hello.example.com", "/", {}), 100) == ("fn/s1:80", "", {})
    assert desired.verdicts[0].pending is not None
    assert desired.verdicts[0].generation == 2


def test_a_name_outside_the_cluster_leads_to_its_addresses_but_never_to_this_machine() -> None:
    outside = service(type="ExternalName", externalName="api.example.net.")
    made = ingress(rule(path(split("out"))))
    known = {"api.example.net": ("192.0.2.7", "127.0.0.1", "169.254.169.254")}
    desired = translated(made, services={"fn/out": outside}, resolved=known)
    assert [server.words for server in desired.servers[0]] == ["192.0.2.7:80"]
    unknown = translated(made, services={"fn/out": outside})
    assert unknown.verdicts[0].pending is not None
    assert unknown.verdicts[0].pending.reason == "NameNotResolved"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "::1",
        "169.254.169.254",
        "fe80::1",
        "0.0.0.0",
        "224.0.0.1",
        "::ffff:127.0.0.1",
        "x",
        None,
        7,
    ],
)
def test_an_address_that_no_pod_has_is_not_used(address: object) -> None:
    assert not usable_address(address)
    read = read_endpoints({"subsets": [{"addresses": [{"ip": address}], "ports": [{"port": 80}]}]})
    assert read[0].addresses == ()


def test_a_certificate_changes_its_id_with_its_hosts() -> None:
    def certificate(*hosts: str) -> str:
        made = ingress(
            rule(host="a.example.com"),
            rule(host="b.example.com"),
            tls=[{"hosts": list(hosts), "secretName": "c"}],
        )
        found = translated(made, secrets={"fn/c": TlsSecret(pem="x")}).certificates
        return next(iter(found))

    assert certificate("a.example.com") == certificate("a.example.com")
    assert certificate("a.example.com") != certificate("b.example.com")


def test_an_ingress_that_goes_leaves_nothing_behind() -> None:
    remembering = Translator(CLASS)
    made = ingress(rule(path(split("s1"))))
    remembering.desired(Watched(by_key(made), SERVICES, ENDPOINTS), Before())
    assert remembering.desired(Watched({}, SERVICES, ENDPOINTS), Before()) == Desired()


def test_the_reader_takes_whatever_the_server_may_hold() -> None:
    assert document()["spec"]["rules"]
    for spec in (
        None,
        {},
        {"rules": [None]},
        {"rules": [{"hosts": [7]}]},
        {"rules": [{"http": 3}]},
        {"tls": [1]},
    ):
        made = ingress()
        read = {**document(), "spec": spec}
        from operators.ingress.kingress import read_ingress

        assert read_ingress(read).key == made.key
