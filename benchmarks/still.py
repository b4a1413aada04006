"""Time a still by stage, and our replay and learner against plain NumPy in the same process.

    python benchmarks/still.py [--repeats 9]

The picture is scikit-image's astronaut, cropped and enlarged to 1920×1080. Everything is compiled
and loaded before the clock starts. Ratios are medians of ratios taken back to back, so that a noisy
neighbour slows both sides alike.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glitch_agents import QLearning, QTable, Trajectories, rollout
from glitch_gym import WorldSettings, make_world
from glitch_gym.activation import compute_activation
from glitch_gym.dynamics import GridWorld
from glitch_gym.memory import MEMORY
from glitch_gym.picture import read_picture
from glitch_render.engine.replay import replay
from glitch_render.episodes.episode import EpisodeLayer
from glitch_render.episodes.playback import replay_layer
from glitch_render.layers import layer_policy, layer_trajectories, layer_world
from glitch_render.media.pictures import encode_picture
from glitch_render.recipe.presets import load_preset

HEIGHT, WIDTH = 1080, 1920


def photograph() -> NDArray[np.uint8]:
    """Return the astronaut at 1920×1080."""
    image = Image.fromarray(read_picture("sample:astronaut").frame).crop((0, 20, 512, 308))
    return np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS))


def seconds(call: Callable[[], Any]) -> float:
    """Time one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def numpy_replay(
    frame: NDArray[np.uint8], world: GridWorld, trajectories: Trajectories
) -> NDArray[np.uint8]:
    """Replay as one would write it with NumPy: a loop over stamps, a slice for each."""
    out = frame.copy()
    row_edges, col_edges = world.grid.edges(*frame.shape[:2])
    colours = np.random.default_rng(0)
    for step in range(trajectories.cells.shape[1]):
        for agent in range(trajectories.cells.shape[0]):
            cell = trajectories.cells[agent, step]
            if cell < 0:
                continue
            action = trajectories.actions[agent, step]
            effect, _ = world.actions.decode(action)
            row, col = divmod(cell, world.grid.cols)
            block = out[row_edges[row] : row_edges[row + 1], col_edges[col] : col_edges[col + 1]]
            if effect == "same":
                row, col = row - world.actions.offsets[action][0], col
                col = col - world.actions.offsets[action][1]
                left = out[row_edges[row] : row_edges[row + 1], col_edges[col] : col_edges[col + 1]]
                block[:] = left.mean(axis=(0, 1))
            elif effect == "pixelate":
                block[:] = block.mean(axis=(0, 1))
            elif effect == "desaturate":
                block[:] = (block @ np.array([0.30, 0.59, 0.11]))[:, :, None]
            elif effect == "invert":
                block[:] = np.abs(block.mean(axis=(0, 1)) - 255)
            elif effect == "random":
                block[:] = colours.integers(256, size=3)
    return out


def numpy_q_learning(world: GridWorld, episodes: int, lifetime: int = 20) -> NDArray[np.float64]:
    """Q-learning as one would write it with NumPy: a loop over steps, argmax and max on rows."""
    rng = np.random.default_rng(0)
    q = np.zeros(world.next_state.shape)
    cells = world.picture_cells
    for _ in range(episodes):
        state = rng.choice(cells)
        for _ in range(lifetime):
            action = rng.integers(q.shape[1]) if rng.random() < 0.1 else np.argmax(q[state])
            there = world.next_state[state, action]
            target = world.rewards[state, action]
            if there >= 0:
                target += 0.95 * np.max(q[there])
            q[state, action] += 0.1 * (target - q[state, action])
            if there < 0:
                break
            state = there
    return q


