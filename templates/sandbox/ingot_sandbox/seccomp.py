"""Which system calls user code may not make, at each level.

Everything is allowed that is not named: namespaces and Landlock hide the
world, this list closes what they do not cover and keeps seldom-used parts of
the kernel out of reach. Numbers live in `syscalls`, the machine format in
`bpf`. Filters are assembled once in a template; a fork only changes the
listener's and its own number in them and installs them.
"""

from __future__ import annotations

from collections.abc import Iterable

from ingot_sandbox import bpf, kernel, syscalls
from ingot_sandbox.spec import LANDLOCK

__all__ = ["install", "instance_filter", "template_filter"]

_EPERM, _ENOSYS = 1, 38
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2

# Placeholders in comparisons, replaced at each start. No real number is so large.
_LISTENER, _SELF = 0x7FFF_FF01, 0x7FFF_FF02

_CLONE_NEW_ANY = 0x7E02_0000
_CLONE_THREAD = 0x0001_0000
_AF_UNIX = 1
_DATAGRAM_BIT = 2  # set in SOCK_DGRAM and SOCK_RAW, not in SOCK_STREAM and SOCK_SEQPACKET
_SECCOMP_NEW_LISTENER = 8
_QUERY_PERSONALITY = 0xFFFF_FFFF

_REFUSED = (
    # Looking into or acting on other processes.
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp"),
    *("perf_event_open", "migrate_pages", "move_pages"),
    # Parts of the kernel with a long history of holes.
    *("add_key", "request_key", "keyctl", "bpf", "userfaultfd", "fanotify_init", "fanotify_mark"),
    # Another view of the files.
    *("pivot_root", "chroot", "umount2", "open_tree", "open_tree_attr", "move_mount", "mount_setattr"),
    *("fsopen", "fsconfig", "fsmount", "fspick", "statmount", "listmount"),
    *("open_by_handle_at", "name_to_handle_at"),
    # Sockets; receiving descriptors is refused for the listener's sake (see _listener).
    *("socket", "bind", "connect", "recvmsg", "recvmmsg"),
    # The machine.
    *("kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff", "init_module", "finit_module"),
    *("delete_module", "settimeofday", "adjtimex", "clock_settime", "clock_adjtime", "sethostname"),
    *("setdomainname", "syslog", "vhangup", "iopl", "ioperm", "quotactl", "quotactl_fd", "acct"),
)

# Libraries probe these and fall back when the kernel "does not have" them.
_ABSENT = (
    *("clone3", "io_uring_setup", "io_uring_enter", "io_uring_register", "modify_ldt", "_sysctl"),
    *("afs_syscall", "create_module", "get_kernel_syms", "getpmsg", "lookup_dcookie", "nfsservctl"),
    *("putpmsg", "query_module", "security", "sysfs", "tuxcall", "uselib", "ustat", "vserver"),
)

# Level landlock has the host's processes and metadata in reach: these would touch them.
_REFUSED_WITHOUT_NAMESPACES = (
    *("fork", "vfork", "execve", "execveat", "pidfd_open", "pidfd_send_signal", "tkill", "setpgid"),
    *("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat"),
    *("mknod", "mknodat", "utime", "utimes", "futimesat", "utimensat", "truncate", "inotify_add_watch"),
    *("setxattr", "lsetxattr", "fsetxattr", "setxattrat"),
    *("removexattr", "lremovexattr", "fremovexattr", "removexattrat"),
    *("shmget", "semget", "msgget", "mq_open"),
)

# (call, index of the argument that names a process): only the caller itself.
_ONLY_SELF = (("kill", 0), ("tgkill", 0), ("rt_sigqueueinfo", 0), ("rt_tgsigqueueinfo", 0))
_ONLY_SELF_OR_ZERO = (
    ("prlimit64", 0),
    ("sched_setaffinity", 0),
    ("sched_setscheduler", 0),
    ("sched_setparam", 0),
    ("sched_setattr", 0),
    ("setpriority", 1),
    ("ioprio_set", 1),
)
_F_DUPFD, _F_SETOWN, _F_SETOWN_EX, _F_DUPFD_CLOEXEC = 0, 8, 15, 1030
_FIOSETOWN, _SIOCSPGRP = 0x8901, 0x8902
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C

Code = list[bpf.Instruction]


class _Rules:
    """Collects checks for one architecture, leaving out the calls that it lacks."""

    def __init__(self, arch: str) -> None:
        self.arch = arch or syscalls.machine()
        self.checks: dict[int, Code] = {}

    def check(self, name: str, code: Code) -> None:
        if (number := syscalls.number(name, self.arch)) is not None:
            self.checks.setdefault(number, []).extend(code)

    def answer(self, names: Iterable[str], errno: int) -> None:
        for name in names:
            self.check(name, bpf.always(bpf.error(errno)))

    def program(self) -> bpf.Program:
        return bpf.Program(syscalls.AUDIT_ARCH[self.arch], self.arch == "x86_64", self.checks)


_REFUSE = bpf.error(_EPERM)


