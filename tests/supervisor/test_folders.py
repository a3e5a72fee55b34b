"""Who may pass the data folder, at each isolation level, and whose user ids the services get."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane.errors import Invalid, Unavailable
from control_plane.settings import Settings, load_settings
from control_plane.supervisor.folders import (
    Identities,
    choose_identities,
    make_folders,
    refuse_unreachable,
    remove_sockets,
)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives services user ids of their own")


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    made = load_settings(tmp_path / "data", {"XDG_RUNTIME_DIR": ""})
    made.data.mkdir()
    yield made
    for folder in (made.run / "fn", made.run):
        if folder.is_dir():
            folder.rmdir()


def test_everything_is_the_starters_alone_without_user_ids(settings: Settings) -> None:
    for _ in range(2):
        make_folders(settings, Identities(), "namespaces")
        folders = [settings.data, settings.run, *(path for path in settings.data.rglob("*") if path.is_dir())]
        assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}


def test_rights_that_somebody_widened_are_taken_back(settings: Settings) -> None:
    make_folders(settings, Identities(), "namespaces")
    (settings.data / "keys").chmod(0o777)
    make_folders(settings, Identities(), "namespaces")
    assert (settings.data / "keys").stat().st_mode & 0o777 == 0o700


def test_a_link_in_place_of_a_folder_is_refused(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (settings.data / "db").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Invalid, match="db is not a folder"):
        make_folders(settings, Identities(), "namespaces")


@pytest.mark.root
@as_root
def test_a_run_folder_of_somebody_else_is_refused(settings: Settings) -> None:
    settings.run.mkdir(parents=True)
    os.chown(settings.run, 61_708, 61_708)
    with pytest.raises(Invalid, match="belongs to user id 61708, not to you"):
        make_folders(settings, Identities(), "namespaces")


def test_sockets_of_ended_processes_are_removed_and_nothing_else(settings: Settings) -> None:
    make_folders(settings, Identities(), "namespaces")
    with socket.socket(socket.AF_UNIX) as left, socket.socket(socket.AF_UNIX) as function:
        left.bind(str(settings.run / "api.sock"))
        function.bind(str(settings.run / "fn" / "t1"))
    remove_sockets(settings.run)
    assert [path.name for path in settings.run.rglob("*")] == ["fn"]


@pytest.mark.root
@as_root
def test_a_closed_folder_on_the_way_keeps_the_services_root(settings: Settings, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "checkout").mkdir(parents=True)
    closed.chmod(0o700)
    chosen = choose_identities(settings, (closed / "checkout",))
    assert (chosen.gateway, chosen.control, chosen.group) == (None, None, None)
    assert "is closed to other users, so the services run as root" in chosen.shared_because
    base = settings.host.uid_base
    assert choose_identities(settings, (Path("/usr"),)) == Identities(base, base + 1, base)


def test_functions_that_could_not_reach_the_interpreter_are_refused_at_the_start() -> None:
    shared = Identities(shared_because="/root is closed to other users.")
    refuse_unreachable(shared, "namespaces")
    refuse_unreachable(Identities(), "none")
    for isolation in ("landlock", "none"):
        with pytest.raises(Unavailable, match="/root is closed"):
            refuse_unreachable(shared, isolation)


@pytest.mark.root
@as_root
@pytest.mark.parametrize(("isolation", "mode"), [("namespaces", 0o750), ("landlock", 0o751), ("none", 0o751)])
def test_functions_without_mounts_may_pass_to_their_layers_and_files(
    settings: Settings, isolation: str, mode: int
) -> None:
    make_folders(settings, Identities(gateway=61000, control=61001, group=61000), isolation)
    found = {path.name: path.stat().st_mode & 0o777 for path in settings.data.iterdir() if path.is_dir()}
    assert found["layers"] == mode
    assert found["host"] == mode
    assert [found[name] & 0o007 for name in ("db", "blobs", "keys", "logs", "audit", "gateway")] == [0] * 6


def test_a_second_ingot_closes_no_folder_that_the_first_one_shares(tmp_path: Path) -> None:
    for name, identities in (
        ("one", Identities(gateway=61000, control=61001, group=61000)),
        ("two", Identities()),
    ):
        settings = load_settings(tmp_path / name, {"XDG_RUNTIME_DIR": ""})
        settings.data.mkdir()
        make_folders(settings, identities, "namespaces")
        assert settings.run.parent.stat().st_mode & 0o777 == 0o711, name
        settings.run.joinpath("fn").rmdir()
        settings.run.rmdir()
