"""Hostile and honest acts, run as user code inside a sandbox.

Standard library only: this file is mounted as a function's layer. A `deny_`
probe returns "BREACH ..." if the act succeeds; an OSError or "refused ..." is
the wanted end. An `allow_` probe must return "ok".
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import mmap
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
X86 = os.uname().machine == "x86_64"
# Filled by the driver: facts of the host that the probes try to reach.
HOST: dict[str, Any] = {}


def call(x86: int, arm: int, *arguments: int) -> int:
    """Make a raw system call; raise OSError as Python would."""
    LIBC.syscall.restype = ctypes.c_long
    result = LIBC.syscall(ctypes.c_long(x86 if X86 else arm), *[ctypes.c_long(a) for a in arguments])
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(result)


def readable(*paths: str) -> list[str]:
    """Return those of the paths whose content can be read."""
    found = []
    for path in paths:
        try:
            if os.path.isdir(path):
                if os.listdir(path):
                    found.append(path)
            else:
                with open(path, "rb") as file:
                    file.read(1)
                found.append(path)
        except OSError:
            continue
    return found


def breach(found: object) -> str:
    return f"BREACH {found}" if found else "refused"


def deny_host_files() -> str:
    return breach(
        readable("/etc/shadow", "/var", "/sys/kernel", "/sys/class", *HOST["homes"], *HOST["secrets"])
    )


def deny_other_functions_layer() -> str:
    return breach(readable(*HOST["other_layers"], "/.roots", "/.roots/0", "/.nothing"))


def deny_proc_of_others() -> str:
    found = [pid for pid in HOST["pids"] if readable(f"/proc/{pid}/cmdline", f"/proc/{pid}/environ")]
    return breach(found)


def deny_old_environment() -> str:
    text = (
        repr(os.environ) + repr(HOST["marker"] in open("/proc/self/environ", "rb").read().decode("latin1"))
        if (readable("/proc/self/environ"))
        else repr(os.environ)
    )
    return breach([text] if HOST["marker"] in text or "True" in text else [])


def deny_memory_of_environment() -> str:
    """The block that exec left on the stack must not hold the host's values any more."""
    marker = HOST["marker"].encode()
    for line in open("/proc/self/maps"):
        if "[stack]" in line:
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            content = ctypes.string_at(start, end - start)
            return breach(["stack"] if b"HOST_SECRET=" + marker in content else [])
    return "BREACH no stack found"


def deny_descriptors() -> str:
    extra = []
    for number in range(3, 1024):
        try:
            os.fstat(number)
        except OSError:
            continue
        if number not in HOST["given"]:
            extra.append(number)
    return breach(extra)


def deny_ptrace() -> str:
    return breach(call(101, 117, 16, HOST["pids"][0], 0, 0) == 0)


def deny_process_memory() -> str:
    iov = struct.pack("@PN", id(HOST), 8)
    buffer = ctypes.create_string_buffer(iov)
    address = ctypes.addressof(buffer)
    return breach(call(310, 270, HOST["pids"][0], address, 1, address, 1, 0))


def deny_signals() -> str:
    hit = []
    for pid in [*HOST["pids"], -1, os.getppid() or HOST["pids"][0]]:
        try:
            if pid == -1 and os.getpid() == 1:
                continue
            os.kill(pid, 0)
            hit.append(pid)
        except OSError:
            continue
    return breach(hit)


def deny_limits_of_others() -> str:
    import resource

    resource.prlimit(HOST["pids"][0], resource.RLIMIT_NOFILE)
    return "BREACH"


def deny_network_loopback() -> str:
    socket.create_connection(("127.0.0.1", HOST["port"]), timeout=1).close()
    return "BREACH"


def deny_abstract_socket() -> str:
    socket.socket(socket.AF_UNIX).connect("\0" + HOST["abstract"])
    return "BREACH"


def deny_path_socket() -> str:
    socket.socket(socket.AF_UNIX).connect(HOST["socket"])
    return "BREACH"


def deny_every_socket_family() -> str:
    made = []
    for family in range(46):
        for kind in (1, 2, 3, 5):
            try:
                call(41, 198, family, kind, 0)
                made.append(family)
            except OSError:
                continue
    return breach(made)


