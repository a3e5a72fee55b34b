"""`python -m knative.bootstrap up | down | status | build`: what the Makefile's cluster targets run."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from knative.bootstrap.build import ensure_builds
from knative.bootstrap.cluster import down, up
from knative.bootstrap.errors import ClusterError
from knative.bootstrap.leftovers import remains
from knative.bootstrap.modules import MODULES
from knative.bootstrap.plan import Plan, Profile, plan_from
from knative.bootstrap.status import status, whole

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the process' exit code."""
    asked = _parser().parse_args(arguments)
    try:
        plan = plan_from(os.environ, _profile(asked))
        return int(asked.run(plan, asked))
    except (ClusterError, ValueError) as error:
        print(f"ingot cluster: {error}", file=sys.stderr)
        if hint := getattr(error, "hint", ""):
            print(f"  {hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("ingot cluster: broken off; the next run goes on from here", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="knative.bootstrap", description=__doc__)
    commands = parser.add_subparsers(required=True)
    starting = commands.add_parser("up", help="start the cluster, or what of it does not run")
    starting.add_argument("--profile", choices=[one.value for one in Profile])
    starting.set_defaults(run=_up)
    ending = commands.add_parser("down", help="remove the cluster and everything of it")
    ending.add_argument(
        "--keep-data", action="store_true", help="leave data, keys and images for the next start"
    )
    ending.set_defaults(run=_down)
    commands.add_parser("status", help="say how the cluster is").set_defaults(run=_status)
    building = commands.add_parser("build", help="only build the programs")
    names = [module.name for module in MODULES]
    building.add_argument("module", nargs="*", help=f"of {', '.join(names)}; all unless one is named")
    building.set_defaults(run=_build)
    return parser


def _profile(asked: argparse.Namespace) -> Profile:
    """Return the profile asked for, else the one that the cluster here has, else durable."""
    chosen = getattr(asked, "profile", None) or os.environ.get("INGOT_CLUSTER_PROFILE")
    if chosen:
        return Profile(chosen)
    made = plan_from(os.environ, Profile.DURABLE).state / "profile"
    return Profile(made.read_text(encoding="ascii").strip()) if made.exists() else Profile.DURABLE


def _up(plan: Plan, _: argparse.Namespace) -> int:
    up(plan)
    print("\n".join(whole(plan)))
    return 0


def _down(plan: Plan, asked: argparse.Namespace) -> int:
    down(plan, keep_data=asked.keep_data)
    print("nothing of the cluster is left on this machine" + (", except its data" if asked.keep_data else ""))
    return 0


def _status(plan: Plan, _: argparse.Namespace) -> int:
    left = remains(plan)
    if not left:
        print("there is no cluster on this machine, and nothing of one")
        return 3
    if not remains(plan, data_kept=True):
        print(f"the cluster is stopped; its data is in {plan.state}")
        return 3
    lines = status(plan)
    for line in lines:
        print(f"{'ok ' if line.fine else '-- '} {line.what:<26} {line.how}")
    print("\n".join(whole(plan)))
    return 0 if all(line.fine for line in lines) else 1


def _build(plan: Plan, asked: argparse.Namespace) -> int:
    known = {module.name for module in MODULES}
    if unknown := sorted(set(asked.module) - known):
        raise ClusterError(
            f"there is no program {unknown[0]!r}", hint=f"Name some of {', '.join(sorted(known))}."
        )
    builds = ensure_builds(plan.cache, asked.module)
    print(builds.key)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
