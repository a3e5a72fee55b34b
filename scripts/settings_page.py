#!/usr/bin/env python3
"""Write what is generated from the settings.

`scripts/settings_page.py > control_plane/docs/settings.md`; with `--env`, `> .env.example`.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from control_plane.settings import options
from control_plane.settings_explained import environment_example

INTRODUCTION = """# Settings

Every setting has a default that works on one machine. A value comes from the environment, else from
`ingot.toml` in the data folder (or the file named by `ingot up --settings`), else from the default.
A name that is no setting is an error that names the nearest one: no typing mistake is a silent default.
`ingot settings explain [NAME]` shows the value in force, where it comes from, its unit and what it means;
`.env.example` lists every variable. While Ingot runs, commands on its data folder read the file that it was
started with, wherever that lies; `explain` says which.

```toml
[listen]
console_port = 9080
```

| setting | environment | default | meaning |
|---|---|---|---|
"""


def page() -> str:
    """Return the whole page."""
    rows = [
        f"| `{name}` | `{variable}` | {f'`{default}`' if default != '' else 'empty'} | {text} |\n"
        for variable, name, default, text in options()
    ]
    return INTRODUCTION + "".join(rows)


if __name__ == "__main__":
    sys.stdout.write(environment_example() if sys.argv[1:] == ["--env"] else page())
