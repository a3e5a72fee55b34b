"""What the kernel says of a process's confinement, for the host, which believes no template.

A level-2 template runs user code before it confines an instance, so the host
asks the kernel at the instance's `born` before it lets the instance go on.
"""

from __future__ import annotations

from ingot_sandbox.spec import LANDLOCK, NAMESPACES

__all__ = ["unconfined"]


def unconfined(pid: int, level: str, filters: int) -> list[str]:
    """Return a sentence for each missing confinement of `pid`, none if all is well.

    `filters` is how many seccomp filters it must have: 1 for an instance of a
    level-1 template or a level-2 template, 2 for an instance of the latter.
    Raises ProcessLookupError when the process has ended.
    """
    if level not in (NAMESPACES, LANDLOCK):
        return []
    try:
        with open(f"/proc/{pid}/status") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    except FileNotFoundError:
        raise ProcessLookupError(3, f"process {pid} has ended") from None
    found = []
    if status.get("NoNewPrivs") != "1":
        found.append("it can gain privileges by exec")
    if status.get("Seccomp") != "2" or int(status.get("Seccomp_filters", filters)) < filters:
        found.append("its system call filter is not the final one")
    if any(int(status.get(name, "0"), 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")):
        found.append("it has capabilities")
    # Level 1 gives one pid namespace below the host's, level 2 two.
    if level == NAMESPACES and len(status["NSpid"].split()) < filters + 1:
        found.append("it shares its process numbers with others")
    return found