def deny_datagram_pair() -> str:
    """Without connect, a datagram socket reaches named sockets by sendto."""
    pairs = []
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            pairs.append(socket.socketpair(socket.AF_UNIX, kind))
        except OSError:
            continue
    return breach(pairs)


def deny_mount() -> str:
    result = LIBC.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None)
    return breach("mounted" if result == 0 else "")


def deny_unmount() -> str:
    return breach(
        [path for path in (b"/tmp", b"/.roots", b"/proc", b"/function") if LIBC.umount2(path, 2) == 0]
    )


def deny_new_mount_calls() -> str:
    done: list[object] = []
    for x86, arm in ((428, 428), (430, 430), (442, 442), (457, 457), (458, 458)):
        try:
            call(x86, arm, -100, 0, 0, 0, 0)
            done.append(x86)
        except OSError as error:
            if error.errno != errno.EPERM:
                done.append((x86, error.errno))
    return breach(done)


def deny_unshare() -> str:
    flags = (0x10000000, 0x20000, 0x20000000, 0x40000000, 0x8000000, 0x80, 0x18020000)
    return breach([hex(flag) for flag in flags if LIBC.unshare(flag) == 0])


def deny_clone_namespaces() -> str:
    pid = 0
    try:
        pid = call(56, 220, 0x10000000 | 17, 0, 0, 0, 0)
    finally:
        if pid == 0 and ctypes.get_errno() == 0:
            os._exit(0)
    return "BREACH"


def deny_clone3() -> str:
    try:
        call(435, 435, 0, 0)
    except OSError as error:
        return "refused" if error.errno == errno.ENOSYS else f"BREACH {error}"
    return "BREACH"


def deny_setns() -> str:
    descriptor = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    return breach(LIBC.setns(descriptor, 0) == 0)


def deny_chroot() -> str:
    os.mkdir(os.environ["TMPDIR"] + "/jail")
    os.chroot(os.environ["TMPDIR"] + "/jail")
    return "BREACH"


def deny_parent_of_root() -> str:
    return breach(
        readable("/../../../../etc/shadow", "/proc/self/root/../etc/shadow", "/proc/1/root/etc/shadow")
    )


def deny_devices() -> str:
    return breach(
        readable("/dev/kmsg", "/dev/mem", "/dev/vda", "/dev/sda", "/dev/fuse", "/dev/ptmx", "/dev/kvm")
    )


def deny_make_device() -> str:
    os.mknod(os.environ["TMPDIR"] + "/disk", 0o60600, os.makedev(8, 0))
    return "BREACH"


def deny_keyctl() -> str:
    return breach(call(250, 219, 0, -3, 0) >= 0)


def deny_bpf() -> str:
    return breach(call(321, 280, 0, 0, 0) >= 0)


def deny_io_uring() -> str:
    buffer = ctypes.create_string_buffer(256)
    return breach(call(425, 425, 4, ctypes.addressof(buffer)) >= 0)


def deny_userfaultfd() -> str:
    return breach(call(323, 282, 1) >= 0)


def deny_perf() -> str:
    buffer = ctypes.create_string_buffer(128)
    return breach(call(298, 241, ctypes.addressof(buffer), 0, -1, -1, 0) >= 0)


def deny_pidfd_getfd() -> str:
    own = os.pidfd_open(os.getpid())
    return breach(call(438, 438, own, 0, 0) >= 0)


def deny_seccomp_notifier() -> str:
    code = struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000)
    buffer = ctypes.create_string_buffer(code)
    header = ctypes.create_string_buffer(struct.pack("@HP", 1, ctypes.addressof(buffer)))
    return breach(call(317, 277, 1, 8, ctypes.addressof(header)) >= 0)


def deny_x32_calls() -> str:
    if not X86:
        return "refused: no such ABI"
    try:
        call(0x40000000 + 39, 0)
    except OSError as error:
        return "refused" if error.errno == errno.ENOSYS else f"BREACH {error}"
    return "BREACH"


