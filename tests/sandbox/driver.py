"""A small function host for the probes: `python -I -S driver.py` with a JSON document on standard input.

It makes what the probes try to reach, starts one sandboxed process for each
probe and prints {"results": {...}, "orphans": n, "listener": "..."} as JSON.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any

CONFIG = json.loads(sys.stdin.read())
sys.path.insert(0, CONFIG["sandbox"])

from ingot_sandbox import base, become, enter
from ingot_sandbox.spec import SandboxSpec

WORK, LEVEL, KIND = CONFIG["work"], CONFIG["level"], CONFIG["kind"]
UID = CONFIG["uid"]
PRCTL = ctypes.CDLL(None).prctl


def main() -> None:
    PRCTL(36, 1, 0, 0, 0)
    facts, keep = host_facts()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{WORK}/fn.sock")
    os.chmod(f"{WORK}/fn.sock", 0o777)
    listener.listen(64)
    caller = connect()
    caller.sendall(b"hello")
    if CONFIG["user"]:
        os.setgroups([])
        os.setresgid(CONFIG["user"], CONFIG["user"], CONFIG["user"])
        os.setresuid(CONFIG["user"], CONFIG["user"], CONFIG["user"])
        # A change of user makes a process undumpable; a login would not.
        PRCTL(4, 1, 0, 0, 0)
    victim = os.fork()
    if victim == 0:
        PRCTL(1, 9, 0, 0, 0)
        signal.pause()
    facts["pids"] = [victim, os.getpid()]
    channels = {name: socket.socketpair() for name in CONFIG["probes"]}
    # One at a time: a user's processes are counted together.
    gate, template_gate = socket.socketpair()
    template = os.fork()
    if template == 0:
        gate.close()
        try:
            be_template(facts, listener.fileno(), channels, template_gate)
        except BaseException as error:
            for _, writer in channels.values():
                writer.send(f"template failed: {type(error).__name__}: {error}".encode())
        os._exit(0)
    template_gate.close()
    results = {name: read(gate, *channels[name]) for name in CONFIG["probes"]}
    answer: dict[str, object] = {"results": results, "listener": listener_state(listener)}
    os.kill(victim, signal.SIGKILL)
    answer["orphans"] = wait_for_all()
    print(json.dumps(answer))
    del keep, caller


def host_facts() -> tuple[dict[str, Any], tuple[socket.socket, ...]]:
    port = socket.create_server(("127.0.0.1", 0))
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind(f"\0ingot-probe-{os.getpid()}")
    abstract.listen()
    path = socket.socket(socket.AF_UNIX)
    path.bind(f"{WORK}/host.sock")
    os.chmod(f"{WORK}/host.sock", 0o777)
    path.listen()
    facts = {
        "level": LEVEL,
        # The way to the interpreter is there, with nothing beside it.
        "homes": [home for home in ("/root", "/home") if not sys.base_prefix.startswith(f"{home}/")],
        "marker": CONFIG["marker"],
        "port": port.getsockname()[1],
        "abstract": f"ingot-probe-{os.getpid()}",
        "socket": f"{WORK}/host.sock",
        "secrets": [f"{WORK}/secret.txt", WORK],
        "other_layers": [f"{WORK}/layers/other", f"{WORK}/layers"],
        "own_layers": [f"{WORK}/layers/mine"],
    }
    return facts, (port, abstract, path)


def connect() -> socket.socket:
    caller = socket.socket(socket.AF_UNIX)
    caller.connect(f"{WORK}/fn.sock")
    return caller


def spec_for(name: str, number: int | str, listener: int, status: int) -> SandboxSpec:
    return SandboxSpec(
        layers={"function": f"{WORK}/layers/mine"},
        uid=UID,
        gid=UID,
        tmp_mb=8,
        tmp_inodes=500,
        tmp_folder=f"{WORK}/tmp/{number}" if LEVEL == "landlock" else "",
        processes=40,
        open_files=256,
        data_mb=64 if name == "deny_large_memory" else 0,
        listener=listener,
        status=status,
        descriptors=(2,),
    )


def be_template(
    facts: dict[str, Any],
    listener: int,
    channels: dict[str, tuple[socket.socket, socket.socket]],
    gate: socket.socket,
) -> None:
    if LEVEL == "landlock":
        # The template's folder holds its instances' folders.
        os.mkdir(f"{WORK}/tmp/t")
        if UID > 0:
            os.chown(f"{WORK}/tmp/t", UID, UID)
        for number in range(len(channels)):
            os.mkdir(f"{WORK}/tmp/t/{number}")
            if UID > 0:
                os.chown(f"{WORK}/tmp/t/{number}", UID, UID)
    prepared = base.prepare(
        LEVEL, [f"{WORK}/layers"], [CONFIG["sandbox"]], range(UID, UID + 1) if UID > 0 else range(0)
    )
    if KIND != "instance":
        spec = spec_for("", 0, listener, -1)
        spec.descriptors = (2, gate.fileno(), *(writer.fileno() for _, writer in channels.values()))
        spec.tmp_folder = f"{WORK}/tmp/t" if LEVEL == "landlock" else ""
        if not become.become_template(prepared, spec):
            return
        with open(os.environ["TMPDIR"] + "/template-was-here", "w") as file:
            file.write("x")
    sys.path.insert(0, prepared.layer_path(spec_for("", 0, -1, -1), "function"))
    for number, (name, (_, writer)) in enumerate(channels.items()):
        spec = spec_for(name, f"t/{number}", listener, writer.fileno())
        if KIND == "template":
            run(name, facts, spec, writer)
        elif enter.spawn_instance(prepared, spec):
            run(name, facts, spec, writer)
            os._exit(0)
        writer.close()
        gate.recv(1)
    if KIND != "instance":
        os._exit(0)


def run(name: str, facts: dict[str, Any], spec: SandboxSpec, writer: socket.socket) -> None:
    # The layer is on the path by now, with a copy of probes.py.
    probes = importlib.import_module("probes")

    probes.HOST.update({**facts, "listener": spec.listener, "given": [spec.listener, spec.status]})
    try:
        result: str = getattr(probes, name)()
    except OSError as error:
        result = f"refused: {error}"
    except BaseException as error:
        result = f"failed: {type(error).__name__}: {error}"
    writer.send(result.encode()[:4000])
    if KIND != "template":
        # The host looks at the process while it lives.
        writer.settimeout(10)
        writer.recv(1)


def read(gate: socket.socket, reader: socket.socket, writer: socket.socket) -> str:
    writer.close()
    if not select.select([reader], [], [], 60)[0]:
        return "no answer"
    text = reader.recv(5000).decode()
    if KIND != "template":
        try:
            reader.send(b"x")
            # The end of the instance is the end of its side.
            reader.settimeout(10)
            reader.recv(1)
        except OSError as error:
            text += f" and then {error}"
    # Ended orphans count against their user's limit until they are reaped.
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    with contextlib.suppress(OSError):
        gate.send(b"n")
    return text


def listener_state(listener: socket.socket) -> str:
    try:
        connect().close()
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        return "hung up" if poll.poll(1000)[0][1] & select.POLLHUP else "listening"
    except OSError as error:
        return str(error)


def wait_for_all() -> int:
    """Reap every descendant; return how many had to be given up on."""
    end = time.monotonic() + 15
    while time.monotonic() < end:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)
        except ChildProcessError:
            return 0
    return 1


main()
