"""Header rules as a state machine in two maps, so that the proxy takes one look for each header name.

A state is what of the wanted headers a call has shown so far. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from control_plane.adapters.gateway.weights import content_id
from operators.ingress.kingress import Refused
from operators.ingress.model import Maps

__all__ = ["NOWHERE", "add_machine"]

Pair = tuple[str, str]
Candidate = tuple[frozenset[Pair], str]

# Where a call goes that shows none of the wanted headers: no such entry exists.
NOWHERE = "-"
# Far above what Knative writes; a rule with many headers of many values could have millions.
MOST_STATES = 1_024


def _best(candidates: Sequence[Candidate], shown: frozenset[Pair]) -> str:
    return next((target for wanted, target in candidates if wanted <= shown), NOWHERE)


def add_machine(candidates: Sequence[Candidate], matched: Mapping[str, int], maps: Maps) -> str:
    """Add the states and steps that pick the first candidate whose headers a call shows.

    Returns the first state. `matched` says in which place each header name is looked at.
    """
    pairs = sorted({pair for wanted, _ in candidates for pair in wanted}, key=lambda pair: matched[pair[0]])
    content = json.dumps([[sorted(wanted), target] for wanted, target in candidates])

    def named(shown: frozenset[Pair]) -> str:
        return content_id("H", content + json.dumps(sorted(shown)), 16)

    empty: frozenset[Pair] = frozenset()
    states, waiting = {empty}, [empty]
    while waiting:
        shown = waiting.pop()
        maps["states"][named(shown)] = _best(candidates, shown)
        # Names are looked at in order, so a state never goes back to an earlier one.
        last = max((matched[name] for name, _ in shown), default=-1)
        for name, value in pairs:
            if matched[name] <= last:
                continue
            after = shown | {(name, value)}
            maps["steps"][f"{named(shown)}|{matched[name]}={quote(value, safe='')}"] = named(after)
            if after not in states:
                states.add(after)
                waiting.append(after)
        if len(states) > MOST_STATES:
            raise Refused("its header rules are too many to look at")
    return named(empty)
