"""Hostile functions that answer, one for each named threat, as an author could submit them.

Each tries its attack on what the caller's input names (see `facts.py`) and
answers what it achieved as {"leaks": [...]}: an empty list is the only good
answer. Nothing here starts anything. `control` marks those that do leak when
the same source runs outside of a sandbox, which a test shows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["ANSWERING", "CANARY", "Probe", "probe"]

# Stands in the neighbour's source, settings and secrets and in the supervisor's environment.
CANARY = "canary-7d1f3e9a"


@dataclass(frozen=True, slots=True)
class Probe:
    """One attack and how it must end for the caller."""

    name: str
    source: str
    # Statuses that the caller may see.
    statuses: tuple[int, ...] = (200,)
    # `code` in the problem, when the status is not 200.
    codes: tuple[str, ...] = ()
    # Keys of ingot.toml's [limits].
    limits: dict[str, int] = field(default_factory=dict)
    # Further lines at the head of ingot.toml.
    manifest: str = ""
    # Leaks outside of a sandbox.
    control: bool = False
    # Words of which the function's log must hold one, so that the author learns why.
    log: tuple[str, ...] = ()


# The needle is written so that the text itself never holds it in one piece.
_PROLOGUE = r"""
import ctypes, json, os, re, socket, stat, sys, threading, time
NEEDLE = re.compile(rb"canary-7d1f3e9[a]")
libc = ctypes.CDLL(None, use_errno=True)
leaks = []

def attempt(what, action):
    try:
        found = action()
    except (OSError, ValueError, RuntimeError, MemoryError):
        return None
    if found:
        leaks.append(f"{what}: {str(found)[:200]}")
    return found

def content(path):
    if os.path.isdir(path):
        return os.listdir(path)
    with open(path, "rb") as file:
        return file.read(4096)
"""


def probe(name: str, body: str, **more: Any) -> Probe:
    """Return a probe whose source begins with the helpers that all share."""
    return Probe(name, _PROLOGUE + body, **more)


ANSWERING = (
    probe(
        "host files",
        """
def execute(input, context):
    for path in ("/etc/shadow", "/root", "/home", "/proc/1/environ", "/sys/kernel", "/var/log", *input["files"]):
        attempt(path, lambda: content(path))
    return {"leaks": leaks}
""",
        control=True,
    ),
    probe(
        "other functions' files",
        """
def execute(input, context):
    for root in input["roots"]:
        for folder, folders, files in os.walk(root):
            if folder.startswith(("/proc", "/sys", "/usr", "/lib")) or folder.endswith("/site-packages"):
                folders[:] = []
                continue
            for name in files:
                path = os.path.join(folder, name)
                attempt(path, lambda: stat.S_ISREG(os.lstat(path).st_mode)
                        and NEEDLE.search(open(path, "rb").read(1 << 20)) and path)
    return {"leaks": leaks}
""",
        control=True,
    ),
    probe(
        "memory and environment of others",
        """
def execute(input, context):
    seen = [int(name) for name in os.listdir("/proc") if name.isdigit()] if readable() else []
    for pid in {*seen, *input["pids"]} - {os.getpid()}:
        for entry in ("environ", "mem", "maps", "fd", "root/etc", "cwd"):
            attempt(f"{entry} of {pid}", lambda: content(f"/proc/{pid}/{entry}"))
        local, remote = ctypes.create_string_buffer(8), id(libc)
        vector = (ctypes.c_void_p * 2)(ctypes.addressof(local), 8)
        other = (ctypes.c_void_p * 2)(remote, 8)
        if libc.process_vm_readv(pid, vector, 1, other, 1, 0) > 0:
            leaks.append(f"process_vm_readv of {pid}")
    return {"leaks": leaks}

def readable():
    try:
        return bool(os.listdir("/proc"))
    except OSError:
        return False
""",
        control=True,
    ),
    probe(
        "own memory left by the host",
        """
def execute(input, context):
    held = repr(dict(os.environ)).encode()
    if NEEDLE.search(held):
        leaks.append("the environment")
    try:
        lines = open("/proc/self/maps").read().splitlines()
    except OSError:
        lines = []
    # Through a pipe, where a page that is not there is an error and no end.
    reading, writing = os.pipe()
    libc.write.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
    for line in lines:
        bounds, rights, *_ = line.split()
        place, end = (int(part, 16) for part in bounds.split("-"))
        before = b""
        while rights[0] == "r" and place < end:
            size = libc.write(writing, place, min(end - place, 32768))
            if size <= 0:
                place += 4096
                continue
            before = before[-32:] + os.read(reading, size)
            if NEEDLE.search(before):
                leaks.append(line)
                break
            place += size
    return {"leaks": leaks}
