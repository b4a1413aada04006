from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from glitch_gym.picture import read_picture

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Keep the tests out of the user's cache."""
    os.environ["GLITCH_GYM_CACHE"] = str(tmp_path_factory.mktemp("cache"))


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


@pytest.fixture
def golden(request: pytest.FixtureRequest):
    """Compare a frame with the golden picture of that name, byte for byte."""

    def compare(name: str, frame: NDArray[np.uint8]) -> None:
        path = GOLDEN / f"{name}.png"
        if request.config.getoption("--remake-golden"):
            Image.fromarray(frame).save(path, optimize=True)
        expected = np.asarray(Image.open(path))
        np.testing.assert_array_equal(frame, expected)

    return compare
