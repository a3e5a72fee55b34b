"""`python -I -S …/ingot_sandbox/__main__.py probe`: print the facts of `levels.probe` as JSON."""

from __future__ import annotations

import json
import os
import sys


def main() -> int:
    """Run the one command and return the exit status."""
    if sys.argv[1:] != ["probe"]:
        sys.stderr.write("usage: __main__.py probe\n")
        return 2
    # Started by path, the folder of the package itself is on the path, not its parent.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from ingot_sandbox import levels

    json.dump(levels.probe(), sys.stdout, indent=2)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
