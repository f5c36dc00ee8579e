# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium, driven through a pipe by the DevTools protocol, which needs no package."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

PROGRAM = next((p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None)

_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--remote-debugging-pipe",
)
_KEYS = {"Tab": 9, "Enter": 13, " ": 32, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39}
_SECONDS = 90  # a busy machine starts a browser slowly


class Browser:
    """A browser with one page at a time.

    Args:
        profile: folder for what it keeps.

    Attributes:
        events: what the page has reported since it was opened.
    """

    def __init__(self, profile: Path) -> None:
        ours, theirs = zip(*(_high(*os.pipe()), _high(*os.pipe())[::-1]), strict=True)
        self._read, self._write = ours

        def connect() -> None:
            os.dup2(theirs[1], 3)  # the browser reads its orders from 3, and answers on 4
            os.dup2(theirs[0], 4)

        command = [str(PROGRAM), *_OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            command, pass_fds=(3, 4), preexec_fn=connect, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for descriptor in theirs:
            os.close(descriptor)
        self._left, self._number, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []

    def close(self) -> None:
        """Ends the browser."""
        self._send("Browser.close")
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)
        os.close(self._write)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Gives an order and waits for its answer."""
        number = self._send(method, **parameters)
        while True:
            message = self._receive()
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                return dict(message["result"])
            self.events.append(message)

    def open(self, page: Path, width: int = 1280, dark: bool = False) -> None:
        """Opens a page in a window of a width."""
        self._session = ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)
        self.events = []
        self.call("Page.navigate", url=page.as_uri())
        while not self.named("Page.loadEventFired"):
            self.events.append(self._receive())

    def named(self, method: str) -> list[dict[str, Any]]:
        """The events of a kind since the page was opened."""
        return [event["params"] for event in self.events if event.get("method") == method]

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def press(self, key: str, times: int = 1) -> None:
        """Presses a key as a person does, so that the browser itself acts on it."""
        text = {"Enter": "\r", " ": " "}.get(key)
        named = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": _KEYS[key]}
        for _ in range(times):
            self.call("Input.dispatchKeyEvent", type="keyDown", **named, **({"text": text} if text else {}))
            self.call("Input.dispatchKeyEvent", type="keyUp", **named)

    def _send(self, method: str, **parameters: Any) -> int:
        self._number += 1
        order: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session and not method.startswith(("Target.", "Browser.")):
            order["sessionId"] = self._session
        os.write(self._write, json.dumps(order).encode() + b"\0")
        return self._number

    def _receive(self) -> dict[str, Any]:
        end = time.monotonic() + _SECONDS
        while b"\0" not in self._left:
            if not select.select([self._read], [], [], max(end - time.monotonic(), 0))[0]:
                raise TimeoutError(f"the browser said nothing for {_SECONDS} s")
            if not (data := os.read(self._read, 1 << 20)):
                raise EOFError(f"the browser ended ({self._process.poll()})")
            self._left += data
        message, _, self._left = self._left.partition(b"\0")
        return dict(json.loads(message))


def _high(*descriptors: int) -> list[int]:
    """The same pipe under numbers above those that the browser is to have."""
    moved = [fcntl.fcntl(d, fcntl.F_DUPFD_CLOEXEC, 10) for d in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    return moved
