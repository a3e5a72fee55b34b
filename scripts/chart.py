#!/usr/bin/env python3
"""The Helm chart, written from the kustomize base: `scripts/chart.py --image REGISTRY/NAME@sha256:…`."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from control_plane.cli.main import VERSION
from control_plane.errors import IngotError
from knative.deploy.chart import chart_files
from knative.deploy.overlay import image_parts

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Write the chart anew; prints its folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--image", required=True, help="what scripts/ingot_image.py push printed")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "chart" / "ingot")
    chosen = parser.parse_args()
    try:
        image_parts(chosen.image)
        files = chart_files(ROOT / "knative", VERSION, chosen.image)
    except IngotError as error:
        print(f"{error.message} {error.hint or ''}", file=sys.stderr)
        return 1
    shutil.rmtree(chosen.folder, ignore_errors=True)
    for name, text in files.items():
        path = chosen.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    print(chosen.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
