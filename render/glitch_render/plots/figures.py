"""Figures of what agents see, want and do.

The activation is drawn with Pillow alone. The other plots are matplotlib figures (extra ``plot``),
made without its global state, so that any thread can draw them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from glitch_agents.planning import state_values
from glitch_agents.policy import QTable
from glitch_gym.actions import MOVES
from glitch_gym.activation.base import Activation
from glitch_gym.dynamics import GridWorld
from glitch_gym.errors import MissingExtraError, unknown_name_error
from glitch_gym.grid import Grid
from glitch_gym.trajectories import Trajectories

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "activation_caption",
    "activation_overlay",
    "draw_grid",
    "figure_pixels",
    "new_figure",
    "plot_learning",
    "plot_paths",
    "plot_policy",
    "plot_rewards",
    "plot_values",
    "plot_visits",
    "require_matplotlib",
]

# Dark violet over magenta and orange to pale yellow, even in lightness
_HEAT = np.array(
    [
        (0.0, 8, 4, 30),
        (0.25, 84, 16, 110),
        (0.5, 188, 54, 84),
        (0.75, 249, 142, 20),
        (1.0, 252, 250, 170),
    ]
)


def activation_caption(activation: Activation) -> str:
    """Return the source of a map and, for a network, its predicted class."""
    if activation.class_index is None:
        return activation.source.replace("_", " ")
    name = activation.class_name or f"ImageNet class {activation.class_index}"
    return f"{activation.source}: {name} ({100 * (activation.probability or 0):.0f} %)"


def activation_overlay(frame: NDArray[np.uint8], activation: Activation) -> NDArray[np.uint8]:
    """Draw an activation map over its picture as a heat map, with a caption.

    Args:
        frame: uint8 (height, width, 3), RGB.
        activation: activation of the frame.

    Returns:
        uint8 (height, width, 3).
    """
    height, width = frame.shape[:2]
    resized = Image.fromarray(np.asarray(activation.map)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    heat = np.clip(np.asarray(resized, np.float32), 0, 1)
    colours = np.stack([np.interp(heat, _HEAT[:, 0], _HEAT[:, i]) for i in (1, 2, 3)], axis=-1)
    grey = frame @ np.array([0.299, 0.587, 0.114])
    mixed = 0.45 * grey[:, :, None] + 0.55 * colours
    image = Image.fromarray(mixed.astype(np.uint8))
    pen = ImageDraw.Draw(image)
    text = activation_caption(activation)
    size = max(10.0, min(height, width) / 22)
    font = ImageFont.load_default(size)
    while size > 8 and pen.textlength(text, font) > width - 2 * size:
        size *= 0.9
        font = ImageFont.load_default(size)
    x, y = size * 0.7, height - size * 1.7
    pen.text(
        (x, y), text, (255, 255, 255), font, stroke_width=max(1, int(size / 10)), stroke_fill=0
    )
    return np.asarray(image)


def draw_grid(frame: NDArray[np.uint8], grid: Grid) -> NDArray[np.uint8]:
    """Draw the lines of a grid over a picture, light on dark and dark on light.

    Args:
        frame: uint8 (height, width, 3), RGB; left unchanged.
        grid: the grid.

    Returns:
        uint8 (height, width, 3).

    Raises:
        GridError: the grid is finer than the frame.
    """
    row_edges, col_edges = grid.edges(*frame.shape[:2])
    lines = np.zeros(frame.shape[:2], np.bool_)
    lines[row_edges[1:-1]] = True
    lines[:, col_edges[1:-1]] = True
    drawn = frame.copy()
    below = drawn[lines].astype(np.int16)
    ink = np.where(below.mean(axis=1, keepdims=True) < 128, 255, 0)
    drawn[lines] = ((2 * below + 3 * ink) // 5).astype(np.uint8)
    return drawn


_INK, _PAPER = "#18181c", "#fafaf8"
_ARROWS = "#ffffff"


def require_matplotlib() -> None:
    """Check that matplotlib is installed, before any work is done.

    Raises:
        MissingExtraError: matplotlib is missing.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError("plots need matplotlib: pip install 'glitch-gym[plot]'") from error


def new_figure(width: float, height: float) -> Figure:
    """Return a figure of a size in inches, without a window."""
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((width, height), dpi=120, facecolor=_PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def figure_pixels(figure: Figure) -> NDArray[np.uint8]:
    """Draw a figure: uint8 (height, width, 3)."""
    canvas: Any = figure.canvas
    canvas.draw()
    return np.array(canvas.buffer_rgba())[:, :, :3]


def _over_picture(frame: NDArray[np.uint8], world: GridWorld, title: str) -> tuple[Figure, Any]:
    """Start a plot in cell coordinates over the darkened picture."""
    height, width = frame.shape[:2]
    wide = 9.0 if width >= height else 9.0 * width / height
    figure = new_figure(wide + 0.9, wide * height / width + 0.5)
    axes = figure.add_subplot()
    grid = world.grid
    extent = (-0.5, grid.picture_cols - 0.5, grid.picture_rows - 0.5, -0.5)
    grey = (frame @ np.array([0.299, 0.587, 0.114]) * 0.55).astype(np.uint8)
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255, extent=extent, aspect="auto")
    axes.set_title(title, color=_INK, loc="left", fontsize=11)
    axes.set(xlabel="column", ylabel="row")
    axes.locator_params(integer=True)
    return figure, axes


