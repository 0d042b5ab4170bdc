"""A headless Chromium, driven over the DevTools protocol through a pipe: no driver, no port, no package."""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_KEYS = {
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "Tab": 9,
    " ": 32,
    "Delete": 46,
    "Enter": 13,
}

_TEXTS = {" ": " ", "Enter": "\r"}  # what a key writes, without which a button does not hear it

_NAMES = ("chromium", "chromium-browser", "google-chrome")
WITHOUT = "KERAS_VAE_NO_BROWSER"


def chromium() -> str | None:
    """The browser, where there is one."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


def require(there: Any, what: str) -> None:
    """Fail where something is missing that the page is tried with; skip where the environment asks for that.

    A suite that skips by itself on a machine without a browser would say of a broken page that it passed.
    """
    if WITHOUT in os.environ:
        pytest.skip(f"{WITHOUT} is set: the page is not tried in a browser")
    if not there:
        pytest.fail(
            f"The page is tested in a browser, which needs {what}. {WITHOUT}=1 skips these tests.", pytrace=False
        )


class Page:
    """One tab. `errors` collects what its console and its uncaught exceptions say."""

    def __init__(self, process: Any, write: int, read: int) -> None:
        self.process, self.sending, self.receiving = process, write, read
        self.count, self.buffer, self.errors, self.requests = 0, b"", [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self.call(f"{domain}.enable")

    session: str | None = None

    def call(self, method: str, timeout: float = 60, **parameters: Any) -> dict[str, Any]:
        """What the browser answers to a method of the protocol."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if self.session and not method.startswith("Target."):
            message["sessionId"] = self.session
        os.write(self.sending, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + timeout
        while True:
            answer = self._next(deadline)
            if answer.get("id") == self.count:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._event(answer)

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.receiving], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "Chromium did not answer in time."
            content = os.read(self.receiving, 1 << 20)
            assert content, "Chromium ended."
            self.buffer += content
        first, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(first)

    def _event(self, event: dict[str, Any]) -> None:
        method, given = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.errors.append(given["exceptionDetails"].get("exception", {}).get("description", str(given)))
        if method == "Log.entryAdded" and given["entry"]["level"] == "error":
            self.errors.append(f"{given['entry']['text']} {given['entry'].get('url', '')}")
        if method == "Network.requestWillBeSent":
            self.requests.append(given["request"]["url"])

    def size(self, width: int, height: int, phone: bool = False) -> None:
        """The screen: of a phone, with touch and a phone's pixels."""
        scale = 2 if phone else 1
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression: str, seconds: float = 300) -> Any:
        """Its value, once it is true."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if value := self.run(expression):
                return value
            time.sleep(0.05)
        raise AssertionError(f"After {seconds} s still false: {expression}. The page's errors: {self.errors}")

    def press(self, key: str, times: int = 1) -> None:
        """Press a key where the focus is."""
        known = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": _KEYS[key]}
        for _ in range(times):
            self.call(
                "Input.dispatchKeyEvent", type="keyDown", **known, **({"text": _TEXTS[key]} if key in _TEXTS else {})
            )
            self.call("Input.dispatchKeyEvent", type="keyUp", **known)

    def write(self, text: str) -> None:
        """Type text where the focus is."""
        self.call("Input.insertText", text=text)

    def choose(self, selector: str, files: list[Path]) -> None:
        """Choose files in a file input."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(file) for file in files], nodeId=node)

    def drag(self, points: list[tuple[float, float]]) -> None:
        """Move the mouse along points of the window, its button down."""
        for kind, (x, y) in zip(["mousePressed", *["mouseMoved"] * (len(points) - 1)], points, strict=True):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", x=points[-1][0], y=points[-1][1], button="left")

    def nodes(self) -> list[tuple[str, str, bool]]:
        """What a screen reader meets: role, name, and whether the focus can rest there."""
        found = []
        for node in self.call("Accessibility.getFullAXTree")["nodes"]:
            if not node.get("ignored"):
                focusable = any(
                    each["name"] == "focusable" and each["value"].get("value") for each in node["properties"]
                )
                found.append((node["role"]["value"], node.get("name", {}).get("value", ""), focusable))
        return found

    def picture(self, whole: bool = True) -> bytes:
        """A screenshot as a PNG's bytes, of the whole page or of what the screen shows."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"])


@contextlib.contextmanager
def served(server: Any) -> Iterator[str]:
    """The address of an HTTP server, which answers until the end of the block."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def page(*flags: str) -> Iterator[Page]:
    """A tab of a new browser that reaches this machine only."""
    browser = chromium()
    assert browser
    to_browser, from_us = os.pipe()
    to_us, from_browser = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        words = [
            browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--remote-debugging-pipe", f"--user-data-dir={profile}",
            "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost", *flags,
        ]  # fmt: skip
        # The protocol is spoken on descriptors 3 and 4, which only a shell can promise to a child.
        shell = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *words],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        try:
            yield Page(process, from_us, to_us)
        finally:
            process.terminate()
            try:
                process.wait(timeout=120)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.close(from_us)
            os.close(to_us)
