"""One case: run in this process, and judged."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import resource
import shutil
import stat
import sys
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

from tests.fuzz.targets import Trial, draw

__all__ = ["BAD", "Result", "run_case"]

BAD = ("traceback", "crash", "hang", "memory", "half", "wrong", "changed", "unsaid")
"""Outcomes that must not be: the others are ok, refused, usage and heavy.

``half`` is something left where the output should be, or beside it; ``wrong`` an output that is not
what it claims to be, with exit code 0; ``changed`` a file of the user's that is not what it was;
``unsaid`` an error without a line that says what is wrong, or with more than a person reads.
"""

_MEMORY = 2 << 30
_LONGEST_LINE = 2_000
_MOST_LINES = 60
_WORK = 3_000_000
_DECODED = 200_000_000
"""Pixels; larger outputs are not decoded again."""

_LOST_UNSEEN = 4
"""Frames; so many may be missing at the end of a clip, whose length is known roughly."""


@dataclass(frozen=True)
class Result:
    """What became of a case.

    Args:
        number: of the case.
        target: its target.
        outcome: ok, refused (exit code 1), usage (2), heavy (not run), or one of ``BAD``.
        detail: what was drawn, and what went wrong.
        seconds: processor time that it took.
        megabytes: most memory that was in use.
    """

    number: int
    target: str
    outcome: str
    detail: str
    seconds: float = 0.0
    megabytes: float = 0.0


def run_case(number: int, seeds: Path, scratch: Path) -> Result:
    """Run a case and judge it; its folder is made and removed here.

    Args:
        number: of the case.
        seeds: made by ``make_seeds``.
        scratch: a folder for folders of cases.
    """
    folder = scratch / f"case-{number}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    home = Path.cwd()
    try:
        trial = draw(number, seeds, folder)
        os.environ["GLITCH_GYM_CACHE"] = str(folder / "cache")
        # Names without a folder, such as "-x.png", are the case's own too
        os.chdir(folder)
        began = _processor_seconds()
        _forget_peak()
        outcome, detail = _judge(trial, folder)
        spent = _processor_seconds() - began
        used = _peak_megabytes()
        if used * 1e6 > _MEMORY and outcome not in BAD:
            outcome, detail = "memory", f"{used:.0f} MB"
        return Result(number, trial.target, outcome, f"{trial.label} {detail}", spent, used)
    finally:
        os.chdir(home)
        shutil.rmtree(folder, ignore_errors=True)


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_megabytes() -> float:
    with contextlib.suppress(OSError, TypeError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        if found:
            return int(found[1]) / 1000
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def _snapshot(folder: Path) -> dict[str, str]:
    """Hash every file below a folder, but for the cache, which is the program's own."""
    found = {}
    for root, _, names in os.walk(folder):
        if Path(root) == folder / "cache" or folder / "cache" in Path(root).parents:
            continue
        for name in names:
            path = os.path.join(root, name)  # noqa: PTH118
            with contextlib.suppress(OSError):
                # Opening a FIFO would wait for somebody to write into it
                if stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
                    content = Path(path).read_bytes()
                    found[path] = hashlib.blake2b(content).hexdigest()
    return found


def _judge(trial: Trial, folder: Path) -> tuple[str, str]:
    if trial.recipe is not None and _is_heavy(trial.recipe):
        return "heavy", ""
    before = _snapshot(folder)
    code, said, raised = _run(trial)
    after = _snapshot(folder)
    output = os.fspath(trial.output)
    changed = {path for path, digest in before.items() if after.get(path) != digest}
    if code == 0 and "--force" in trial.arguments:
        changed -= {output}
    if changed:
        return "changed", f"{min(changed)} after: {said[:200]}"
    new = [path for path in after if path not in before]
    if raised:
        return "traceback", raised
    if code not in (0, 1, 2):
        return "traceback", f"exit code {code}: {said[-300:]}"
    if "Traceback" in said:
        return "traceback", said[-300:]
    if code != 0:
        if new and "kept" not in said:
            return "half", f"{new[0]} is left after: {said[:200]}"
        lines = said.splitlines()
        if not said.strip() or max(map(len, lines)) > _LONGEST_LINE or len(lines) > _MOST_LINES:
            return "unsaid", f"{len(lines)} lines, {len(said)} characters: {said[:200]!r}"
        return ("refused" if code == 1 else "usage"), said.strip()[:200]
    fault = _fault(trial, output, new, said)
    return ("wrong", fault) if fault else ("ok", said.strip()[-120:])


def _is_heavy(path: Path) -> bool:
    """Return whether a recipe that is right asks for more work than a case is worth."""
    from glitch_gym.errors import GlitchError
    from glitch_render.recipe.files import read_recipe
    from glitch_render.recipe.keyframes import highest

    try:
        recipe = read_recipe(path)
    except (GlitchError, Exception):
        # Whatever is wrong comes again when the case is run
        return False
    work = 0.0
    for layer in recipe.layers:
        cells = layer.grid[0] * layer.grid[1]
        work += layer.lifetime * (layer.iterations + highest(layer.agents)) + cells
    return work > _WORK


