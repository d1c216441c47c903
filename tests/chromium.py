"""A headless Chromium of a test's own, by its debugging pipe: no port, no driver, no network."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

__all__ = ["Chromium", "chromium"]

_PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
_WAIT_S: Final = 40
# Chromium reads commands from file descriptor 3 and answers on 4.
_ON_PIPES: Final = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); "
    "os.execv(sys.argv[3], sys.argv[3:])"
)
_OPTIONS: Final = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--remote-debugging-pipe", "about:blank"),
)
_KEYS: Final = {"Enter": "\r", "ArrowDown": "", "ArrowUp": "", "Escape": ""}


class Chromium:
    """Made by ``chromium``; it has one page."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        self._read = b""
        self._number = 0
        self._session = ""
        self._loaded = 0
        self.errors: list[str] = []
        """The exceptions, the errors of the console, and what a policy refused."""
        self.requests: list[str] = []
        """The addresses that pages requested."""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Open a page, and wait until it is loaded."""
        self._loaded = 0
        answer = self._call("Page.navigate", url=url)
        assert "errorText" not in answer, answer
        self._until(lambda: self._loaded > 0)

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def type(self, text: str) -> None:
        """Type characters."""
        for character in text:
            self._call("Input.dispatchKeyEvent", type="keyDown", text=character, key=character)
            self._call("Input.dispatchKeyEvent", type="keyUp", key=character)

    def press(self, key: str) -> None:
        """Press a key by its name."""
        code = {"Enter": 13, "Escape": 27, "ArrowUp": 38, "ArrowDown": 40}[key]
        down = {"key": key, "windowsVirtualKeyCode": code}
        text = {"text": _KEYS[key]} if _KEYS[key] else {}
        self._call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **down, **text)
        self._call("Input.dispatchKeyEvent", type="keyUp", **down)

    def follow(self, key: str) -> None:
        """Press a key that leads to another page, and wait until it is loaded."""
        self._loaded = 0
        self.press(key)
        self._until(lambda: self._loaded > 0)

    def resize(self, width: int, height: int = 900) -> None:
        """Set the size of the page in CSS pixels."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def prefer(self, scheme: str) -> None:
        """Prefer ``light`` or ``dark``, as the system's setting does."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._call("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, file: Path) -> None:
        """Write what the page shows as PNG."""
        import base64

        file.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"]))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._commands, data) :]
        found: list[dict[str, Any]] = []
        self._until(lambda: bool(found), self._number, found)
        assert "error" not in found[0], (method, found[0])
        result: dict[str, Any] = found[0]["result"]
        return result

    def _until(self, done: Any, number: int = 0, found: list[dict[str, Any]] | None = None) -> None:
        deadline = time.monotonic() + _WAIT_S
        while not done():
            message = self._next(deadline)
            if "method" in message:
                self._event(message["method"], message["params"])
            elif found is not None and message.get("id") == number:
                found.append(message)

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._read:
            ready, _, _ = select.select([self._answers], [], [], max(deadline - time.monotonic(), 0))
            assert ready, "Chromium does not answer"
            part = os.read(self._answers, 1 << 16)
            assert part, "Chromium has ended"
            self._read += part
        message, _, self._read = self._read.partition(b"\0")
        decoded: dict[str, Any] = json.loads(message)
        return decoded

    def _event(self, method: str, event: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded += 1
        elif method == "Network.requestWillBeSent":
            self.requests.append(event["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(event["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.errors.append(json.dumps(event["entry"]))
        elif method == "Runtime.consoleAPICalled" and event["type"] in ("error", "warning", "assert"):
            self.errors.append(json.dumps(event["args"]))


@contextmanager
def chromium() -> Generator[Chromium]:
    """Start Chromium, and yield it with an empty page.

    Skips the test if it is not installed.
    """
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory(prefix="plainsql-chromium-", ignore_cleanup_errors=True) as folder:
        (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", _ON_PIPES, str(theirs_in), str(theirs_out)),
                *(program, f"--user-data-dir={folder}", *_OPTIONS),
            ],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            yield Chromium(ours_out, ours_in)
        finally:
            os.close(ours_out)  # the end of the pipe ends Chromium
            os.close(ours_in)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