def plot_rewards(
    world: GridWorld, *, frame: NDArray[np.uint8] | None = None, action: str | None = None
) -> Figure:
    """Draw the reward field of each action, with effects in rows, moves in columns, and one scale.

    Args:
        world: world of the reward field.
        frame: uint8 (height, width, 3), RGB, over which a single action's field is drawn.
        action: single action to draw, such as ``same_left``; all by default.

    Raises:
        SettingError: the action is not in the world.
    """
    grid, actions = world.grid, world.actions
    if action is not None and action not in actions.names:
        raise unknown_name_error("action", action, actions.names)
    if action is not None and frame is not None:
        figure, axes = _over_picture(frame, world, f"reward of {action}")
        field = world.reward_field[: grid.picture_rows, : grid.picture_cols]
        extent = (-0.5, grid.picture_cols - 0.5, grid.picture_rows - 0.5, -0.5)
        shown = axes.imshow(
            field[:, :, actions.names.index(action)], cmap="inferno", extent=extent,
            aspect="auto", alpha=0.8, interpolation="nearest",
        )  # fmt: skip
        figure.colorbar(shown, ax=axes, label="reward", shrink=0.8)
        return figure
    rows, cols = len(actions.effects), actions.n_moves
    picture = world.reward_field[: grid.picture_rows, : grid.picture_cols]
    low, high = float(picture.min()), float(picture.max())
    side = 2.0
    tall = side * min(2.5, max(0.4, grid.picture_rows / grid.picture_cols))
    figure = new_figure(side * cols + 1.2, (tall + 0.32) * rows + 0.4)
    for index, name in enumerate(actions.names):
        axes = figure.add_subplot(rows, cols, index + 1)
        shown = axes.imshow(
            picture[:, :, index], cmap="inferno", vmin=low, vmax=high, aspect="auto",
            interpolation="nearest",
        )  # fmt: skip
        axes.set_title(name, color=_INK, fontsize=8)
        axes.set(xticks=[], yticks=[])
    figure.colorbar(shown, ax=figure.axes, label="reward", shrink=0.7, aspect=40)
    return figure


def plot_values(
    frame: NDArray[np.uint8], world: GridWorld, table: QTable, *, gamma: float = 0.95
) -> Figure:
    """Draw the value of each cell by the table, beside the exact optimum.

    Args:
        frame: uint8 (height, width, 3), RGB.
        world: world in which the table was learned.
        table: the learned table.
        gamma: discount factor of the optimum.
    """
    grid = world.grid
    best = state_values(world, gamma, 1e-6).reshape(grid.rows, grid.cols)
    own = table.values.reshape(grid.rows, grid.cols, -1).max(axis=2)
    shown = [one[: grid.picture_rows, : grid.picture_cols] for one in (own, best)]
    low, high = float(np.min(shown)), float(np.max(shown))
    height, width = frame.shape[:2]
    wide = 5.0 if width >= height else 5.0 * width / height
    figure = new_figure(2 * wide + 1.2, wide * height / width + 0.5)
    drawn: Any = None
    for place, (values, title) in enumerate(zip(shown, ("learned", "optimum"), strict=True), 1):
        axes = figure.add_subplot(1, 2, place)
        drawn = axes.imshow(values, cmap="viridis", vmin=low, vmax=high, aspect="auto")
        axes.set_title(f"value of cells: {title}", color=_INK, loc="left", fontsize=11)
        axes.set(xticks=[], yticks=[])
    figure.colorbar(drawn, ax=figure.axes, shrink=0.8)
    return figure


