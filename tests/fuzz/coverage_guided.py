"""Coverage-guided fuzzing with atheris (extra ``fuzz``), of one reader at a time.

``python -m tests.fuzz.coverage_guided recipes -max_total_time=600`` goes on until it finds an error
that is not a ``GlitchError``; options after the target are libFuzzer's. Seeds are those of the
lane; a folder that is given as well takes the corpus that grows.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["PIL", "tomllib", "zipfile"]):
    import tomllib  # noqa: F401
    import zipfile  # noqa: F401

    import PIL.Image
    import PIL.PngImagePlugin  # noqa: F401

from glitch_agents.table_files import load_table
from glitch_gym.errors import GlitchError
from glitch_gym.picture import read_picture
from glitch_render.episodes import script
from glitch_render.episodes.episode import load_episode
from glitch_render.episodes.script import parse_script, script_episode
from glitch_render.media import metadata
from glitch_render.media.decode import decode
from glitch_render.media.footage import open_footage
from glitch_render.recipe import toml
from glitch_render.recipe.files import read_recipe
from glitch_render.recipe.toml import apply_settings, parse_recipe, read_toml
from tests.fuzz.seeds import RECIPE, SCRIPTS, make_seeds

# Of our own modules single functions: those that are compiled cannot be instrumented
for _function in (
    metadata.text_of_picture, toml._load_toml, toml.apply_settings, toml.line_of,
    script._words, script._split, script._walk, script.parse_script,
):  # fmt: skip
    atheris.instrument_func(_function)

_MOST_FRAMES = 50


def _recipe(data: bytes, path: Path) -> None:
    text = data.decode("utf-8", "replace")
    parse_recipe(read_toml(text, "recipe"), text=text)


def _setting(data: bytes, path: Path) -> None:
    parse_recipe(apply_settings(read_toml(RECIPE, "recipe"), [data.decode("utf-8", "replace")]))


def _script(data: bytes, path: Path) -> None:
    text = data.decode("utf-8", "replace")
    script_episode(parse_script(text), 40, 48, text=text)


def _clip(data: bytes, path: Path) -> None:
    footage = open_footage(str(path), duration=0.2)
    for number, _ in enumerate(decode(footage)):
        if number > _MOST_FRAMES:
            return


READERS: dict[str, tuple[Callable[[bytes, Path], object], str]] = {
    "recipes": (_recipe, "recipes"),
    "settings": (_setting, "settings"),
    "scripts": (_script, "scripts"),
    "pictures": (lambda data, path: read_picture(path), "pictures"),
    "carriers": (lambda data, path: read_recipe(path.with_suffix(".png")), "carriers"),
    "clips": (_clip, "clips"),
    "episodes": (lambda data, path: load_episode(path), "episodes"),
    "tables": (lambda data, path: load_table(path), "tables"),
}
"""By target: what reads an input, and the folder of its seeds."""


def _seeds(folder: Path) -> None:
    make_seeds(folder)
    texts = {"recipes": (RECIPE,), "settings": ("layers.1.agents=3",), "scripts": SCRIPTS}
    for name, written in texts.items():
        (folder / name).mkdir(exist_ok=True)
        for number, text in enumerate(written):
            (folder / name / f"{number}.txt").write_text(text)


def main() -> None:
    """Fuzz the reader that the first argument names."""
    if len(sys.argv) < 2 or sys.argv[1] not in READERS:
        sys.exit(f"usage: python -m tests.fuzz.coverage_guided {{{'|'.join(READERS)}}} [option …]")
    name = sys.argv.pop(1)
    read, kind = READERS[name]
    with tempfile.TemporaryDirectory(prefix="glitch-gym-fuzz-") as temporary:
        folder = Path(temporary)
        _seeds(folder / "seeds")
        grown = folder / "grown"
        grown.mkdir()
        path = folder / "input.npz" if kind in ("episodes", "tables") else folder / "input.png"

        def try_one(data: bytes) -> None:
            if kind not in ("recipes", "settings", "scripts"):
                path.write_bytes(data)
            try:
                read(data, path)
            except GlitchError:
                return

        given = [*sys.argv, "-rss_limit_mb=2048", "-timeout=20", str(grown)]
        atheris.Setup([*given, str(folder / "seeds" / kind)], try_one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
