"""The starter with real dependencies, locked and built from the real package index."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import jsonschema_rs
import pytest

from builders.build import Folders, build, freeze, lock, read_draft
from builders.unpack import layer_folder
from tests.builders.test_starters import files_of

CALL = """
import json, sys
from types import SimpleNamespace
sys.path[:0] = sys.argv[1:3]
import main
quiet = SimpleNamespace(logger=SimpleNamespace(info=lambda *args, **fields: None))
call = json.load(sys.stdin)
print(json.dumps([main.execute(item, quiet) for item in call]))
"""


@pytest.mark.slow
def test_the_orders_report_runs_from_its_layers(
    folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = files_of("orders-report")
    plan = read_draft(files)
    started = time.monotonic()
    made = lock(plan, folders.cache)
    locked_ms = (time.monotonic() - started) * 1000
    assert {"pandas", "numpy", "pillow"} <= {item.name for item in made.packages}
    frozen = freeze(plan, made)
    first = build(frozen, files, made, folders)
    again = build(frozen, files, made, folders)
    assert again.layers == first.layers
    with capsys.disabled():
        for label, timings in (
            ("first", {"resolve": locked_ms, **first.timings_ms}),
            ("again", again.timings_ms),
        ):
            print(f"\n{label}: " + ", ".join(f"{phase} {ms:.0f} ms" for phase, ms in timings.items()))
    other = Folders(tmp_path / "o/blobs", tmp_path / "o/layers", tmp_path / "o/cache")
    assert build(frozen, files, made, other).layers == first.layers
    _check_answers(plan.output_schema, files, folders, dict(first.layers))


def _check_answers(schema: object, files: dict[str, bytes], folders: Folders, layers: dict[str, str]) -> None:
    sample = json.loads(files["input.json"])
    bad = {"csv": "customer,item,quantity,unit_price,date\nA,b,1,1.5,2026-01-31\nA,b,0,1,2026-01-31\n"}
    paths = [str(layer_folder(folders.layers, layers[role])) for role in ("function", "deps")]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", CALL, *paths],
        input=json.dumps([sample, bad, {"csv": "a,b\n1,2\n"}]),
        env={"PATH": os.environ["PATH"], "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer, refused, unreadable = json.loads(done.stdout)
    jsonschema_rs.Draft202012Validator(schema).validate(answer)  # type: ignore[arg-type]
    assert answer["orders"] == len(files["orders.csv"].splitlines()) - 1
    assert sum(round(float(row["total"]) * 100) for row in answer["customers"]) == round(
        float(answer["total"]) * 100
    )
    assert base64.b64decode(answer["chart"]["base64"]).startswith(b"\x89PNG")
    assert (refused[0], refused[2]["lines"]) == (422, [3])
    assert unreadable[0] == 422
