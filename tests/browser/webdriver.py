"""A real headless Chromium, driven through chromedriver with the standard library.

W3C WebDriver (https://www.w3.org/TR/webdriver2/) is JSON over HTTP: keys are real keys, and chromedriver passes DevTools commands
on for what the standard has no words for (a dark screen, a phone's size). ``chromium --dump-dom`` presses no keys; the selenium
package would be a dependency that brings a downloader of browsers along.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

KEYS = {"Tab": "\ue004", "Shift": "\ue008", "Enter": "\ue007", "Space": " "}
_FLAGS = ("--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
          "--disable-component-update", "--disable-sync", "--no-default-browser-check", "--hide-scrollbars",
          "--proxy-server=direct://", "--force-color-profile=srgb")
_ALONE = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class WebDriverError(Exception):
    """What chromedriver or the page answered instead of a result."""


class Browser:
    """One browser with one page. ``folder``: empty, for its profile and its log. ``more``: flags for Chromium."""

    def __init__(self, chromedriver: str, chromium: str, folder: Path, more: Sequence[str] = ()) -> None:
        self._log = folder / "chromedriver.log"
        with self._log.open("wb") as out:
            self._process = subprocess.Popen([chromedriver, "--port=0"], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self._session = ""
        try:
            self._base = f"http://127.0.0.1:{self._port()}"
            flags = [*_FLAGS, *more, f"--user-data-dir={folder / 'profile'}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
            wanted = {"goog:chromeOptions": {"binary": chromium, "args": flags},
                      "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
            self._session = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._session:
            self._ask("DELETE", f"/session/{self._session}")
        self._process.terminate()
        self._process.wait(30)

    def _port(self) -> int:
        for _ in range(300):
            match = re.search(r"started successfully on port (\d+)", self._log.read_text("utf-8", "replace"))
            if match:
                return int(match[1])
            try:
                self._process.wait(0.1)
                break
            except subprocess.TimeoutExpired:
                continue
        raise WebDriverError(f"chromedriver did not start: {self._log.read_text('utf-8', 'replace')}")

    def _ask(self, method: str, path: str, body: Optional[dict[str, Any]] = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with _ALONE.open(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise WebDriverError(error.read().decode("utf-8", "replace")) from None

    def _do(self, path: str, **body: Any) -> Any:
        return self._ask("POST", f"/session/{self._session}{path}", body)

    def open(self, url: str) -> None:
        """Load a page, and forget what was logged before."""
        self.messages()
        self.requests()
        self._do("/url", url=url)

    def run(self, script: str, *arguments: Any) -> Any:
        """The value that a function's body returns, run beside the page (its CSP does not hold for DevTools)."""
        return self._do("/execute/sync", script=script, args=list(arguments))

    def devtools(self, command: str, **parameters: Any) -> Any:
        return self._do("/goog/cdp/execute", cmd=command, params=parameters)

    def press(self, *keys: str) -> None:
        """Press keys at once, the last one with the others held."""
        names = [KEYS[key] for key in keys]
        actions = [{"type": "keyDown", "value": name} for name in names] + [{"type": "keyUp", "value": name} for name in reversed(names)]
        self._do("/actions", actions=[{"type": "key", "id": "keyboard", "actions": actions}])

    def screen(self, width: int, height: int, scheme: str = "light", colours: str = "none", motion: str = "reduce") -> None:
        """A screen of this size in CSS pixels, and what its user prefers."""
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if width < 600 else 1,
                      mobile=width < 600)
        self.devtools("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": motion},
            {"name": "forced-colors", "value": colours}])

    def picture(self, path: Path, whole: bool = True) -> None:
        """A PNG of the whole page, or of what the screen shows."""
        found = self.devtools("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def alert(self) -> str:
        """The text of an open dialogue. Raises WebDriverError when there is none."""
        return str(self._ask("GET", f"/session/{self._session}/alert/text"))

    def messages(self) -> list[str]:
        """What the console said since the last call: errors, warnings, violations of the policy."""
        return [f"{entry['level']}: {entry['message']}" for entry in self._do("/se/log", type="browser")]

    def requests(self) -> list[str]:
        """Addresses that were asked for since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self._do("/se/log", type="performance")]
        return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