def deny_i386_calls() -> str:
    """`int 0x80` with eax = 20 (getpid) must not reach the kernel's 32-bit table."""
    if not X86:
        return "refused: no such ABI"
    code = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"
    area = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    area.write(code)
    function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(area)))
    answer = function()
    return breach("" if answer == -errno.ENOSYS else f"int 0x80 gave {answer}, pid {os.getpid()}")


def deny_tiocsti() -> str:
    import fcntl

    fcntl.ioctl(0, 0x5412, b"x")
    return "BREACH"


def deny_personality() -> str:
    return breach(LIBC.personality(0x0040000) != -1)


def deny_root_writes() -> str:
    wrote = []
    for path in (
        "/function/evil.py",
        "/deps/evil.py",
        "/usr/lib/evil",
        "/etc/passwd",
        "/evil",
        "/proc/sys/kernel/x",
    ):
        try:
            with open(path, "w"):
                wrote.append(path)
        except OSError:
            continue
    for layer in HOST["own_layers"]:
        try:
            with open(layer + "/evil.py", "w"):
                wrote.append(layer)
        except OSError:
            continue
    return breach(wrote)


def deny_chmod_layer() -> str:
    for layer in HOST["own_layers"]:
        os.chmod(layer, 0o777)
    return "BREACH"


def deny_setuid() -> str:
    changed = []
    attempts: tuple[Callable[[], None], ...] = (
        lambda: os.setuid(0),
        lambda: os.setgid(0),
        lambda: os.setgroups([0]),
    )
    for attempt in attempts:
        try:
            attempt()
            changed.append(True)
        except OSError:
            continue
    return breach(changed)


def deny_capabilities() -> str:
    lines = dict(
        line.split(":", 1) for line in open("/proc/self/status") if line.startswith(("Cap", "NoNew"))
    )
    held = {name: value.strip() for name, value in lines.items() if name.startswith("Cap") and int(value, 16)}
    if HOST["level"] == "landlock":
        held.pop("CapBnd", None)
    if lines.get("NoNewPrivs", "").strip() != "1":
        held["NoNewPrivs"] = "0"
    return breach(held)


def deny_setuid_programs() -> str:
    """Whatever runs, it must not run as root."""
    for program in ("/usr/bin/su", "/usr/bin/passwd", "/bin/mount"):
        try:
            if os.stat(program).st_mode & 0o4000:
                out = subprocess.run([program, "--version"], capture_output=True, timeout=5)
                return breach(out.returncode == 0 and os.geteuid() == 0)
        except (OSError, subprocess.SubprocessError):
            continue
    return "refused"


def deny_fork_bomb() -> str:
    """Count how many sleepers can be made; the driver gives a limit of 40 processes."""
    children = []
    try:
        for _ in range(400):
            pid = os.fork()
            if pid == 0:
                time.sleep(20)
                os._exit(0)
            children.append(pid)
    except OSError:
        pass
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return breach(len(children) if len(children) > 60 else 0)


def deny_fill_tmp() -> str:
    written = 0
    with open(os.environ["TMPDIR"] + "/big", "wb") as file:
        for _ in range(64):
            written += file.write(b"\0" * (1 << 20))
            file.flush()
    return f"BREACH wrote {written}"


def deny_fill_inodes() -> str:
    for number in range(3000):
        os.mkdir(f"{os.environ['TMPDIR']}/d{number}")
    return "BREACH"


def deny_descriptor_exhaustion() -> str:
    held = []
    for _ in range(5000):
        held.append(os.dup(0))
    return f"BREACH {len(held)}"


def deny_large_memory() -> str:
    """The data limit stands in for a cgroup; the driver allows 64 MB."""
    try:
        area = bytearray(256 << 20)
    except MemoryError:
        return "refused"
    return f"BREACH {len(area)}"


def deny_shutdown_listener() -> str:
    socket.socket(fileno=os.dup(HOST["listener"])).close()
    return "BREACH dup"


