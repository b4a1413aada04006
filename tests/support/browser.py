"""A real studio, and a real browser on it."""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.cookies import SimpleCookie
from pathlib import Path

import pytest

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome")
     if (found := shutil.which(name))), None,
)  # fmt: skip
WITHOUT_SANDBOX = ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
QUICK = """
seed = 3
activation = "edges"

[[layers]]
grid = [20, 30]
fit = "stretch"
iterations = 300
agents = 60

[layers.effects.same]
[layers.effects.invert]
"""
"""A recipe that takes no time."""

STACKS = Path(__file__).parent / "stacks"

WEBCAM = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


class Browsers:
    """Chromium, opened once for each set of arguments.

    Args:
        playwright: the driver.
    """

    def __init__(self, playwright):
        self._playwright = playwright
        self._opened = {}

    def get(self, arguments=()):
        """Return a browser and the id of its process; one that was killed is replaced."""
        found = self._opened.get(arguments)
        if found is None or not found[0].is_connected():
            browser = self._playwright.chromium.launch(
                executable_path=CHROMIUM, args=[*WITHOUT_SANDBOX, *WEBCAM, *arguments]
            )
            session = browser.new_browser_cdp_session()
            processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
            session.detach()
            (process,) = (one["id"] for one in processes if one["type"] == "browser")
            self._opened[arguments] = browser, process
        return self._opened[arguments]

    def close(self):
        for browser, _ in self._opened.values():
            browser.close()


@contextlib.contextmanager
def driver():
    """Start Playwright."""
    from playwright.sync_api import sync_playwright

    with pytest.MonkeyPatch.context() as patch:
        # At a real-time priority its Node was seen to spin in io_uring, and every browser to wait
        patch.setenv("UV_USE_IO_URING", "0")
        with sync_playwright() as started:
            yield started


def require_chromium():
    """Skip where there is no browser."""
    if CHROMIUM is None:
        pytest.skip("needs chromium: apt install chromium")
    pytest.importorskip("playwright")


def fetch(address, body=None, headers=None):
    """Fetch what is at an address: its status, and its bytes."""
    request = urllib.request.Request(address, body, headers or {})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@dataclass
