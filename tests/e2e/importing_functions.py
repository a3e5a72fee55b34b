"""Hostile functions that act while their code is imported, which may be inside a level-2 template.

What runs there has a looser filter than an instance, so each tries the way
from there to others. Data only; `facts.json` in the draft holds what
`hostile_functions.py` gets as input.
"""

from __future__ import annotations

from tests.e2e.hostile_functions import Probe, probe

__all__ = ["IMPORTING"]

_SIGHT = r"""
FACTS = json.load(open(os.path.join(os.path.dirname(__file__), "facts.json")))
at_import = leaks
import signal

def look(after):
    for path in ("/etc/shadow", "/root", *FACTS["files"]):
        attempt(f"{after}: {path}", lambda: content(path))
    for pid in {*FACTS["pids"], os.getppid()} - {0, 1, os.getpid()}:
        attempt(f"{after}: environ of {pid}", lambda: content(f"/proc/{pid}/environ"))
        attempt(f"{after}: signal {pid}", lambda: os.kill(pid, signal.SIGURG) or "sent")
        if libc.ptrace(0x4206, pid, 0, 0) == 0:
            leaks.append(f"{after}: ptrace {pid}")
    for path in FACTS["sockets"]:
        attempt(f"{after}: {path}", lambda: socket.socket(socket.AF_UNIX).connect(path) or "reached")

def execute(input, context):
    look("in a call")
    return {"leaks": leaks}

"""

# The author may break the own function; the caller sees that plainly.
_OWN_FAULT: dict[str, object] = {
    "statuses": (200, 500, 502, 503, 504),
    "codes": ("handler_failed", "function_failed", "function_timeout", "function_unavailable"),
    "limits": {"timeout_ms": 5000},
}


def _importing(name: str, body: str) -> Probe:
    return probe(name, _SIGHT + body, **_OWN_FAULT)


IMPORTING = (
    _importing(
        "namespaces and mounts at import",
        """
look("at first")
for flag in (0x10000000, 0x20000, 0x40000000, 0x8000000, 0x4000000, 0x80, 0x2000000, 0x10020000, 0x20020000):
    libc.unshare(flag)
    look(f"unshare {flag:#x}")
for kind, source, place in ((b"proc", b"proc", b"/proc"), (b"proc", b"proc", b"/tmp"), (b"sysfs", b"sysfs", b"/tmp"),
                            (b"cgroup2", b"none", b"/tmp"), (b"devtmpfs", b"none", b"/tmp"), (b"ext4", b"/dev/vda1", b"/tmp")):
    if libc.mount(source, place, kind, 0, None) == 0:
        for name in ("1/environ", "1/root/etc/shadow", "sysrq-trigger", "kernel", "vda"):
            path = os.path.join(place.decode(), name)
            attempt(f"{kind} {path}", lambda: NEEDLE.search(open(path, "rb").read(1 << 16)))
        look(f"mount {kind}")
for source in (b"/", b"/..", b"/proc/1/root", b"/.roots", b"/.nothing"):
    libc.mount(source, b"/tmp", None, 4096 | 16384, None)
    look(f"bind {source}")
    for folder, folders, files in os.walk("/tmp"):
        folders[:] = [name for name in folders if name not in ("proc", "usr", "lib", "sys")]
        for name in files:
            path = os.path.join(folder, name)
            attempt(path, lambda: stat.S_ISREG(os.lstat(path).st_mode)
                    and NEEDLE.search(open(path, "rb").read(1 << 20)) and path)
for place in (b"/.roots", b"/proc", b"/tmp", b"/function", b"/"):
    libc.umount2(place, 2)
    look(f"umount {place}")
libc.syscall(155, b"/tmp", b"/tmp")
libc.chroot(b"/proc/1/root")
look("pivot_root and chroot")
""",
    ),
    _importing(
        "threads, descriptors and children left by an import",
        """
held = [os.open("/dev/null", os.O_RDONLY) for _ in range(40)]
pairs = []
try:
    pairs = [socket.socketpair() for _ in range(10)]
except OSError:
    pass
for _ in range(3):
    try:
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    except RuntimeError:
        pass
for _ in range(5):
    try:
        if os.fork() == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
            os._exit(0)
    except OSError:
        pass
signal.setitimer(signal.ITIMER_REAL, 3600)
""",
    ),
    _importing(
        "messages forged by an import",
        """
forged = [
    b'{"event":"ready","threads":0,"sockets":0}', b'{"event":"ready","import_us":1}', b'{"event":"born"}',
    b'{"event":"failed","code":"crashed","message":"forged"}',
    b'{"op":"retire","target":"%s"}' % FACTS["neighbour"].encode(),
    b'{"op":"drop","name":"listen:%s"}' % FACTS["neighbour"].encode(),
    b'{"event":"spawned","instance":"x","pid":1}', b"{" * 3000, b"", b"\\xff" * 60_000,
]
for number in range(0, 64):
    for message in forged:
        for _ in range(20):
            try:
                os.set_blocking(number, False)
                os.write(number, message)
            except OSError:
                break
            finally:
                try:
                    os.set_blocking(number, True)
                except OSError:
                    pass
""",
    ),
    _importing(
        "the runtime rewritten by an import",
        """
def liar(*arguments, **named):
    return None

real_dumps, real_loads = json.dumps, json.loads

def dumps(value, *arguments, **named):
    if isinstance(value, dict) and "event" in value:
        value = {"event": "ready", "import_us": 0, "threads": 0, "sockets": 0, "instance": "x"}
    return real_dumps(value, *arguments, **named)

json.dumps = dumps
for name, module in list(sys.modules.items()):
    if name.startswith("ingot_sandbox") and name.rpartition(".")[2] in ("seccomp", "confine", "landlock", "world"):
        for part in ("install", "limit", "settle", "undumpable", "keep_descriptors", "restrict", "become_user"):
            if hasattr(module, part):
                setattr(module, part, liar)
    if name.endswith("ingot_sandbox.kernel"):
        module.set_capabilities = liar
""",
    ),
    _importing(
        "an import that answers for its instances",
        """
# Calls of the template's loop end here instead: no fork, no message, no end.
real_fork = os.fork
os.fork = lambda: 4242
os._exit = lambda status: None
sys.exit = lambda status=0: None
socket.socket.sendmsg = lambda self, *arguments, **named: 1
""",
    ),
    _importing(
        "an import that never lets go",
        """
for number in range(1, 64):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
os.fork = lambda: time.sleep(3600)
""",
    ),
)
