"""Taking a function out, bringing it in and leaving, on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from control_plane.services.imports import Vouched
from tests.support.api_fixtures import ApiPeople
from tests.support.live_api import LiveApi


@pytest.fixture
def signing(live: LiveApi) -> Iterator[Thread]:
    """Let somebody sign as the worker does."""
    stop, world = Event(), live.api.world

    def sign() -> None:
        while not stop.wait(0.05):
            world.exporting.sign_due()

    thread = Thread(target=sign)
    thread.start()
    yield thread
    stop.set()
    thread.join(10)


@pytest.mark.usefixtures("signing")
def test_a_function_leaves_and_comes_back_under_another_name(
    live: LiveApi, people: ApiPeople, tmp_path: Path
) -> None:
    world = live.api.world
    version = world.frozen(people.author, "orders")
    world.approved(people.author, people.reviewer, version)
    author = live.as_(people.author, tmp_path / "a")
    file = tmp_path / "o.ingot"
    said = author.run("export", "orders", "--to", str(file))
    assert (said.exit_code, "Wrote version 1 of orders" in said.stderr) == (0, True), said.stderr
    unknown = author.run("import", str(file), "--name", "orders")
    assert unknown.exit_code == 0, unknown.stderr
    world.functions.create(people.author, project="main", name="taken")
    taken = author.run("import", str(file), "--name", "taken")
    assert (taken.exit_code, "another one" in taken.stderr) == (5, True)
    fresh = author.run("import", str(file), "--name", "copy")
    assert "Next: ingot submit copy" in fresh.stderr
    world.trust = lambda public, project, now: Vouched("laptop", 1)
    [row] = author.json("import", str(file), "--name", "copy")
    assert (row["digest"], row["new"], row["approvals"]) == (version.digest, False, 1)
    damaged = tmp_path / "damaged.ingot"
    damaged.write_bytes(file.read_bytes()[:-512])
    refused = author.run("import", str(damaged), "--name", "copy")
    assert (refused.exit_code, "Export the function again" in refused.stderr) == (1, True)


@pytest.mark.usefixtures("signing")
def test_a_release_that_no_cluster_could_pull_is_refused_with_the_reason(
    live: LiveApi, people: ApiPeople, tmp_path: Path
) -> None:
    world = live.api.world
    version = world.frozen(people.author, "orders")
    operator = live.as_(people.operator, tmp_path / "o")
    nothing = operator.run("release", "export", "orders")
    assert (nothing.exit_code, "no live release" in nothing.stderr) == (4, True)
    world.approved(people.author, people.reviewer, version)
    world.released(people.operator, version)
    refused = operator.run("release", "export", "orders", "--namespace", "shop")
    assert (refused.exit_code, "interpreter of this machine" in refused.stderr) == (5, True)


@pytest.mark.usefixtures("signing")
def test_a_release_becomes_a_file_with_its_approvals(
    live: LiveApi, people: ApiPeople, tmp_path: Path
) -> None:
    from functools import partial

    from control_plane.adapters.cluster.attesting import trust_entry
    from control_plane.adapters.cluster.exported_functions import attested_function
    from control_plane.services.exporting import Exporting, Seal

    world = live.api.world
    base = world.builder.base
    world.builder.base = lambda runtime: "sha256:" + "b" * 64 if base(runtime) else ""  # type: ignore[method-assign]
    attest = partial(
        attested_function, image_of=lambda _: f"r.example/x@sha256:{'a' * 64}", signer=world.signer
    )
    world.exporting = Exporting(world.changes, Seal(world.signer, "linux-x86_64", "namespaces"), attest)
    version = world.frozen(people.author, "orders")
    world.approved(people.author, people.reviewer, version)
    world.released(people.operator, version)
    operator = live.as_(people.operator, tmp_path / "o")
    written, approvals = tmp_path / "orders.yaml", tmp_path / "orders.json"
    words = ["--namespace", "shop", "--to", str(written), "--approvals-to", str(approvals)]
    made = operator.run("release", "export", "orders", *words)
    assert made.exit_code == 0, made.stderr
    name, entry = trust_entry(world.signer)
    trust = tmp_path / "trust"
    trust.write_text(json.dumps({"data": {name: json.dumps(entry | {"approvals": 1})}}))
    checked = operator.run("release", "verify", str(written), str(approvals), "--trust", str(trust))
    assert checked.exit_code == 0, checked.stderr
    assert f"approved by {people.reviewer.email}" in checked.stdout
    # The next export of the same release is newer, so this one is a replay beside it.
    newer = tmp_path / "newer.yaml"
    assert (
        operator.run("release", "export", "orders", "--namespace", "shop", "--to", str(newer)).exit_code == 0
    )
    words = [str(written), str(approvals), "--trust", str(trust), "--before", str(newer)]
    replay = operator.run("release", "verify", *words)
    assert (replay.exit_code, "Replayed" in replay.stdout) == (1, True)


def test_leaving_takes_an_empty_folder_and_a_file_that_was_exported(
    live: LiveApi, people: ApiPeople, tmp_path: Path
) -> None:
    author = live.as_(people.author, tmp_path / "a")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    assert author.run("eject", "orders", str(tmp_path / "full")).exit_code == 2
    (tmp_path / "bad.ingot").write_bytes(b"x" * 2_048)
    words = ["eject", "orders", str(tmp_path / "out"), "--from", str(tmp_path / "bad.ingot")]
    refused = author.run(*words)
    assert (refused.exit_code, "no export has" in refused.stderr) == (1, True)
