"""The Builder port: the real builders, without a network, and the fake."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from builders.build import Folders
from control_plane.adapters.embedded.blobs import FolderBlobs
from control_plane.adapters.embedded.host.interpreters import running_runtime
from control_plane.adapters.embedded.images import EmbeddedBuilder
from control_plane.errors import Invalid
from control_plane.ports import Builder
from tests.support.fakes import FakeBuilder

_SOURCE = b"def execute(input, context):\n    return input\n"


@pytest.fixture(params=["embedded", "fake"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Builder, Mapping[str, bytes]]:
    if request.param == "fake":
        return FakeBuilder(), {"function.py": _SOURCE, "ingot.json": b'{"handler": "function:execute"}'}
    folders = {name: tmp_path / name for name in ("blobs", "layers", "cache")}
    for folder in folders.values():
        folder.mkdir()
    builder = EmbeddedBuilder(FolderBlobs(folders["blobs"]), Folders(**folders))
    manifest = f'name = "orders"\nruntime = "{running_runtime()}"\nhandler = "function:execute"\n'
    return builder, {"function.py": _SOURCE, "ingot.toml": manifest.encode()}


def test_a_lock_that_fits_stays_and_a_build_repeats(case: tuple[Builder, Mapping[str, bytes]]) -> None:
    builder, files = case
    lock = builder.lock(files, "")
    assert builder.lock(files, lock) == lock
    assert builder.packages(lock) == {}
    assert builder.packages("") == {}
    built = builder.build(files, lock)
    assert builder.build(files, lock).digest == built.digest
    assert built.digest == "sha256:" + hashlib.sha256(built.manifest.encode()).hexdigest()
    assert json.loads(built.manifest)
    assert set(built.layers) == {"function"}
    assert built.declaration.handler == "function:execute"
    assert built.declaration.runtime == running_runtime() or isinstance(builder, FakeBuilder)
    changed = dict(files) | {"function.py": _SOURCE + b"\n"}
    assert builder.build(changed, builder.lock(changed, lock)).digest != built.digest


def test_a_draft_that_cannot_be_read_is_invalid(case: tuple[Builder, Mapping[str, bytes]]) -> None:
    builder, files = case
    broken = {name: content.replace(b"function:execute", b"no handler") for name, content in files.items()}
    with pytest.raises(Invalid):
        builder.declaration(broken)


def test_a_base_names_this_machines_interpreter(case: tuple[Builder, Mapping[str, bytes]]) -> None:
    builder, _ = case
    if not isinstance(builder, FakeBuilder):
        assert builder.base(running_runtime()).startswith("cpython-3.")
    with pytest.raises(Invalid, match="interpreter"):
        builder.base("python3.99")


def test_a_draft_is_tried_as_what_it_would_freeze_to(case: tuple[Builder, Mapping[str, bytes]]) -> None:
    builder, files = case
    assert builder.try_out(files, "") is None, "nothing is resolved yet"
    lock = builder.lock(files, "")
    tried, built = builder.try_out(files, lock), builder.build(files, lock)
    assert tried is not None
    assert (tried.digest, tried.declaration, tried.layers) == (built.digest, built.declaration, built.layers)
    needy = dict(files) | {"requirements.txt": b"numpy==2.0"}
    assert builder.try_out(needy, lock) is None, "the lock is another draft's"