class Studio:
    """A studio that is running.

    Args:
        process: of its server.
        port: that it listens on.
        folder: where its temporary files are.
        said: file with what it printed.
    """

    process: subprocess.Popen
    port: int
    folder: Path
    said: Path

    @property
    def origin(self):
        return f"http://127.0.0.1:{self.port}"

    @functools.cached_property
    def key(self):
        """The address with the token, as it was printed."""
        return re.search(r"open at (\S+)", self.said.read_text())[1]

    @functools.cached_property
    def _welcome(self):
        client = http.client.HTTPConnection("127.0.0.1", self.port)
        client.request("GET", self.key.removeprefix(self.origin))
        answer = client.getresponse()
        client.close()
        return answer

    @property
    def address(self):
        """Where the studio lies, without a slash at its end."""
        return self.origin + self._welcome.headers["Location"].rstrip("/")

    @property
    def cookie(self):
        """Name and value of the cookie."""
        (found,) = SimpleCookie(self._welcome.headers["Set-Cookie"]).values()
        return found.key, found.value

    def fetch(self, path, body=None, headers=None):
        """Fetch what is at a path of the studio, as its own page would."""
        own = {"Cookie": "=".join(self.cookie)}
        return fetch(self.address + path, body, own | (headers or {}))

    @functools.cached_property
    def handlers(self):
        """Numbers of the functions of the page, by the name of an element and of its event."""
        page = self.fetch("/")[1].decode()
        found, _ = json.JSONDecoder().raw_decode(page, page.index("gradio_config = ") + 16)
        names = {one["id"]: one["props"].get("elem_id") for one in found["components"]}
        # The first of those that listen to the same comes last here
        return {
            (names.get(element), event): handler["id"]
            for handler in reversed(found["dependencies"])
            for element, event in handler["targets"]
        }

    def join(self, tab, handler, data, event_data=None):
        """Send an event as a page would; gives the status and the answer."""
        event = {
            "session_hash": tab, "fn_index": self.handlers[handler], "data": data,
            "event_data": event_data,
        }  # fmt: skip
        body, headers = json.dumps(event).encode(), {"Content-Type": "application/json"}
        status, answer = self.fetch("/gradio_api/queue/join", body, headers)
        return status, json.loads(answer)

    def tell(self, tab, handler, data, event_data=None):
        """Send an event as a page would; gives all that was answered when it is done, as text."""
        status, answer = self.join(tab, handler, data, event_data)
        assert status == 200, answer
        address = f"{self.address}/gradio_api/queue/data?session_hash={tab}"
        request = urllib.request.Request(address, headers={"Cookie": "=".join(self.cookie)})
        said = []
        with urllib.request.urlopen(request, timeout=20) as lines:
            for line in lines:
                said.append(line.decode())
                if "process_completed" in said[-1] and answer["event_id"] in said[-1]:
                    break
        return "".join(said)

    def files(self):
        """What lies in the folder for temporary files."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def waits(self, until, seconds):
        """Wait until the temporary files are as ``until(files)`` wants them."""
        for _ in range(10 * seconds):
            if until(self.files()):
                return
            time.sleep(0.1)
        raise AssertionError(f"after {seconds} s there are {self.files()}\n{self.stacks()}")

    def stacks(self):
        """What the server printed, and where each of its threads stands."""
        if hasattr(signal, "SIGUSR1") and self.process.poll() is None:
            self.process.send_signal(signal.SIGUSR1)
            time.sleep(1)
        return self.said.read_text()[-20_000:]

    def stop(self, kind=signal.SIGINT):
        """Stop it as Ctrl-C does; gives its exit code."""
        self.process.send_signal(kind)
        return self.process.wait(30)


@contextlib.contextmanager
def studio(folder, *arguments, env=None, temporary=None):
    """Start a studio; its temporary files go into ``folder``."""
    temporary = temporary or folder / "temporary"
    temporary.mkdir(exist_ok=True)
    port, said = free_port(), folder / "said.txt"
    paths = os.pathsep.join(filter(None, (str(STACKS), os.environ.get("PYTHONPATH"))))
    with said.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "glitch_render.cli", "studio", "--no-browser",
             "--port", str(port), *map(str, arguments)],
            cwd=folder,
            env=os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": paths} | (env or {}),
            stdout=output,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    running = Studio(process, port, temporary, said)
    try:
        for _ in range(600):
            if "open at" in said.read_text() and fetch(running.origin)[0] == 403:
                break
            assert process.poll() is None, said.read_text()
            time.sleep(0.1)
        yield running
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


class Page:
    """A tab with the studio in it.

    Args:
        page: of playwright.
        studio: that it shows.
        query: of its address.
    """

    def __init__(self, page, studio, query=""):
        self.page = page
        self.studio = studio
        self.requests = []
        self.errors = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._heard)
        if query:
            name, value = studio.cookie
            page.context.add_cookies([{"name": name, "value": value, "url": f"{studio.address}/"}])
        page.goto(f"{studio.address}/{query}" if query else studio.key)
        page.wait_for_selector("#presets button")

    def _heard(self, message):
        if message.type == "error" and "ERR_" not in message.text:
            self.errors.append(message.text)

    def number(self):
        """Number of the picture that is shown."""
        return int(self.page.locator(".stage").get_attribute("data-number") or 0)

    @contextlib.contextmanager
    def shows_anew(self, timeout=60_000):
        """Wait until another picture is shown than before."""
        before = self.number()
        yield
        self.page.wait_for_function(
            "before => { const stage = document.querySelector('.stage');"
            " return stage && Number(stage.dataset.number || 0) > before"
            " && stage.dataset.kind !== 'empty'; }",
            arg=before,
            timeout=timeout,
        )

    def open(self, path):
        """Return a file to the upload."""
        with self.shows_anew():
            self.page.set_input_files("#source input[type=file]", str(path))

    def refuse(self, path, words):
        """Return a file that must be refused with these words."""
        self.tab("Picture")
        self.page.set_input_files("#source input[type=file]", str(path))
        return self.says(words)

    def says(self, words, where="#status", timeout=60_000):
        """Wait until the line of the status says words; gives the whole line."""
        line = self.page.locator(f"{where} .status")
        try:
            line.filter(has_text=re.compile(words)).wait_for(timeout=timeout)
        except Exception:
            shown = line.all_inner_texts()
            pytest.fail(f"{where} says {shown}, not {words!r}\n{self.studio.stacks()}")
        return line.inner_text()

    def sample(self, name):
        with self.shows_anew():
            self.page.click(f"#samples button[data-name={name}]")

    def tab(self, name):
        self.page.get_by_role("tab", name=name, exact=True).click()

    def picture(self):
        """The bytes of the picture that is shown."""
        address = self.page.locator(".stage img.after").get_attribute("src")
        return self.studio.fetch(f"/{address}")[1]

    def recipe(self):
        """The recipe as it is saved."""
        return self.studio.fetch(f"/recipe/{self.token()}")[1].decode()

    def token(self):
        """What the tab's own addresses have in them."""
        return self.page.locator(".stage img.after").get_attribute("src").split("/")[1]

    def export(self, folder, label=None, timeout=120_000):
        """Export, and save what comes of it; gives its path."""
        self.tab("Export")
        if label is not None:
            self.choose_format(label)
        with self.page.expect_download(timeout=timeout) as waiting:
            self.page.click("#export-button")
        path = folder / waiting.value.suggested_filename
        waiting.value.save_as(path)
        self.says("MB", "#exporting")
        return path

    def choose_format(self, label):
        self.page.get_by_label("Format").click()
        self.page.get_by_role("option", name=label, exact=True).click()

    def unfold(self):
        """Open every section of the layer's form."""
        self.page.eval_on_selector_all(
            ".layers details", "all => all.forEach(one => one.open = true)"
        )

    def write_recipe(self, text):
        self.tab("Recipe")
        self.page.get_by_label("Recipe, as TOML").fill(text)

    def slide(self, label, value):
        """Move a slider of the form to a place in 0…1000."""
        self.page.get_by_label(f"{label}, slider", exact=True).evaluate(
            "(slider, value) => { slider.value = value;"
            " slider.dispatchEvent(new Event('input', { bubbles: true })); }",
            value,
        )