def _common(rules: _Rules, receives: bool = False) -> None:
    # A template gets the descriptors of each new instance by recvmsg on its control socket.
    rules.answer([name for name in _REFUSED if not (receives and name == "recvmsg")], _EPERM)
    rules.answer(_ABSENT, _ENOSYS)
    rules.check("clone", bpf.argument_has(0, _CLONE_NEW_ANY, _REFUSE))
    rules.check("socketpair", bpf.argument_not_in(0, (_AF_UNIX,), _REFUSE))
    # A datagram pair could be sent to any named socket, with no connect.
    rules.check("socketpair", bpf.argument_has(1, _DATAGRAM_BIT, _REFUSE))
    rules.check("personality", bpf.argument_not_in(0, (_QUERY_PERSONALITY,), _REFUSE))
    # A notifier could install a descriptor under another number (see _listener).
    rules.check("seccomp", bpf.argument_has(1, _SECCOMP_NEW_LISTENER, _REFUSE))
    for request in (_TIOCSTI, _TIOCLINUX):
        rules.check("ioctl", bpf.argument_is(1, request, _REFUSE))


def _listener(rules: _Rules) -> None:
    """Leave only accept on the shared listening socket.

    The socket is known by its number, so it must not get a second one: the
    dup family refuses it, and recvmsg, the only other way, is refused as a whole.
    `listen` succeeds and does nothing: servers call it on what they are given,
    and a smaller backlog would refuse the gateway's connections.
    """
    for name in ("shutdown", "setsockopt", "dup", "dup2", "dup3"):
        rules.check(name, bpf.argument_is(0, _LISTENER, _REFUSE))
    for command in (_F_DUPFD, _F_DUPFD_CLOEXEC):
        rules.check("fcntl", bpf.both_are((0, _LISTENER), (1, command), _REFUSE))
    rules.check("listen", bpf.argument_is(0, _LISTENER, bpf.error(0)))
    rules.check("listen", bpf.always(_REFUSE))


def _without_namespaces(rules: _Rules, may_fork: bool) -> None:
    """Keep off the processes and file metadata of the host, which are in reach at level landlock."""
    needed = ("fork", "vfork", "pidfd_open") if may_fork else ()
    rules.answer([name for name in _REFUSED_WITHOUT_NAMESPACES if name not in needed], _EPERM)
    if not may_fork:
        rules.check("clone", bpf.argument_lacks(0, _CLONE_THREAD, _REFUSE))
        for name, index in _ONLY_SELF:
            rules.check(name, bpf.argument_not_in(index, (_SELF,), _REFUSE))
    # A template's filter holds for its instances too, whose number is another one.
    themselves = (0,) if may_fork else (0, _SELF)
    for name, index in _ONLY_SELF_OR_ZERO:
        rules.check(name, bpf.argument_not_in(index, themselves, _REFUSE))
    for command in (_F_SETOWN, _F_SETOWN_EX):
        rules.check("fcntl", bpf.argument_is(1, command, _REFUSE))
    for request in (_FIOSETOWN, _SIOCSPGRP):
        rules.check("ioctl", bpf.argument_is(1, request, _REFUSE))


def instance_filter(level: str, arch: str = "") -> bpf.Program:
    """Return the final filter, under which callers' requests are served."""
    rules = _Rules(arch)
    _listener(rules)
    _common(rules)
    rules.answer(["mount", "unshare", "setns"], _EPERM)
    if level == LANDLOCK:
        _without_namespaces(rules, may_fork=False)
    return rules.program()


def template_filter(level: str, arch: str = "") -> bpf.Program:
    """Return the filter of a level-2 template: the final one but for what starting an instance needs.

    At level namespaces that is a new pid namespace and the way back, then a
    mount and an ipc namespace, then two mounts with exactly these flags. A new
    user namespace is refused, so import-time code gains no capability.
    """
    rules = _Rules(arch)
    _common(rules, receives=True)
    rules.answer(["listen"], _EPERM)
    if level == LANDLOCK:
        rules.answer(["mount", "unshare", "setns"], _EPERM)
        _without_namespaces(rules, may_fork=True)
        return rules.program()
    allowed = (kernel.NEW_PIDS, kernel.NEW_MOUNTS | kernel.NEW_IPC)
    rules.check("unshare", bpf.argument_not_in(0, allowed, _REFUSE))
    rules.check("setns", bpf.argument_not_in(1, (kernel.NEW_PIDS,), _REFUSE))
    plain = kernel.NOSUID | kernel.NODEV
    rules.check("mount", bpf.argument_not_in(3, (plain, plain | kernel.NOEXEC), _REFUSE))
    return rules.program()


def install(program: bpf.Program, listener: int, pid: int) -> None:
    """Confine this process with an assembled filter, for ever."""
    program.replace(_LISTENER, listener)
    program.replace(_SELF, pid)
    kernel.prctl(_PR_SET_NO_NEW_PRIVS, 1)
    kernel.prctl(_PR_SET_SECCOMP, _MODE_FILTER, program.address)
