"""Hostile code at every level and in every situation, and that honest code works there too."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox import probes
from tests.sandbox.situation import SITUATIONS, Situation, run_probes
from tests.support.rights import OTHER_USERS

DENY = [name for name in vars(probes) if name.startswith("deny_")]
ALLOW = [name for name in vars(probes) if name.startswith("allow_")]

# What a level does not promise; each is named in docs/isolation.md.
NOT_PROMISED = {
    # A folder on the host's disk has no limit on its number of files.
    ("landlock", "deny_fill_inodes"),
    # No new processes and no /dev/shm at this level.
    ("landlock", "allow_subprocess"),
    ("landlock", "allow_multiprocessing_semaphore"),
    # It sees no /etc/passwd of its own.
    ("landlock", "allow_user_lookup"),
}
NOT_PROMISED_TO_NESTED_LANDLOCK = {"allow_proc_self", "deny_memory_of_environment", "deny_capabilities"}
# A level-2 template runs while the code is imported: it owns no listener and no limits of a request yet,
# may start instances, and shares its memory with nobody. Only what is outside of it is asked here.
OF_A_TEMPLATE = [
    *("deny_host_files", "deny_other_functions_layer", "deny_proc_of_others", "deny_old_environment"),
    *("deny_ptrace", "deny_process_memory", "deny_network_loopback", "deny_abstract_socket"),
    *("deny_path_socket", "deny_every_socket_family", "deny_datagram_pair", "deny_new_mount_calls"),
    *("deny_unmount", "deny_chroot", "deny_clone_namespaces", "deny_clone3", "deny_devices"),
    *("deny_keyctl", "deny_bpf", "deny_io_uring", "deny_userfaultfd", "deny_perf", "deny_pidfd_getfd"),
    *("deny_seccomp_notifier", "deny_x32_calls", "deny_i386_calls", "deny_root_writes", "deny_setuid"),
    *(
        "deny_limits_of_others",
        "allow_tmp",
        "allow_ssl",
        "allow_time_zones",
        "allow_asyncio",
        "allow_threads",
    ),
]


def expected(situation: Situation, name: str) -> bool:
    if situation.kind == "template":
        return name in OF_A_TEMPLATE
    if (
        situation.level == "landlock"
        and situation.kind == "nested"
        and name in NOT_PROMISED_TO_NESTED_LANDLOCK
    ):
        return False
    return (situation.level, name) not in NOT_PROMISED


@pytest.fixture(scope="module", params=SITUATIONS, ids=str)
def ended(request: pytest.FixtureRequest) -> tuple[Situation, dict[str, Any]]:
    situation: Situation = request.param
    if situation.user == "root" and os.geteuid() != 0:
        pytest.skip("needs root")
    changes_user = situation.user == "ordinary" and os.geteuid() == 0
    # Level landlock has no view of its own, so the interpreter must be open to the function's user.
    if OTHER_USERS and (changes_user or (situation.user, situation.level) == ("root", "landlock")):
        pytest.skip(OTHER_USERS)
    names = [name for name in (*DENY, *ALLOW) if expected(situation, name)]
    before = Path("/proc/self/mounts").read_text()
    answer = run_probes(situation, names)
    assert Path("/proc/self/mounts").read_text() == before
    return situation, answer


@pytest.mark.parametrize("name", DENY)
def test_hostile_act_is_refused(ended: tuple[Situation, dict[str, Any]], name: str) -> None:
    situation, answer = ended
    if not expected(situation, name):
        pytest.skip("not promised here")
    assert answer["results"][name].startswith("refused"), answer["results"][name]


@pytest.mark.parametrize("name", ALLOW)
def test_honest_act_works(ended: tuple[Situation, dict[str, Any]], name: str) -> None:
    situation, answer = ended
    if not expected(situation, name):
        pytest.skip("not promised here")
    assert answer["results"][name] == "ok"


def test_listener_still_listens_after_all_that(ended: tuple[Situation, dict[str, Any]]) -> None:
    assert ended[1]["listener"] == "listening"


def test_no_process_is_left(ended: tuple[Situation, dict[str, Any]]) -> None:
    assert ended[1]["orphans"] == 0
