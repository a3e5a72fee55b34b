"""The small parts: hash, status, resolver, reporter, manifests, flags."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from operators.ingress import __main__ as controller_process
from operators.ingress import launch
from operators.ingress.kube import Unreachable
from operators.ingress.manifests import manifests
from operators.ingress.model import Pending
from operators.ingress.report import Reporter
from operators.ingress.resolver import FRESH_S, Resolver
from operators.ingress.settings import IngressSettings
from operators.ingress.spec_hash import spec_hash
from operators.ingress.status import Reported, make_status, read_reported
from tests.ingress.harness import until

SETTINGS = IngressSettings(run_folder=Path("/r"), data_folder=Path("/d"))
DOCS = Path(__file__).parents[2] / "control_plane" / "docs" / "knative-ingress.md"


def test_the_hash_is_the_one_that_knative_computes() -> None:
    odd = {
        "rules": [
            {
                "hosts": ["b", "a"],
                "http": {
                    "paths": [
                        {
                            "path": "/<a>&b\u2028",
                            "headers": {"Z": {"exact": 'é\u0001\b\f\n"\\'}, "A": {}},
                            "appendHeaders": {"b": "\x7f", "a": "/"},
                            "splits": [
                                {
                                    "serviceNamespace": "x",
                                    "serviceName": "y",
                                    "servicePort": "http",
                                    "percent": 0,
                                },
                                {
                                    "serviceNamespace": "x",
                                    "serviceName": "",
                                    "servicePort": 8080,
                                    "percent": 100,
                                    "appendHeaders": {},
                                },
                            ],
                        }
                    ]
                },
            },
            {"visibility": "ClusterLocal", "http": {"paths": []}},
            {"http": {}},
        ],
        "tls": [{"hosts": [], "secretName": "s"}],
        "httpOption": "",
    }
    # Both were computed by Knative's own function.
    assert spec_hash({}, "s", "n") == "8d442d8ceeb06768fd8d056a403ec90ba11ce617f8476e3fee5dee415924e497"
    assert spec_hash(odd, "s", "n") == "3fcd61e632d18c394ebe141f12ed72b5d5d03db9067a957c6722873e34bbd61f"


def reported(generation: int, pending: Pending | None, before: Reported, now: str) -> Reported:
    return read_reported({"status": make_status(generation, pending, before, now, SETTINGS)})


def times(status: Reported) -> set[str]:
    return {condition[1] for _, condition in status.conditions}


def test_a_condition_keeps_its_time_until_it_changes() -> None:
    waiting = Pending("WaitingForEndpoints", "not yet")
    first = reported(1, waiting, Reported(), "t1")
    assert times(first) == {"t1"}
    still = reported(2, Pending("Other", "not yet"), first, "t2")
    assert (times(still), still.generation) == ({"t1"}, 2)
    served = reported(2, None, still, "t3")
    assert times(served) == {"t3"}
    assert times(reported(3, None, served, "t4")) == {"t3"}


def test_a_status_is_written_only_when_it_says_something_new() -> None:
    served = reported(4, None, Reported(), "t")
    assert served.says(4, None, SETTINGS)
    assert not served.says(5, None, SETTINGS)
    assert not served.says(4, Pending("A", "b"), SETTINGS)
    assert not Reported().says(0, None, SETTINGS)
    moved = IngressSettings(run_folder=Path("/r"), data_folder=Path("/d"), public_service="other.place")
    assert not served.says(4, None, moved)
    refused = reported(4, Pending("A", "b", final=True), served, "u")
    assert refused.says(4, Pending("A", "b", final=True), SETTINGS)
    assert not refused.says(4, Pending("A", "b"), SETTINGS)
    assert {condition[0] for _, condition in refused.conditions} == {"False"}


def test_a_name_is_asked_for_again_when_its_answer_is_old_and_kept_when_nobody_answers() -> None:
    now, changed = [0.0], threading.Event()
    answers: dict[str, tuple[str, ...]] = {"a.example": ("192.0.2.1",)}
    asked: list[str] = []

    def ask(name: str) -> tuple[str, ...]:
        asked.append(name)
        return answers.get(name, ())

    resolver = Resolver(changed.set, ask, lambda: now[0])
    resolver.want(["a.example", "b.example"])
    assert changed.wait(5)
    until(lambda: len(asked) == 2)
    assert resolver.known() == {"a.example": ("192.0.2.1",)}
    resolver.want(["a.example", "b.example"])
    assert len(asked) == 2
    answers.clear()
    now[0] += FRESH_S
    resolver.want(["a.example"])
    until(lambda: len(asked) == 3)
    assert resolver.known() == {"a.example": ("192.0.2.1",)}
    resolver.want([])
    assert resolver.known() == {}


def test_only_the_newest_status_waits_and_a_failure_stops_nothing() -> None:
    first, go_on = threading.Event(), threading.Event()
    written: list[tuple[str, dict[str, Any]]] = []

    class Sink:
        def patch_status(self, path: str, status: dict[str, Any]) -> None:
            written.append((path.rsplit("/", 1)[-1], status))
            first.set()
            assert go_on.wait(10)
            if status == {"n": 1}:
                raise Unreachable("no")

    reporter = Reporter(Sink())
    reporter.report("fn/a", {"n": 1})
    assert first.wait(10)
    for number in (2, 3, 4):
        reporter.report("fn/a", {"n": number})
    go_on.set()
    until(lambda: written[-1] == ("a", {"n": 4}))
    assert [status["n"] for _, status in written] == [1, 4]
    reporter.report("fn/a", {"n": 5})
    until(lambda: written[-1] == ("a", {"n": 5}))


def test_the_controller_may_look_and_write_the_status_and_nothing_else() -> None:
    made = manifests(SETTINGS, {"kind": "User", "name": "u"}, "198.18.255.1")
    role = next(each for each in made if each["kind"] == "ClusterRole")
    verbs = {
        (resource, verb)
        for given in role["rules"]
        for resource in given["resources"]
        for verb in given["verbs"]
    }
    assert {(resource, verb) for resource, verb in verbs if verb not in {"get", "list", "watch"}} == {
        ("ingresses/status", "patch")
    }


@pytest.mark.parametrize(("address", "kinds"), [("198.18.255.1", 2), (None, 0)])
def test_the_services_lead_to_pods_or_to_an_address(address: str | None, kinds: int) -> None:
    made = manifests(SETTINGS, {"kind": "User", "name": "u"}, address)
    assert sum(each["kind"] == "Endpoints" for each in made) == kinds
    for each in made:
        if each["kind"] == "Service":
            assert ("selector" in each["spec"]) == (address is None)
            assert f"{each['metadata']['name']}.{each['metadata']['namespace']}" in {
                SETTINGS.public_service,
                SETTINGS.private_service,
            }


@pytest.mark.parametrize("main", [controller_process.main, launch.main])
def test_every_flag_is_documented(main: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    flags = {
        word.strip("[],") for word in capsys.readouterr().out.split() if word.strip("[],").startswith("--")
    }
    page = DOCS.read_text()
    assert {flag for flag in flags - {"--help"} if f"`{flag}`" not in page} == set()
