"""Where a function's own paths begin."""

from __future__ import annotations

import pytest
from ingot_shim.mount import split_host, split_mount


@pytest.mark.parametrize(
    ("path", "name", "expected"),
    [
        ("/acme/orders", "orders", ("/acme/orders", "/")),
        ("/acme/orders/", "orders", ("/acme/orders", "/")),
        ("/acme/orders/a/b", "orders", ("/acme/orders", "/a/b")),
        ("/acme/orders@7/a", "orders", ("/acme/orders@7", "/a")),
        ("/acme/other/a", "orders", ("", "/acme/other/a")),
        ("/acme/orders", "", ("", "/acme/orders")),
        ("/orders", "orders", ("", "/orders")),
        ("/", "orders", ("", "/")),
        ("", "orders", ("", "/")),
        ("*", "orders", ("", "*")),
    ],
)
def test_split_mount(path: str, name: str, expected: tuple[str, str]) -> None:
    assert split_mount(path, name) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("h:81", ("h", 81)),
        ("h", ("h", 80)),
        ("[::1]:81", ("[::1]", 81)),
        ("[::1]", ("[::1]", 80)),
        ("", ("localhost", 80)),
        ("h:x", ("h:x", 80)),
        ("h:999999999", ("h:999999999", 80)),
    ],
)
def test_split_host(host: str, expected: tuple[str, int]) -> None:
    assert split_host(host) == expected
