"""Writes go.mod's pins for another release of Kubernetes; then `go mod tidy` does the rest.

Kubernetes' own go.mod replaces its staging modules by folders that its published
module does not have; here each is replaced by the published module of the same
release. Run as `python pins.py 1.35.4` inside this folder.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

STAGING = re.compile(r"^\t(\S+) => \./staging/src/", re.MULTILINE)


def upstream_module_file(release: str) -> str:
    """Kubernetes' own go.mod of `release`, from the module cache or the proxy."""
    command = ["go", "mod", "download", "-json", f"k8s.io/kubernetes@v{release}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    return Path(json.loads(done.stdout)["GoMod"]).read_text(encoding="utf-8")


def module_file(release: str, upstream: str) -> str:
    """The text of go.mod before tidying."""
    staged = "v0." + release.split(".", 1)[1]
    go = re.search(r"^go (\S+)$", upstream, re.MULTILINE)
    godebug = re.search(r"^godebug default=\S+$", upstream, re.MULTILINE)
    if go is None or godebug is None:
        raise SystemExit("upstream's go.mod names no Go release: read it and adapt this script")
    replaced = "\n".join(f"\t{name} => {name} {staged}" for name in STAGING.findall(upstream))
    return (
        f"module ingot.dev/bootstrap/kubernetes\n\n{go[0]}\n\n{godebug[0]}\n\n"
        f"require k8s.io/kubernetes v{release}\n\nreplace (\n{replaced}\n)\n"
    )


if __name__ == "__main__":
    wanted = sys.argv[1]
    Path("go.mod").write_text(module_file(wanted, upstream_module_file(wanted)), encoding="utf-8")
