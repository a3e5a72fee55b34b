"""Settings come from the environment, then a file, then their defaults, and nothing is guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from control_plane.errors import Invalid
from control_plane.settings import load_settings, options, run_folder, settings_from_document

DATA = Path("/srv/ingot-data")


def test_defaults_put_everything_on_loopback_and_in_the_data_folder() -> None:
    settings = load_settings(DATA, {})
    assert settings.console_url == "http://127.0.0.1:8080"
    assert settings.functions_url == "http://127.0.0.1:8081"
    assert settings.control_url == "sqlite:////srv/ingot-data/db/control.db"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[listen]\nconsole_port = 9000\nfunctions_port = 9001\n")
    settings = load_settings(DATA, {"INGOT_LISTEN_CONSOLE_PORT": "9100"}, file)
    assert (settings.listen.console_port, settings.listen.functions_port) == (9100, 9001)


@pytest.mark.parametrize(
    ("environment", "written", "field"),
    [
        ({"INGOT_LISTEN_CONSOLE_PORT": "many"}, "", "INGOT_LISTEN_CONSOLE_PORT"),
        ({"INGOT_LISTEN_PORT": "1"}, "", "INGOT_LISTEN_PORT"),
        ({}, "[listen]\nport = 1", "listen.port"),
        ({}, "[listen]\nconsole_port = true", "listen.console_port"),
        ({}, "[listeners]\n", "listeners"),
        ({}, "listen = 3", "listen"),
    ],
)
def test_what_is_no_setting_is_refused_by_name(
    tmp_path: Path, environment: dict[str, str], written: str, field: str
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(written)
    with pytest.raises(Invalid) as caught:
        load_settings(DATA, environment, file)
    assert caught.value.field == field


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[listen")
    with pytest.raises(Invalid, match=r"settings\.toml"):
        load_settings(DATA, {}, file)


def test_the_frozen_document_reads_back_the_same() -> None:
    settings = load_settings(DATA, {"INGOT_HOST_IDLE_TIMEOUT_S": "1.5"})
    assert settings_from_document(settings.document()) == settings


def test_socket_paths_stay_short_and_differ_by_data_folder(tmp_path: Path) -> None:
    one = run_folder(DATA, {"XDG_RUNTIME_DIR": "/x" * 40})
    two = run_folder(DATA / "other", {})
    assert one != two
    assert all(len(str(folder / "fn" / ("t" * 17 + ".sock"))) <= 90 for folder in (one, two))


def test_every_setting_explains_itself() -> None:
    for environment_name, _, _, text in options():
        assert environment_name.startswith("INGOT_")
        assert text.endswith(".")
