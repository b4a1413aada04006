from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

from support.numba_cache import numba_cache

# Before Numba is imported, which reads it once
os.environ.setdefault("NUMBA_CACHE_DIR", str(numba_cache()))

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from glitch_gym.picture import read_picture

GOLDEN = Path(__file__).parent / "golden"
FAILED = Path(__file__).parent / "failed"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Keep the tests out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLITCH_GYM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--remake-golden",
        action="store_true",
        help="write the golden pictures anew, to be looked at",
    )


@pytest.fixture(scope="session")
def chelsea() -> NDArray[np.uint8]:
    """A photograph of a cat, 300×451."""
    return read_picture("sample:chelsea").frame


@pytest.fixture(scope="session")
def small(chelsea: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same photograph at 240×160 pixels."""
    return np.asarray(Image.fromarray(chelsea).resize((240, 160), Image.Resampling.BOX))


@pytest.fixture
def heeds_ctrl_c():
    """Take Ctrl-C as a terminal's program does; one run in the background is told to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def keep_failed(name: str, frame: NDArray[np.uint8], expected: NDArray[np.uint8]) -> None:
    """Save a picture, the one that was expected, and where they differ."""
    FAILED.mkdir(exist_ok=True)
    Image.fromarray(frame).save(FAILED / f"{name}-picture.png")
    Image.fromarray(expected).save(FAILED / f"{name}-reference.png")
    if frame.shape == expected.shape:
        difference = np.abs(frame.astype(int) - expected).astype(np.uint8)
        Image.fromarray(difference).save(FAILED / f"{name}-difference.png")


@pytest.fixture
def golden(request: pytest.FixtureRequest):
    """Compare a frame with the golden picture of that name, byte for byte.

    Where they differ, both and their difference are left in ``tests/failed`` to be looked at.
    """

    def compare(name: str, frame: NDArray[np.uint8]) -> None:
        path = GOLDEN / f"{name}.png"
        if request.config.getoption("--remake-golden"):
            Image.fromarray(frame).save(path, optimize=True)
        with Image.open(path) as image:
            expected = np.asarray(image)
        if frame.shape != expected.shape or (frame != expected).any():
            keep_failed(name, frame, expected)
        np.testing.assert_array_equal(frame, expected)

    return compare


_LONGEST = 240
"""Seconds after which a test's browser is taken for dead."""


@pytest.fixture(scope="module")
def playwright():
    """The driver of a real browser."""
    from support.browser import driver, require_chromium

    require_chromium()
    with driver() as started:
        yield started


@pytest.fixture(scope="module")
def browsers(playwright):
    """Browsers of a module's tests, one for each set of arguments."""
    from support.browser import Browsers

    opened = Browsers(playwright)
    yield opened
    opened.close()


@pytest.fixture
def browser(browsers, request):
    """A browser; the contexts that a test opens in it are its own, and end with it.

    One that hangs is killed, so that the test fails and ends, and the next has another. A test that
    is parametrized with it can give further arguments to Chromium.
    """
    opened, process = browsers.get(tuple(getattr(request, "param", ())))
    clock = threading.Timer(_LONGEST, os.kill, [process, signal.SIGKILL])
    clock.start()
    yield opened
    clock.cancel()
    if opened.is_connected():
        for context in opened.contexts:
            context.close()