def deny_listener_tricks() -> str:
    """Each way to disturb the shared listening socket, or to get it under another number."""
    import fcntl

    number = HOST["listener"]
    done = []
    attempts: dict[str, Callable[[], object]] = {
        "shutdown": lambda: call(48, 210, number, 2),
        "setsockopt": lambda: call(54, 208, number, 1, 2, 0, 0),
        "dup2": lambda: os.dup2(number, 900),
        "F_DUPFD": lambda: fcntl.fcntl(number, fcntl.F_DUPFD, 50),
        "F_DUPFD_CLOEXEC": lambda: fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 50),
        "proc": lambda: os.open(f"/proc/self/fd/{number}", os.O_RDWR),
        "connect": lambda: call(42, 203, number, 0, 0),
        "bind": lambda: call(49, 200, number, 0, 0),
        "pass": lambda: _pass_to_self(number),
    }
    for name, attempt in attempts.items():
        try:
            attempt()
            done.append(name)
        except OSError:
            continue
    return breach(done)


def _pass_to_self(number: int) -> None:
    left, right = socket.socketpair()
    socket.send_fds(left, [b"x"], [number])
    _, descriptors, _, _ = socket.recv_fds(right, 10, 1)
    if not descriptors:
        raise OSError("no descriptor came")


def deny_stale_tmp() -> str:
    """What the template wrote in its /tmp while importing must not be an instance's."""
    return breach([name for name in os.listdir(os.environ["TMPDIR"]) if name.startswith("template")])


def allow_listen_is_harmless() -> str:
    """Servers call listen on what they are given; it succeeds and changes nothing."""
    call(50, 201, HOST["listener"], 1)
    return "ok"


def allow_accept() -> str:
    listener = socket.socket(fileno=HOST["listener"])
    listener.settimeout(5)
    connection, _ = listener.accept()
    data = connection.recv(10)
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)
    connection.close()
    listener.detach()
    return "ok" if data == b"hello" else f"got {data!r}"


def allow_threads() -> str:
    seen: list[int] = []
    threads = [threading.Thread(target=seen.append, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return "ok" if len(seen) == 8 else "lost"


def allow_subprocess() -> str:
    out = subprocess.run([sys.executable, "-I", "-c", "print(6*7)"], capture_output=True, timeout=20)
    return "ok" if out.stdout == b"42\n" else repr(out)


def allow_multiprocessing_semaphore() -> str:
    import multiprocessing

    lock = multiprocessing.get_context("fork").Lock()
    with lock:
        return "ok"


def allow_tmp() -> str:
    path = os.environ["TMPDIR"] + "/a"
    with open(path, "w") as file:
        file.write("x")
    os.rename(path, path + "2")
    os.mkdir(path)
    os.rmdir(path)
    return "ok" if open(path + "2").read() == "x" else "lost"


def allow_time_zones() -> str:
    import datetime
    import zoneinfo

    zone = zoneinfo.ZoneInfo("Europe/Berlin")
    offset = datetime.datetime(2024, 7, 1, tzinfo=zone).utcoffset()
    return "ok" if offset == datetime.timedelta(hours=2) else "wrong"


def allow_ssl() -> str:
    import ssl

    return "ok" if ssl.create_default_context().get_ca_certs() or ssl.RAND_bytes(1) else "empty"


def allow_asyncio() -> str:
    async def work() -> str:
        await asyncio.sleep(0.001)
        return await asyncio.to_thread(lambda: "ok")

    return asyncio.run(work())


def allow_proc_self() -> str:
    return "ok" if readable("/proc/self/stat", "/proc/self/maps", "/proc/self/fd") else "missing"


def allow_random_devices() -> str:
    return (
        "ok"
        if os.urandom(8) and open("/dev/urandom", "rb").read(4) and open("/dev/null", "w").write("x")
        else ""
    )


def allow_user_lookup() -> str:
    import pwd

    return "ok" if pwd.getpwuid(os.getuid()).pw_name else ""


def allow_own_signals() -> str:
    got = []
    signal.signal(signal.SIGUSR1, lambda *_: got.append(1))
    os.kill(os.getpid(), signal.SIGUSR1)
    signal.raise_signal(signal.SIGUSR1)
    return "ok" if len(got) == 2 else "lost"


def allow_layer_import() -> str:
    return "ok" if os.path.exists(os.path.dirname(os.path.abspath(__file__))) and "probes" in __name__ else ""
