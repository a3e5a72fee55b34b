#!/usr/bin/env python3
"""Ingot on the one-node cluster, as root: `.venv/bin/python scripts/dev_deploy.py up|down`.

`up` pushes Ingot's image, applies `knative/overlays/dev` and waits until the
console answers; `down` deletes all of it, its database and its objects.
`make cluster-up` must have been there first.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from knative.bootstrap.errors import ClusterError
from knative.bootstrap.plan import Profile, plan_from
from knative.deploy.dev import CONSOLE, DevIngot


def main() -> int:
    """Do what is asked; returns the exit status."""
    if sys.argv[1:] not in (["up"], ["down"]):
        print(__doc__, file=sys.stderr)
        return 2
    plan = plan_from(os.environ, Profile.DURABLE)
    ingot = DevIngot(plan, lambda sentence: print(f"  {sentence}", flush=True))
    try:
        if sys.argv[1] == "down":
            ingot.delete(ingot.kustomization(f"none@sha256:{'0' * 64}"))
            ingot.forget()
            return 0
        folder = ingot.kustomization(ingot.prepare())
        ingot.kubectl("apply", "-k", folder)
        ingot.wait()
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"The console answers at {CONSOLE}.")
    if link := ingot.owner_link():
        print(f"Its first owner: INGOT_URL={CONSOLE} ingot setup --link FILE, where the file holds\n  {link}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