""",
        control=True,
    ),
    probe(
        "sockets: network, abstract, control",
        """
def reach(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(1)
        s.connect(address)
        return True

def send(address):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        return s.sendto(b"x", address)

def execute(input, context):
    for port in (22, *input["ports"]):
        for host in ("127.0.0.1", "::1", "0.0.0.0"):
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            attempt(f"port {port} of {host}", lambda: reach(family, (host, port)))
    attempt("the internet", lambda: reach(socket.AF_INET, ("198.18.0.1", 80)))
    attempt("serving", lambda: socket.create_server(("127.0.0.1", 0)))
    for path in input["sockets"]:
        attempt(path, lambda: reach(socket.AF_UNIX, path))
        attempt(f"datagram to {path}", lambda: send(path))
    attempt("abstract", lambda: reach(socket.AF_UNIX, bytes.fromhex(input["abstract"])))
    attempt("raw", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
    attempt("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
    return {"leaks": leaks}
""",
        control=True,
    ),
    probe(
        "inherited descriptors",
        """
def execute(input, context):
    for number in range(3, 1024):
        try:
            kind = os.fstat(number)
        except OSError:
            continue
        if stat.S_ISDIR(kind.st_mode):
            attempt(f"folder {number}", lambda: os.listdir(number))
        elif stat.S_ISREG(kind.st_mode) and kind.st_nlink and attempt(f"file {number}", lambda: os.pread(number, 64, 0)):
            attempt(f"name of {number}", lambda: os.readlink(f"/proc/self/fd/{number}"))
        elif stat.S_ISREG(kind.st_mode):
            attempt(f"memory {number}", lambda: NEEDLE.search(os.pread(number, 1 << 20, 0)))
    return {"leaks": leaks}
""",
        control=True,
    ),
    probe(
        "shutdown and listen on the listener",
        """
SOL_SOCKET, SO_ACCEPTCONN = 1, 30

def listening(number):
    value, size = ctypes.c_int(), ctypes.c_int(4)
    return libc.getsockopt(number, SOL_SOCKET, SO_ACCEPTCONN, ctypes.byref(value), ctypes.byref(size)) == 0 and value.value

def execute(input, context):
    found = 0
    for number in range(3, 1024):
        if not listening(number):
            continue
        found += 1
        for how in (0, 1, 2):
            if libc.shutdown(number, how) == 0:
                leaks.append(f"shutdown {how} of {number}")
        libc.listen(number, 0)
        value = ctypes.c_int(1)
        if libc.setsockopt(number, SOL_SOCKET, 9, ctypes.byref(value), 4) == 0:
            leaks.append(f"setsockopt of {number}")
        if libc.dup2(number, 900) == 900:
            leaks.append(f"a second number for {number}")
    if not found:
        leaks.append("the attack did not find the listener")
    return {"leaks": leaks}
""",
    ),
    probe(
        "traces of siblings",
        """
answered = []

def execute(input, context):
    places = [os.path.join(folder, "mark") for folder in (os.environ.get("TMPDIR", "/tmp"), "/tmp", "/dev/shm")]
    if not answered:
        for path in places:
            attempt(path, lambda: content(path))
        attempt("System V memory", lambda: libc.shmget(0x1160, 64, 0) >= 0)
        libc.mq_open.restype = ctypes.c_int
        attempt("message queue", lambda: libc.mq_open(b"/mark", 0) >= 0)
    answered.append(1)
    for path in places:
        try:
            with open(path, "w") as file:
                file.write("mark")
        except OSError:
            pass
    libc.shmget(0x1160, 64, 0o1666)
    libc.mq_open(b"/mark", 0o102, 0o666, None)
    return {"leaks": leaks}
""",
    ),
    probe(
        "signals and ptrace",
        """
import resource, signal

def execute(input, context):
    # SIGURG does nothing to whom it reaches, but whoever may send it may send any other.
    for pid in {*input["pids"], *range(1, 400), os.getppid(), -1} - {os.getpid(), 0}:
        attempt(f"signal {pid}", lambda: os.kill(pid, signal.SIGURG) or "sent")
        if pid < 1:
            continue
        attempt(f"group {pid}", lambda: pid != os.getpgrp() and (os.killpg(pid, signal.SIGURG) or "sent"))
        attempt(f"limits {pid}", lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE))
        attempt(f"priority {pid}", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19) or "set")
        attempt(f"processors {pid}", lambda: os.sched_setaffinity(pid, {0}) or "set")
        if libc.ptrace(0x4206, pid, 0, 0) == 0:
            leaks.append(f"ptrace {pid}")
            libc.ptrace(17, pid, 0, 0)
    return {"leaks": leaks}
""",
        control=True,
    ),
    probe(
        "disk",
        """
def execute(input, context):
    folder, written, largest = os.environ.get("TMPDIR", "/tmp"), 0, 0
    try:
        for number in range(input["disk_files"]):
            size = 0
            with open(f"{folder}/fill{number}", "wb", buffering=0) as file:
                try:
                    while size < 300 << 20:
                        size += file.write(b"x" * (1 << 20))
                finally:
                    written, largest = written + size, max(largest, size)
    except OSError:
        pass
    if not 1 << 20 <= largest <= 64 << 20:
        leaks.append(f"a file of {largest} bytes")
    if written > 128 << 20 and input["disk_files"] > 1:
        leaks.append(f"{written} bytes in all")
    return {"leaks": leaks}
""",
        # The pages of /tmp count as the function's memory.
        statuses=(200, 502),
        codes=("function_failed",),
    ),
    probe(
        "descriptors",
        """
def execute(input, context):
    held = []
    try:
        while len(held) < 200_000:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    count = len(held)
    for number in held:
        os.close(number)
    if count >= 200_000:
        leaks.append("descriptors without end")
    return {"leaks": leaks}
""",
    ),
    probe(
        "links and its own files",
        """
def execute(input, context):
    folder = os.environ.get("TMPDIR", "/tmp")
    for number, path in enumerate(["/etc/shadow", *input["files"]]):
        attempt(f"link to {path}", lambda: os.symlink(path, f"{folder}/s{number}") or content(f"{folder}/s{number}"))
        attempt(f"hard link to {path}", lambda: os.link(path, f"{folder}/h{number}") or "made")
    attempt("write to its own code", lambda: open(__file__, "a").write("x"))
    attempt("replace its own code", lambda: os.rename(__file__, __file__ + "2") or "done")
    attempt("write beside its own code", lambda: open(os.path.dirname(__file__) + "/new.py", "w").write("x"))
    attempt("rights of its own code", lambda: os.chmod(__file__, 0o777) or "done")
    attempt("mount", lambda: libc.mount(b"none", folder.encode(), b"tmpfs", 0, None) == 0)
    attempt("chroot", lambda: os.chroot(folder) or "done")
    attempt("device", lambda: os.mknod(folder + "/disk", 0o60600, os.makedev(8, 0)) or "made")
    return {"leaks": leaks}
""",
    ),
    probe(
        "children that stay",
        """
import signal

def execute(input, context):
    for _ in range(20):
        try:
            if os.fork() == 0:
                os.setsid()
                for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                    signal.signal(number, signal.SIG_IGN)
                time.sleep(600)
                os._exit(0)
        except OSError:
            break
    return {"leaks": leaks}
""",
        # Twenty copies may be more memory than one function has.
        statuses=(200, 502),
        codes=("function_failed",),
    ),
    probe(
        "two answers to one call",
        """
def execute(input, context):
    body = b'{"leaks": ["an answer that nobody asked for"]}'
    head = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body)
    mine = b'{"leaks": []}'
    first = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(mine)
    for number in range(3, 256):
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                os.set_blocking(number, False)
                os.write(number, first + mine + head + body)
        except OSError:
            pass
    return {"leaks": leaks}
