#!/usr/bin/env python3
"""Write the CLI reference of the docs: `scripts/cli_page.py > control_plane/docs/cli-reference.md`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from control_plane.cli.main import cli
from control_plane.cli.reference import cli_reference

if __name__ == "__main__":
    sys.stdout.write(cli_reference(cli))
