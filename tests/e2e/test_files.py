"""Files through the whole system: large ones through the gateway, and the api killed while one comes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from tests.support.system import running_system, wait_for

pytestmark = pytest.mark.slow

_SIZE = 20_000_000


def test_a_kill_in_the_middle_of_an_upload_leaves_a_file_that_can_be_sent_again() -> None:
    content = bytes(range(256)) * (_SIZE // 256)
    with running_system() as system:
        owner = system.people["owner"]
        body = {"project": "main", "name": "large.bin", "size": len(content)}
        made = owner.call("POST", "/files", json={**body, "sha256": f"sha256:{sha256(content).hexdigest()}"})
        url = system.console + made["upload"]["url"]
        halfway, killed = threading.Event(), threading.Event()

        def pieces() -> Iterator[bytes]:
            yield content[: _SIZE // 2]
            halfway.set()
            killed.wait(20)
            yield content[_SIZE // 2 :]

        answers: list[int] = []

        def send() -> None:
            try:
                headers = {"Content-Length": str(len(content))}
                answers.append(httpx.put(url, content=pieces(), headers=headers, timeout=30).status_code)
            except httpx.TransportError:
                answers.append(0)

        sender = threading.Thread(target=send)
        sender.start()
        assert halfway.wait(20)
        folder = system.data / "files"
        wait_for(lambda: any(path.stat().st_size for path in folder.iterdir()))
        # The server's worker would finish what it takes if only its parent were killed.
        parent = int(system.roles()["api"]["pid"])
        workers = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        assert workers
        for process in workers:
            os.kill(int(process), signal.SIGKILL)
        system.kill("api")
        killed.set()
        sender.join(40)
        assert answers != [200]
        assert not (folder / made["id"]).exists(), "half a file stands under its id"
        wait_for(lambda: httpx.get(f"{system.console}/livez").status_code == 200)
        assert owner.call("GET", f"/files/{made['id']}")["state"] == "waiting"
        sent = httpx.put(url, content=content, timeout=60)
        assert sent.status_code == 200, sent.text
        link = owner.call("POST", f"/files/{made['id']}/links")
        assert httpx.get(system.console + link["url"], timeout=60).content == content
        owner.call("DELETE", f"/files/{made['id']}")
        assert list(folder.iterdir()) == [], "the killed sender's part went with the file"