""",
        statuses=(200, 502),
        codes=("function_failed",),
    ),
    probe(
        "forged runtime messages",
        """
def execute(input, context):
    forged = [
        b'{"event":"ready","import_us":1}',
        b'{"event":"failed","code":"crashed","message":"forged"}',
        b'{"event":"born"}',
        b'{"r":"somebody-elses-request","l":"error","m":"forged","f":{}}\\n',
        b'{"op":"retire","target":"%s"}\\n' % input["neighbour"].encode(),
        b'{"op":"drop","name":"listen:%s"}' % input["neighbour"].encode(),
        b'{"event":' + b"[" * 5000,
        b"q",
        b"\\0" * 4096,
        b"\\xff" * 60_000,
    ]
    for number in range(0, 256):
        for message in forged:
            for _ in range(50):
                try:
                    # Never wait: a full pipe is the host's to drain.
                    os.set_blocking(number, False)
                    os.write(number, message)
                except OSError:
                    break
        try:
            os.pwrite(number, b"\\xff" * 4096, 0)
            os.ftruncate(number, 0)
        except OSError:
            pass
    return {"leaks": leaks}
""",
        # It may well break its own connection; nobody else's.
        statuses=(200, 502, 503, 504),
        codes=("function_failed", "function_unavailable", "function_timeout", "handler_failed"),
        limits={"timeout_ms": 4000},
    ),
)
