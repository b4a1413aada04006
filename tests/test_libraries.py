from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "libraries.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"## ([^\n]+)\n|```python\n(.*?)```", PAGE, re.DOTALL)
NEEDED = {
    "Stable-Baselines3": "stable_baselines3",
    "sb3-contrib": "sb3_contrib",
    "Minari": "h5py",
    "d3rlpy": "d3rlpy",
}


def titled():
    """Return each snippet of the page with the library that it is about."""
    library, found = "", []
    for title, code in SNIPPETS:
        library = title or library
        if code:
            found.append(pytest.param(NEEDED[library], code, id=f"{library} {len(found)}"))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("module", "code"), titled())
def test_every_snippet_runs(module, code, tmp_path):
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"MINARI_DATASETS_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr


def test_every_file_that_the_page_names_is_there():
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
