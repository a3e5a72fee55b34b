"""Settings come from the environment, then a file, then their defaults, and nothing is guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from control_plane.errors import Invalid, NotFound
from control_plane.settings import load_settings, options, run_folder, settings_file, settings_from_document
from control_plane.settings_explained import explain

DATA = Path("/srv/ingot-data")


def test_defaults_put_everything_on_loopback_and_in_the_data_folder() -> None:
    settings = load_settings(DATA, {})
    assert settings.console_url == "http://127.0.0.1:8080"
    assert settings.functions_url == "http://127.0.0.1:8081"
    assert settings.control_url == "sqlite:////srv/ingot-data/db/control.db"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "ingot.toml"
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
    file = tmp_path / "ingot.toml"
    file.write_text(written)
    with pytest.raises(Invalid) as caught:
        load_settings(DATA, environment, file)
    assert caught.value.field == field


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ingot.toml"
    file.write_text("[listen")
    with pytest.raises(Invalid, match=r"ingot\.toml"):
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


@pytest.mark.parametrize(
    ("environment", "meant"),
    [
        ({"INGOT_LISTEN_CONSOL_PORT": "1"}, "INGOT_LISTEN_CONSOLE_PORT"),
        ({"INGOT_LISTN_CONSOLE_PORT": "1"}, "INGOT_LISTEN_CONSOLE_PORT"),
        ({"INGOT_RETENTION_USAGE_DAY": "1"}, "INGOT_RETENTION_USAGE_DAYS"),
        ({"INGOT_TRACE_ENDPOINT": "x"}, "INGOT_TRACES_ENDPOINT"),
        ({"INGOT_CONSOLE_PORT": "1"}, "INGOT_LISTEN_CONSOLE_PORT"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(environment: dict[str, str], meant: str) -> None:
    with pytest.raises(Invalid) as caught:
        load_settings(DATA, environment)
    assert f"Did you mean {meant}?" in (caught.value.hint or "")


def test_variables_of_the_command_line_are_no_slips() -> None:
    assert load_settings(DATA, {"INGOT_PORT": "tcp://10.0.0.1:80"}) == load_settings(DATA, {})
    names = (
        "URL",
        "TOKEN",
        "CONFIG_HOME",
        "EMAIL",
        "NEW_PASSWORD",
        "KEY",
        "FUNCTIONS_URL",
        "CONFIG",
        "STORE_FD",
        # What Kubernetes adds beside services called ingot and ingot-api.
        "SERVICE_HOST",
        "SERVICE_PORT_HTTP",
        "API_PORT_8080_TCP_ADDR",
    )
    assert load_settings(DATA, {f"INGOT_{name}": "x" for name in names}) == load_settings(DATA, {})


@pytest.mark.parametrize("name", ["INGOT_X", "INGOT_", "INGOT_COLOUR_OF_THE_SKY", "INGOT_LISTEN"])
def test_a_variable_that_nothing_reads_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match=f"{name} is not a setting") as caught:
        load_settings(DATA, {name: "1"})
    assert "ingot settings explain" in (caught.value.hint or "")


def test_a_settings_file_by_its_old_name_is_refused_with_the_way_out(tmp_path: Path) -> None:
    old = tmp_path / "settings.toml"
    old.write_text("[retention]\nusage_days = 7\n")
    for _ in range(2):
        with pytest.raises(Invalid, match=r"is called ingot\.toml now") as caught:
            settings_file(tmp_path)
        assert caught.value.hint == f"mv {old} {tmp_path / 'ingot.toml'}"
        (tmp_path / "ingot.toml").touch()
    assert settings_file(tmp_path, old) == old, "whoever names it means it"


@pytest.mark.parametrize(
    ("written", "field"),
    [
        ('[traces]\nendpoint = "collector:4318"', "traces.endpoint"),
        ('[traces]\nendpoint = "ftp://collector"', "traces.endpoint"),
        ("[traces]\npercent = 101", "traces.percent"),
        ("[traces]\npercent = -1", "traces.percent"),
    ],
)
def test_what_would_lose_every_span_is_refused_at_the_start(tmp_path: Path, written: str, field: str) -> None:
    file = tmp_path / "ingot.toml"
    file.write_text(written)
    with pytest.raises(Invalid) as caught:
        load_settings(DATA, {}, file)
    assert caught.value.field == field
    assert caught.value.hint


def test_the_data_folder_may_hold_the_file_and_another_may_be_named(tmp_path: Path) -> None:
    assert settings_file(tmp_path) is None
    own = tmp_path / "ingot.toml"
    own.write_text("[retention]\nusage_days = 7\n")
    assert settings_file(tmp_path) == own
    assert settings_file(tmp_path, DATA / "other.toml") == DATA / "other.toml"
    assert load_settings(tmp_path, {}, settings_file(tmp_path)).retention.usage_days == 7


def test_a_certificate_makes_both_origins_https() -> None:
    settings = load_settings(DATA, {"INGOT_TLS_CERTIFICATE": "/etc/tls.pem"})
    assert settings.console_url == "https://127.0.0.1:8080"
    assert settings.functions_url == "https://127.0.0.1:8081"


def test_a_setting_tells_its_value_source_unit_and_meaning(tmp_path: Path) -> None:
    file = tmp_path / "ingot.toml"
    file.write_text("[listen]\nconsole_port = 9000\n[retention]\nusage_days = 7\n")
    environment = {"INGOT_LISTEN_CONSOLE_PORT": "9100"}
    found = {one.name: one for one in explain(tmp_path, environment, file)}
    port, days, idle = (
        found[name] for name in ("listen.console_port", "retention.usage_days", "host.idle_timeout_s")
    )
    assert (port.value, port.default, port.source, port.unit) == (9100, 8080, "environment", "port")
    assert (days.value, days.source, days.unit) == (7, str(file), "days")
    assert (idle.value, idle.source, idle.unit) == (60.0, "default", "seconds")
    assert idle.meaning.startswith("Seconds without a call")
    assert explain(tmp_path, environment, file, "INGOT_RETENTION_USAGE_DAYS") == (days,)


def test_an_unknown_name_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        explain(tmp_path, {}, None, "retention.usage_day")
    assert "Did you mean retention.usage_days?" in (caught.value.hint or "")


def test_a_database_password_is_not_shown(tmp_path: Path) -> None:
    url = "postgresql+psycopg://ingot:hunter2@db.example/ingot"
    (shown,) = explain(tmp_path, {"INGOT_DATABASE_CONTROL_URL": url}, None, "database.control_url")
    assert shown.value == "postgresql+psycopg://***@db.example/ingot"