def plot_policy(
    frame: NDArray[np.uint8], world: GridWorld, table: QTable, *, arrows: int = 40
) -> Figure:
    """Draw the value map with arrows for the best moves, coloured by the best action's effect.

    Args:
        frame: uint8 (height, width, 3), RGB.
        world: world in which the table was learned.
        table: the learned table.
        arrows: largest number of arrows along the picture's longer side; a finer grid shows only
            some cells.
    """
    grid, actions = world.grid, world.actions
    figure, axes = _over_picture(frame, world, "value of cells, and best action")
    values = table.values.reshape(grid.rows, grid.cols, -1)
    values = values[: grid.picture_rows, : grid.picture_cols]
    extent = (-0.5, grid.picture_cols - 0.5, grid.picture_rows - 0.5, -0.5)
    shown = axes.imshow(
        values.max(axis=2), cmap="inferno", extent=extent, aspect="auto", alpha=0.55
    )
    figure.colorbar(shown, ax=axes, label="value", shrink=0.8)
    every = max(1, -(-max(grid.picture_rows, grid.picture_cols) // arrows))
    rows = np.arange(every // 2, grid.picture_rows, every)
    cols = np.arange(every // 2, grid.picture_cols, every)
    best = values[np.ix_(rows, cols)].argmax(axis=2)
    offsets = np.array([(row, col) for _, row, col in MOVES[: actions.n_moves]])
    moves = offsets[best % actions.n_moves]
    colours = _effect_colours(actions.effects)
    for number, (name, colour) in enumerate(colours.items()):
        row, col = np.nonzero(best // actions.n_moves == number)
        if not row.size:
            continue
        axes.quiver(
            cols[col], rows[row], moves[row, col, 1], -moves[row, col, 0], color=colour,
            scale=1.35 / every, scale_units="x", pivot="mid", width=0.0022, headwidth=4.5,
            label=name,
        )  # fmt: skip
    axes.set(xlim=extent[:2], ylim=extent[2:])
    figure.legend(
        loc="outside lower center", ncols=min(6, len(colours)), fontsize=9, facecolor="#3a3a44",
        labelcolor=_PAPER, edgecolor="none",
    )  # fmt: skip
    return figure


def _effect_colours(effects: Sequence[str]) -> dict[str, str]:
    """Return a colour for each effect that stands out on violet, orange and white."""
    wheel = ("#ffffff", "#4cc9f0", "#80ffdb", "#f72585", "#b8f35a", "#ffd166", "#c77dff", "#06d6a0")
    return {name: wheel[index % len(wheel)] for index, name in enumerate(effects)}


def plot_visits(frame: NDArray[np.uint8], world: GridWorld, trajectories: Trajectories) -> Figure:
    """Draw the number of stamps on each cell, on a logarithmic scale.

    Args:
        frame: uint8 (height, width, 3), RGB.
        world: world in which the agents walked.
        trajectories: trajectories of the agents.
    """
    require_matplotlib()
    from matplotlib.colors import LogNorm

    grid = world.grid
    counts = np.bincount(
        trajectories.cells[trajectories.cells >= 0], minlength=grid.n_cells
    ).reshape(grid.rows, grid.cols)[: grid.picture_rows, : grid.picture_cols]
    touched = float((counts > 0).mean())
    figure, axes = _over_picture(
        frame, world, f"stamps on each cell: {counts.sum():,}, on {100 * touched:.0f} % of cells"
    )
    extent = (-0.5, grid.picture_cols - 0.5, grid.picture_rows - 0.5, -0.5)
    shown = axes.imshow(
        np.ma.masked_equal(counts, 0), cmap="plasma", extent=extent, aspect="auto", alpha=0.85,
        norm=LogNorm(1, max(2, int(counts.max()))), interpolation="nearest",
    )  # fmt: skip
    figure.colorbar(shown, ax=axes, label="stamps", shrink=0.8)
    return figure


def plot_paths(
    frame: NDArray[np.uint8], world: GridWorld, trajectories: Trajectories, *, agents: int = 150
) -> Figure:
    """Draw the paths of some agents over the picture, from a dot at the start to brighter colours.

    Args:
        frame: uint8 (height, width, 3), RGB.
        world: world in which the agents walked.
        trajectories: trajectories of the agents.
        agents: number of agents to draw, evenly picked.
    """
    require_matplotlib()
    from matplotlib.collections import LineCollection

    grid, offsets = world.grid, world.actions.offsets
    picked = np.unique(np.linspace(0, len(trajectories.cells) - 1, agents).astype(int))
    figure, axes = _over_picture(
        frame, world, f"paths of {len(picked)} of {len(trajectories.cells):,} agents"
    )
    lines, ages, begins = [], [], []
    for agent in picked:
        for step in range(int(trajectories.lengths[agent])):
            cell, action = int(trajectories.cells[agent, step]), trajectories.actions[agent, step]
            if cell < 0:
                continue
            row, col = divmod(cell, grid.cols)
            left = (col - offsets[action, 1], row - offsets[action, 0])
            lines.append((left, (col, row)))
            ages.append(step)
            if step == 0:
                begins.append(left)
    drawn = LineCollection(lines, array=np.array(ages, float), cmap="plasma", linewidths=1.6)
    axes.add_collection(drawn)
    if begins:
        axes.scatter(*np.array(begins).T, s=7, color=_ARROWS, zorder=3)
    axes.set(xlim=(-0.5, grid.picture_cols - 0.5), ylim=(grid.picture_rows - 0.5, -0.5))
    figure.colorbar(drawn, ax=axes, label="step", shrink=0.8)
    return figure


def plot_learning(curves: Mapping[str, Sequence[tuple[int, float]]], title: str = "") -> Figure:
    """Draw learning curves: optimality by number of episodes.

    Args:
        curves: pairs (episodes, optimality) of each curve, by name.
        title: title of the figure.
    """
    figure = new_figure(8, 4.8)
    axes = figure.add_subplot()
    for name, points in curves.items():
        episodes, reached = np.array(points, float).T
        axes.plot(episodes, reached, marker="o", markersize=4, linewidth=2, label=name)
    axes.axhline(1, color="0.6", linewidth=0.8)
    axes.axhline(0, color="0.6", linewidth=0.8, linestyle=":")
    axes.set(xscale="log", xlabel="episodes", ylabel="optimality (random 0, optimum 1)")
    axes.set_title(title, color=_INK, loc="left", fontsize=11)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return figure