def _run(trial: Trial) -> tuple[int, str, str]:
    """Run a case: its exit code, what it said, and where it broke, if it did."""
    if not trial.arguments:
        return _load_table(trial.output)
    import typer.main

    from glitch_render.cli import app

    said = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace")
    plain = io.TextIOWrapper(io.BytesIO(), "utf-8")
    code, raised = 0, ""
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(plain):
        with warnings.catch_warnings():
            # As Python shows them when the program runs by itself
            warnings.simplefilter("default")
            try:
                typer.main.get_command(app).main(list(trial.arguments), prog_name="glitch-gym")
            except SystemExit as error:
                code = error.code if isinstance(error.code, int) else 0 if not error.code else 1
            except BaseException as error:
                raised = _place(error)
        said.flush()
        plain.flush()
    text = (said.buffer.getvalue() + plain.buffer.getvalue()).decode("utf-8", "backslashreplace")
    return code, text, raised


def _load_table(path: Path) -> tuple[int, str, str]:
    from glitch_agents.table_files import load_table
    from glitch_gym.errors import GlitchError

    try:
        load_table(path)
    except GlitchError as error:
        return 1, str(error), ""
    except BaseException as error:
        return 1, "", _place(error)
    return 0, "", ""


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [one for one in frames if "glitch_" in one.filename] or frames
    spot = f"{Path(ours[-1].filename).name}:{ours[-1].name}:{ours[-1].lineno}" if ours else "?"
    return f"{type(error).__name__} at {spot}: {str(error)[:120]}"


def _fault(trial: Trial, output: str, new: list[str], said: str) -> str:
    """Return what is wrong with what was written, or nothing."""
    if not trial.arguments:
        return ""
    mine = [path for path in new if path == output or path.startswith(output + os.sep)]
    strange = [path for path in new if path not in mine and not path.endswith(".npz")]
    if strange:
        return f"{strange[0]} is left beside the output"
    if not os.path.exists(output):  # noqa: PTH110
        return "there is no output"
    if os.path.isdir(output):  # noqa: PTH112
        for one in mine:
            fault = _picture_fault(one)
            if fault:
                return fault
        return "" if mine else "the folder is empty"
    suffix = Path(output).suffix.lower()
    claimed = re.search(r"\((\d+)×(\d+)(?:, (\d+) frames)?", said)
    if not claimed and trial.arguments[0] == "activation":
        return _picture_fault(output)
    if not claimed:
        return f"no size is said: {said[:100]}"
    size = (int(claimed[1]), int(claimed[2]))
    if claimed[3]:
        frames = int(claimed[3])
        fault = _clip_fault(output, suffix, size, frames)
        if not fault and trial.whole is not None and "warning" not in said:
            whole = _count(trial.whole)
            # 10 frames a second were asked for, of a clip of 5
            shown = frames / 2 if "10" in trial.arguments else frames
            if shown < whole - _LOST_UNSEEN:
                fault = f"{frames} frames of {whole}, and nothing is said"
        return fault
    fault = _picture_fault(output, size)
    if not fault and trial.whole is not None:
        fault = _silence_fault(trial, said)
    if not fault and trial.expected is not None:
        with Image.open(output) as one, Image.open(trial.expected) as other:
            if not np.array_equal(np.asarray(one), np.asarray(other)):
                fault = "the picture is not that of an undamaged cache"
    return fault


def _picture_fault(path: str, size: tuple[int, int] | None = None) -> str:
    try:
        with Image.open(path) as image:
            image.load()
            if size is not None and image.size != size:
                return f"{size} was said, it is {image.size}"
    except Exception as error:
        return f"the output cannot be read: {error}"
    return ""


def _silence_fault(trial: Trial, said: str) -> str:
    """Return a fault if a picture that was cut short inside its pixels was taken for whole."""
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    source = trial.arguments[1]
    with contextlib.suppress(Exception), Image.open(source) as cut:
        assert trial.whole is not None
        cut.load()
        with Image.open(trial.whole) as whole:
            shown, was = np.asarray(cut.convert("RGBA")), np.asarray(whole.convert("RGBA"))
            if shown.shape == was.shape and not np.array_equal(shown, was):
                return "a picture that was cut short was taken for whole"
    return ""


def _clip_fault(path: str, suffix: str, size: tuple[int, int], frames: int) -> str:
    import av

    if suffix in (".gif", ".webp", ".apng"):
        try:
            with Image.open(path) as image:
                shown = getattr(image, "n_frames", 1)
                for index in range(min(shown, 50)):
                    image.seek(index)
                    image.load()
                if image.size != size:
                    return f"{size} was said, it is {image.size}"
        except Exception as error:
            return f"the output cannot be read: {error}"
        # Encoders of animations join frames that are equal
        return "" if shown <= frames else f"{frames} frames were said, there are {shown}"
    if size[0] * size[1] * frames > _DECODED:
        return ""
    try:
        with av.open(path) as container:
            found = list(container.decode(video=0))
    except Exception as error:
        return f"the output cannot be read: {error}"
    if len(found) != frames:
        return f"{frames} frames were said, there are {len(found)}"
    if (found[0].width, found[0].height) != size:
        return f"{size} was said, it is {found[0].width}×{found[0].height}"
    return ""


def _count(path: Path) -> int:
    import av

    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))
