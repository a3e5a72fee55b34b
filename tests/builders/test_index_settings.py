"""Which of the operator's settings reach uv, and that nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders.index_settings import index_environment


def settings(home: Path, **caller: str) -> dict[str, str]:
    # No file of this machine may take part.
    return index_environment({"PIP_CONFIG_FILE": "/dev/null", **caller}, home)


def test_nothing_but_index_proxy_and_certificates_is_kept(tmp_path: Path) -> None:
    kept = {
        "UV_DEFAULT_INDEX": "https://index.example/simple",
        "UV_INDEX_INNER_PASSWORD": "p",
        "HTTPS_PROXY": "http://proxy.example:3128",
        "SSL_CERT_FILE": "/etc/ssl/ca.pem",
    }
    dropped = {"AWS_SECRET_ACCESS_KEY": "s", "UV_NO_BUILD": "0", "PYTHONPATH": "/x", "LD_PRELOAD": "/x.so"}
    assert settings(tmp_path, **kept, **dropped) == kept


def test_pips_variables_are_translated(tmp_path: Path) -> None:
    assert settings(
        tmp_path,
        PIP_INDEX_URL="https://a.example/simple",
        PIP_EXTRA_INDEX_URL="https://b.example/simple https://c.example/simple",
        PIP_FIND_LINKS="/wheels /more",
        PIP_TRUSTED_HOST="a.example",
        PIP_CERT="/ca.pem",
    ) == {
        "UV_DEFAULT_INDEX": "https://a.example/simple",
        "UV_INDEX": "https://b.example/simple https://c.example/simple",
        "UV_FIND_LINKS": "/wheels,/more",
        "UV_INSECURE_HOST": "a.example",
        "SSL_CERT_FILE": "/ca.pem",
    }


@pytest.mark.parametrize("winner", ["UV_DEFAULT_INDEX", "UV_INDEX_URL"])
def test_uvs_own_setting_wins(tmp_path: Path, winner: str) -> None:
    found = settings(tmp_path, **{winner: "https://uv.example", "PIP_INDEX_URL": "https://pip.example"})
    assert found == {winner: "https://uv.example"}


def test_pips_files_are_read_and_its_variables_win_over_them(tmp_path: Path) -> None:
    file = tmp_path / "pip.conf"
    file.write_text(
        "[global]\nindex_url = https://file.example/simple\nextra-index-url =\n    https://x.example\n"
        "    https://y.example\ntimeout = 5\n[install]\ntrusted-host = file.example\n"
    )
    found = index_environment({"PIP_CONFIG_FILE": str(file)}, tmp_path)
    assert found["UV_DEFAULT_INDEX"] == "https://file.example/simple"
    assert found["UV_INDEX"] == "https://x.example https://y.example"
    assert found["UV_INSECURE_HOST"] == "file.example"
    found = index_environment({"PIP_CONFIG_FILE": str(file), "PIP_INDEX_URL": "https://v.example"}, tmp_path)
    assert found["UV_DEFAULT_INDEX"] == "https://v.example"


def test_the_users_own_file_counts_and_a_broken_one_is_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / ".config/pip"
    folder.mkdir(parents=True)
    (folder / "pip.conf").write_text("[global]\nindex-url = https://home.example\n")
    (tmp_path / ".pip").mkdir()
    (tmp_path / ".pip/pip.conf").write_text("no section\n")
    assert index_environment({}, tmp_path)["UV_DEFAULT_INDEX"] == "https://home.example"
