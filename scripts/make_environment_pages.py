"""Write docs/environments/: a page for each environment, from its docstring, and its picture.

python scripts/make_environment_pages.py            # pages
python scripts/make_environment_pages.py --pictures # pictures too
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from pathlib import Path

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glitch_agents import ExactPlanner, rollout
from glitch_gym import GlitchClipEnv, GlitchGridEnv, GlitchPicturesEnv, draw_picture
from glitch_gym.ids import ENVIRONMENTS, Registered

FOLDER = Path(__file__).parent.parent / "docs" / "environments"
KINDS: dict[str, tuple[type[GlitchGridEnv], str, str]] = {
    "GlitchGrid": (GlitchGridEnv, "glitch_grid", "An agent on the optimal way through a picture"),
    "GlitchPictures": (GlitchPicturesEnv, "glitch_pictures", "Procedural pictures: train, test"),
    "GlitchClip": (GlitchClipEnv, "glitch_clip", "An agent that stays with a moving subject"),
}


def arguments(text: str) -> str:
    """Return the block of arguments of a docstring as a list."""
    items: list[str] = []
    for line in text.splitlines():
        named = re.fullmatch(r"    (\w+): (.*)", line)
        if named:
            items.append(f"- `{named[1]}`: {named[2]}")
        elif line.strip():
            items[-1] += " " + line.strip()
    return "\n".join(textwrap.fill(one, 105, subsequent_indent="  ") for one in items)


def description(env: type[GlitchGridEnv]) -> str:
    """Return an environment's docstring as Markdown."""
    text = inspect.cleandoc(env.__doc__ or "")
    before, _, after = text.partition("\nArgs:\n")
    listed, heading, rest = after.partition("\n## ")
    return f"{before}\n{arguments(listed)}\n\n{heading.strip()} {rest}".replace(
        "```\n\n-", "```\n\n-"
    )


def id_row(name: str, one: Registered) -> str:
    """Return an id's row of the table."""
    settings = ", ".join(f"{key}={value!r}" for key, value in one.settings.items())
    best = "" if one.reward_threshold is None else f"{one.reward_threshold:g}"
    return f"| `{name}` | `{settings}` | {best} |" if one.settings else f"| `{name}` | | {best} |"


def page(kind: str) -> str:
    """Return the page of an environment and its ids."""
    env, stem, caption = KINDS[kind]
    spec = gym.spec(f"{kind}-v0")
    made = gym.make(f"{kind}-v0")
    rows = [id_row(name, one) for name, one in ENVIRONMENTS.items() if name.startswith(f"{kind}-")]
    return "\n".join(
        [
            f"# {kind}",
            "",
            f"![{caption}]({stem}.webp)",
            "",
            "| | |",
            "|---|---|",
            f"| action space | `{made.action_space}` |",
            f"| observation space | `{made.observation_space}` |",
            f'| import | `import glitch_gym; gymnasium.make("{kind}-v0")` |',
            f'| many agents | `gymnasium.make_vec("{kind}-v0", num_envs=4096)`, compiled |',
            f"| class | `{env.__module__}.{env.__name__}` |",
            f"| steps | {spec.max_episode_steps or 20} |",
            "",
            description(env),
            "",
            "## Ids",
            "",
            "Each id stands for settings, which `gymnasium.make` can change like any others. The",
            "reward threshold is the exact optimum of the mean return within 20 steps, rounded",
            "down.",
            "",
            "| id | settings | reward threshold |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def walk(env: GlitchGridEnv, starts: list[int], steps: int) -> list[NDArray[np.uint8]]:
    """Draw the steps of the optimal policy, episode by episode."""
    policy = ExactPlanner(gamma=0.99).learn(env.world)
    frames = []
    for start in starts:
        trajectory = rollout(env.world, policy, np.array([start]), lifetime=steps, seed=start)
        cols, each = env.world.grid.cols, env.world.grid.n_cells
        options = {"cell": divmod(start, cols)}
        if isinstance(env, GlitchPicturesEnv):
            each = env.worlds[0].grid.n_cells
            options = {"picture": start // each, "cell": divmod(start % each, cols)}  # type: ignore[dict-item]
        env.reset(seed=0, options=options)
        for action in trajectory.actions[0, : trajectory.lengths[0]]:
            frames.append(env.render())
            _, _, terminated, _, _ = env.step(int(action))
            if terminated:
                break
        frames.append(env.render())
    return frames


def save_animation(frames: list[NDArray[np.uint8]], path: Path, size: tuple[int, int]) -> None:
    """Write an animated WebP."""
    drawn = [Image.fromarray(one).resize(size, Image.Resampling.LANCZOS) for one in frames]
    drawn[0].save(path, save_all=True, append_images=drawn[1:], duration=150, loop=0, quality=70)


def make_pictures() -> None:
    """Draw the pictures of the pages."""
    grid = GlitchGridEnv(objective="linger", render_mode="rgb_array")
    cells = grid.world.picture_cells
    starts = [int(cells[index]) for index in (3, len(cells) // 3, len(cells) - 4)]
    save_animation(walk(grid, starts, 14), FOLDER / "glitch_grid.webp", (256, 320))
    clip = GlitchClipEnv(objective="linger", render_mode="rgb_array")
    each = clip.worlds[0].grid.n_cells
    save_animation(walk(clip, [20, 9 * each + 130], 32), FOLDER / "glitch_clip.webp", (384, 256))
    halves = [
        np.vstack([np.hstack([draw_picture(row * 8 + col, split=split).frame for col in range(8)])
                   for row in range(3)])
        for split in ("train", "test")
    ]  # fmt: skip
    gap = np.full((8, halves[0].shape[1], 3), 255, np.uint8)
    Image.fromarray(np.vstack([halves[0], gap, halves[1]])).save(
        FOLDER / "glitch_pictures.webp", quality=80
    )


def main() -> None:
    """Write the pages, and the pictures where they are asked for."""
    FOLDER.mkdir(exist_ok=True)
    for kind, (_, stem, _) in KINDS.items():
        (FOLDER / f"{stem}.md").write_text(page(kind), encoding="utf-8")
    if "--pictures" in sys.argv[1:]:
        make_pictures()


if __name__ == "__main__":
    main()
