"""A real Chromium, driven over its debugging pipe: no driver, no port, no download.

Only what tests need: open a page, run JavaScript in it, wait for a fact.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

__all__ = ["Browser", "Page", "chromium", "open_browser"]

# Nothing here may look for a network: not an update, not a sign-in, not a default page.
_FLAGS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--remote-debugging-pipe",
)

# Chromium reads commands from descriptor 3 and answers on descriptor 4. A shell cannot do this:
# dash knows one-digit descriptors only.
_START = (
    "import fcntl, os, sys\n"
    "high = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]\n"
    "os.dup2(high[0], 3)\n"
    "os.dup2(high[1], 4)\n"
    "os.execv(sys.argv[3], sys.argv[3:])\n"
)


def chromium() -> str | None:
    """Return Chromium's path, or None where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Browser:
    """One Chromium with an empty profile."""

    def __init__(self, process: subprocess.Popen[bytes], reading: int, writing: int) -> None:
        self._process, self._reading, self._writing = process, reading, writing
        self._number = 0
        self._buffer = b""

    def send(self, method: str, session: str | None = None, timeout_s: float = 20, **params: Any) -> Any:
        """Send a command and return its result; events in between are dropped."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + timeout_s
        while True:
            answer = self._next(deadline)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def open(self, url: str) -> Page:
        """Open a new tab and wait until it has loaded."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        page.go(url)
        return page

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._reading], [], [], left)[0]:
                raise TimeoutError("Chromium did not answer in time.")
            part = os.read(self._reading, 1 << 16)
            if not part:
                raise RuntimeError(f"Chromium ended with {self._process.poll()}.")
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


class Page:
    """One tab."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session

    def go(self, url: str) -> None:
        """Load a URL; returns when the document is complete."""
        self._browser.send("Page.navigate", self._session, url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression; a promise is awaited."""
        answer = self._browser.send(
            "Runtime.evaluate", self._session, expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"].get("exception", answer["exceptionDetails"])))
        return answer["result"].get("value")

    def wait(self, condition: str, seconds: float = 20) -> None:
        """Wait until a JavaScript expression is true."""
        deadline = time.monotonic() + seconds
        while not self.run(f"Boolean({condition})"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"It did not become true: {condition}")
            time.sleep(0.05)

    def screenshot(self) -> str:
        """Return a PNG of what is visible, as base64."""
        data: str = self._browser.send("Page.captureScreenshot", self._session, format="png")["data"]
        return data


@contextlib.contextmanager
def open_browser() -> Iterator[Browser]:
    """Start Chromium, end it afterwards with everything it started."""
    path = chromium()
    if path is None:
        raise FileNotFoundError("no Chromium; on Debian: apt install chromium")
    commands_read, commands_write = os.pipe()
    answers_read, answers_write = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = [*_FLAGS, f"--user-data-dir={profile}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        start = [sys.executable, "-c", _START, str(commands_read), str(answers_write)]
        process = subprocess.Popen(
            [*start, path, *flags],
            pass_fds=(commands_read, answers_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(commands_read)
        os.close(answers_write)
        browser = Browser(process, answers_read, commands_write)
        try:
            yield browser
        finally:
            with contextlib.suppress(OSError, RuntimeError, TimeoutError):
                browser.send("Browser.close", timeout_s=5)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()
            os.close(commands_write)
            os.close(answers_read)