def stages(preset: str, content: bytes) -> dict[str, float]:
    """Run a preset once on an encoded picture; seconds by stage."""
    recipe = load_preset(preset)
    spent: dict[str, float] = {}

    def timed(stage: str, call: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = call()
        spent[stage] = spent.get(stage, 0.0) + time.perf_counter() - began
        return result

    # What was remembered from the run before would hide what a new picture costs
    MEMORY.clear()
    frame = timed("read", lambda: np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))
    activation = timed("activation", lambda: compute_activation(frame, recipe.activation))
    for index, layer in enumerate(recipe.layers):
        world = timed(
            "reward",
            lambda layer=layer, index=index: layer_world(
                layer, index, activation, HEIGHT, WIDTH, seed=0
            ),
        )
        policy = timed(
            "learn",
            lambda layer=layer, index=index, world=world, frame=frame: layer_policy(
                layer, index, world, frame, seed=0
            ),
        )
        walked = timed(
            "rollout",
            lambda layer=layer, index=index, world=world, policy=policy: layer_trajectories(
                layer, index, world, policy, seed=0
            ),
        )
        frame = timed(
            "replay",
            lambda layer=layer, index=index, world=world, walked=walked, frame=frame: replay_layer(
                frame,
                EpisodeLayer(
                    world.grid,
                    world.actions,
                    walked,
                    {name: one.parameters for name, one in layer.effects.items()},
                ),
                index,
                0,
            ),
        )
    timed("write", lambda: encode_picture(frame, ".png", recipe=recipe))
    spent["together"] = sum(spent.values())
    return spent


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    frame = photograph()
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=95)

    presets = ("post-2", "post-4", "undertow")
    runs = {}
    for preset in presets:
        stages(preset, buffer.getvalue())
        runs[preset] = [stages(preset, buffer.getvalue()) for _ in range(repeats)]
    print(f"Milliseconds by stage at {WIDTH}×{HEIGHT}, warm, median of {repeats}\n")
    print(f"| stage | {' | '.join(presets)} |")
    print(f"|---|{'---|' * len(presets)}")
    for stage in runs[presets[0]][0]:
        medians = (
            1000 * statistics.median(run[stage] for run in runs[preset]) for preset in presets
        )
        print(f"| {stage} | {' | '.join(f'{value:.1f}' for value in medians)} |")

    effects = ["same", "pixelate", "desaturate", "invert", "random"]
    activation = compute_activation(frame)
    settings = WorldSettings((200, 100), effects, fit="stretch", orient="auto")
    world = make_world(activation, (HEIGHT, WIDTH), settings)
    rows = []
    for name, learner, episodes in (
        ("a policy near the optimum", QLearning(alpha=1.0, epsilon=1.0), 500_000),
        ("an untrained one (all effects alike)", None, 0),
    ):
        policy = (
            learner.learn(world, episodes=episodes)
            if learner
            else QTable(np.zeros(world.reward_field.shape, np.float32))
        )
        walked = rollout(world, policy, 20_000)

        def ours(walked: Trajectories = walked) -> NDArray[np.uint8]:
            return replay(frame, world.grid, world.actions, walked)

        ours()
        copies = [seconds(ours) / seconds(lambda: np.copy(frame)) for _ in range(4 * repeats)]
        rows.append(
            (f"replay, {walked.n_stamps:,} stamps by {name}, in np.copy of the frame", copies)
        )
        loops = [
            seconds(lambda walked=walked: numpy_replay(frame, world, walked)) / seconds(ours)
            for _ in range(max(1, repeats // 3))
        ]
        rows.append((f"NumPy-loop replay of the same, in ours (by {name})", loops))

    few, many = 300, 30_000
    # np.argmax takes the first of equals: so does ours here, that both do the same
    learner = QLearning(ties="first")
    learner.learn(world, episodes=many)
    ratios = [
        (seconds(lambda: numpy_q_learning(world, few)) / few)
        / (seconds(lambda: learner.learn(world, episodes=many)) / many)
        for _ in range(repeats)
    ]
    rows.append(("NumPy Q-learning, time per episode, in ours", ratios))
    steps = [many / seconds(lambda: learner.learn(world, episodes=many)) for _ in range(repeats)]
    print("\nRatios, median (and range), grid 200×100 with 20 actions\n")
    print("| what | ratio |")
    print("|---|---|")
    for name, values in rows:
        print(f"| {name} | {statistics.median(values):.1f} ({min(values):.1f}…{max(values):.1f}) |")
    print(f"\nOurs learns {statistics.median(steps):,.0f} episodes of up to 20 steps a second.")


if __name__ == "__main__":
    main()
