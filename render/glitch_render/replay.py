"""Replay: the stamps of trajectories, executed in time order on a frame.

The result is *defined* by running each effect's plain function on the pixels, stamp by stamp: step
by step, and within a step by agent. This engine keeps that order but not that work. A cell is one
flat colour, or a piece of a whole-frame plane with or without its colours, until something needs
its pixels; most stamps therefore touch a few bytes, and every pixel is written once, at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from glitch_agents.rollout import Trajectories
from glitch_gym.actions import ActionSet
from glitch_gym.compilation import compiled
from glitch_gym.dynamics import GridWorld
from glitch_gym.errors import SettingError
from glitch_gym.grid import Grid
from glitch_gym.picture import check_frame
from glitch_gym.randomness import derive_key, draw, stream
from glitch_render.effects import EffectParameters, Opcode, Stamp, get_effect

__all__ = ["mark_cell", "replay", "replay_walk"]

# What a cell is at present: pixels in the output, one flat colour, or from _FIRST_PLANE on
# plane number (state - _FIRST_PLANE) // 2, in grey where that difference is odd.
_PIXELS = 0
_FLAT = 1
_FIRST_PLANE = 2

_SAME = int(Opcode.SAME)
_PIXELATE = int(Opcode.PIXELATE)
_DESATURATE = int(Opcode.DESATURATE)
_INVERT = int(Opcode.INVERT)
_RANDOM = int(Opcode.RANDOM)
_PLANE = int(Opcode.PLANE)


@compiled
def _grey(red: int, green: int, blue: int) -> int:
    return (30 * red + 59 * green + 11 * blue + 50) // 100


@compiled
def _mean_of(
    pixels: NDArray[np.uint8],
    top: int,
    bottom: int,
    start: int,
    end: int,
    grey: bool,
    mean: NDArray[np.uint8],
) -> None:
    red = green = blue = 0
    for y in range(top, bottom):
        for x in range(start, end):
            r, g, b = int(pixels[y, x, 0]), int(pixels[y, x, 1]), int(pixels[y, x, 2])
            if grey:
                red += _grey(r, g, b)
            else:
                red += r
                green += g
                blue += b
    if grey:
        green = blue = red
    count = (bottom - top) * (end - start)
    mean[0] = np.uint8((2 * red + count) // (2 * count))
    mean[1] = np.uint8((2 * green + count) // (2 * count))
    mean[2] = np.uint8((2 * blue + count) // (2 * count))


@compiled
def _mean_colour(
    row: int,
    col: int,
    n_cols: int,
    state: NDArray[np.int16],
    colour: NDArray[np.uint8],
    planes: NDArray[np.uint8],
    means: NDArray[np.uint8],
    known: NDArray[np.bool_],
    out: NDArray[np.uint8],
    row_edges: NDArray[np.int32],
    col_edges: NDArray[np.int32],
    mean: NDArray[np.uint8],
) -> None:
    """Write the mean colour of a cell, as it is now, into ``mean``; means of planes are kept."""
    cell = row * n_cols + col
    kind = state[cell]
    if kind == _FLAT:
        mean[:] = colour[cell]
        return
    top, bottom = row_edges[row], row_edges[row + 1]
    start, end = col_edges[col], col_edges[col + 1]
    if kind == _PIXELS:
        _mean_of(out, top, bottom, start, end, False, mean)
        return
    variant = kind - _FIRST_PLANE
    if not known[variant, cell]:
        plane = planes[variant // 2]
        _mean_of(plane, top, bottom, start, end, variant % 2 == 1, means[variant, cell])
        known[variant, cell] = True
    mean[:] = means[variant, cell]


@compiled
def _execute(
    cells: NDArray[np.int32],
    actions: NDArray[np.int32],
    resume: tuple[int, int],
    opcodes: NDArray[np.int64],
    plane_of: NDArray[np.int64],
    offsets: NDArray[np.int32],
    grid_cols: int,
    key: np.uint64,
    state: NDArray[np.int16],
    colour: NDArray[np.uint8],
    planes: NDArray[np.uint8],
    means: NDArray[np.uint8],
    known: NDArray[np.bool_],
    out: NDArray[np.uint8],
    row_edges: NDArray[np.int32],
    col_edges: NDArray[np.int32],
) -> tuple[int, int]:
    """Execute stamps from ``resume`` on until all are done or one needs its plain function.

    Cells and actions are (steps, agents). Gives the place of the stamp that needs Python, or
    (steps, 0) at the end.
    """
    n_rows, n_cols = row_edges.shape[0] - 1, col_edges.shape[0] - 1
    mean = np.empty(3, np.uint8)
    first_step, first_agent = resume
    for step in range(first_step, cells.shape[0]):
        for agent in range(first_agent, cells.shape[1]):
            flat_index = cells[step, agent]
            if flat_index < 0:
                continue
            row, col = flat_index // grid_cols, flat_index % grid_cols
            cell = row * n_cols + col
            action = actions[step, agent]
            opcode = opcodes[action]
            if opcode == _SAME:
                left_row, left_col = row - offsets[action, 0], col - offsets[action, 1]
                # An agent drawn into a border cell may come from nowhere: it carries the cell's own
                if left_row < 0 or left_row >= n_rows or left_col < 0 or left_col >= n_cols:
                    left_row, left_col = row, col
                left = left_row * n_cols + left_col
                if state[left] == _FLAT:
                    colour[cell] = colour[left]
                else:
                    _mean_colour(
                        left_row, left_col, n_cols, state, colour, planes, means, known, out,
                        row_edges, col_edges, mean,
                    )  # fmt: skip
                    colour[cell] = mean
                state[cell] = _FLAT
            elif opcode in (_PIXELATE, _INVERT):
                if state[cell] != _FLAT:
                    _mean_colour(
                        row, col, n_cols, state, colour, planes, means, known, out,
                        row_edges, col_edges, mean,
                    )  # fmt: skip
                    colour[cell] = mean
                    state[cell] = _FLAT
                if opcode == _INVERT:
                    for channel in range(3):
                        colour[cell, channel] = np.uint8(255 - colour[cell, channel])
            elif opcode == _RANDOM:
                bits = draw(stream(key, agent), step)
                for channel in range(3):
                    colour[cell, channel] = np.uint8(
                        (bits >> np.uint64(8 * channel)) & np.uint64(255)
                    )
                state[cell] = _FLAT
            elif opcode == _DESATURATE:
                kind = state[cell]
                if kind == _FLAT:
                    grey = _grey(int(colour[cell, 0]), int(colour[cell, 1]), int(colour[cell, 2]))
                    colour[cell, :] = np.uint8(grey)
                elif kind == _PIXELS:
                    _turn_grey(
                        out, out, row_edges[row], row_edges[row + 1], col_edges[col],
                        col_edges[col + 1],
                    )  # fmt: skip
                elif (kind - _FIRST_PLANE) % 2 == 0:
                    state[cell] = kind + 1
            elif opcode == _PLANE:
                state[cell] = _FIRST_PLANE + 2 * plane_of[action]
            else:
                return step, agent
        first_agent = 0
    return cells.shape[0], 0


@compiled
def _turn_grey(
    source: NDArray[np.uint8],
    out: NDArray[np.uint8],
    top: int,
    bottom: int,
    start: int,
    end: int,
) -> None:
    for y in range(top, bottom):
        for x in range(start, end):
            grey = np.uint8(_grey(int(source[y, x, 0]), int(source[y, x, 1]), int(source[y, x, 2])))
            out[y, x, 0] = grey
            out[y, x, 1] = grey
            out[y, x, 2] = grey


@compiled
def _paint(
    state: NDArray[np.int16],
    colour: NDArray[np.uint8],
    planes: NDArray[np.uint8],
    out: NDArray[np.uint8],
    row_edges: NDArray[np.int32],
    col_edges: NDArray[np.int32],
    first: int,
    last: int,
) -> None:
    """Write the pixels of the cells [first, last) that are not in ``out`` yet."""
    n_cols = col_edges.shape[0] - 1
    for cell in range(first, last):
        kind = state[cell]
        # Plane 0 is the input, which the output began as; nothing makes a cell return to it
        if kind in (_PIXELS, _FIRST_PLANE):
            continue
        row, col = cell // n_cols, cell % n_cols
        top, bottom = row_edges[row], row_edges[row + 1]
        start, end = col_edges[col], col_edges[col + 1]
        if kind == _FLAT:
            red, green, blue = colour[cell, 0], colour[cell, 1], colour[cell, 2]
            for y in range(top, bottom):
                for x in range(start, end):
                    out[y, x, 0] = red
                    out[y, x, 1] = green
                    out[y, x, 2] = blue
            continue
        plane = planes[(kind - _FIRST_PLANE) // 2]
        if (kind - _FIRST_PLANE) % 2 == 1:
            _turn_grey(plane, out, top, bottom, start, end)
        else:
            for y in range(top, bottom):
                for x in range(start, end):
                    out[y, x, 0] = plane[y, x, 0]
                    out[y, x, 1] = plane[y, x, 1]
                    out[y, x, 2] = plane[y, x, 2]


def _check(trajectories: Trajectories, grid: Grid, n_actions: int) -> None:
    cells, actions = trajectories.cells, trajectories.actions
    stamped = cells >= 0
    if not stamped.any():
        return
    rows, cols = np.divmod(cells, grid.cols)
    inside = (rows < grid.picture_rows) & (cols < grid.picture_cols)
    if (stamped & ~inside).any():
        raise SettingError(
            f"a stamp lies outside the picture's {grid.picture_rows}×{grid.picture_cols} cells: "
            f"were the trajectories made for another grid?"
        )
    if (stamped & ((actions < 0) | (actions >= n_actions))).any():
        raise SettingError(f"a stamp has an action outside 0…{n_actions - 1}")


def replay(
    frame: NDArray[np.uint8],
    grid: Grid,
    actions: ActionSet,
    trajectories: Trajectories,
    *,
    parameters: Mapping[str, EffectParameters] | None = None,
    seed: int = 0,
    layer: int = 0,
) -> NDArray[np.uint8]:
    """Execute the stamps of trajectories on a frame.

    Args:
        frame: uint8 (height, width, 3), RGB; it is not changed.
        grid: as the trajectories were made on.
        actions: what the indices in the trajectories stand for.
        trajectories: of any number of agents and steps.
        parameters: of effects, by name; the defaults for those not named.
        seed: of random colours.
        layer: number of the layer, part of their key.

    Returns:
        uint8 (height, width, 3), a new array.

    Raises:
        PictureError: not a frame.
        GridError: the grid is finer than the frame.
        SettingError: the trajectories do not fit the grid or the actions, an effect is unknown,
            or an effect gives pixels of another shape or dtype.
    """
    check_frame(frame)
    frame = np.ascontiguousarray(frame)
    row_edges, col_edges = grid.edges(*frame.shape[:2])
    _check(trajectories, grid, actions.n)
    given = dict(parameters or {})
    chosen = [get_effect(name) for name in actions.effects]
    settings = [given.get(effect.name) or effect.parameters() for effect in chosen]

    cells = np.ascontiguousarray(trajectories.cells.T)
    indices = np.ascontiguousarray(trajectories.actions.T)
    used = np.zeros(actions.n, np.bool_)
    used[indices[cells >= 0]] = True
    planes = [frame]
    plane_of = np.zeros(actions.n, np.int64)
    for index, (effect, own) in enumerate(zip(chosen, settings, strict=True)):
        these = slice(index * actions.n_moves, (index + 1) * actions.n_moves)
        if effect.plane is not None and used[these].any():
            plane_of[these] = len(planes)
            planes.append(_checked_plane(effect.name, effect.plane(frame, own), frame))
    stack = frame[None] if len(planes) == 1 else np.stack(planes)
    opcodes = np.repeat([int(effect.opcode) for effect in chosen], actions.n_moves)

    n_cells = grid.picture_rows * grid.picture_cols
    state = np.full(n_cells, _FIRST_PLANE, np.int16)
    colour = np.zeros((n_cells, 3), np.uint8)
    means = np.empty((2 * len(planes), n_cells, 3), np.uint8)
    known = np.zeros((2 * len(planes), n_cells), np.bool_)
    out = frame.copy()
    key = derive_key(seed, layer, "replay")
    place = (0, 0)
    while True:
        place = _execute(
            cells, indices, place, opcodes, plane_of, actions.offsets, grid.cols, key, state,
            colour, stack, means, known, out, row_edges, col_edges,
        )  # fmt: skip
        step, agent = place
        if step == len(cells):
            break
        row, col = divmod(int(cells[step, agent]), grid.cols)
        action = int(indices[step, agent])
        effect = chosen[action // actions.n_moves]
        move = (int(actions.offsets[action, 0]), int(actions.offsets[action, 1]))
        left_row, left_col = row - move[0], col - move[1]
        if not (0 <= left_row < grid.picture_rows and 0 <= left_col < grid.picture_cols):
            left_row, left_col = row, col

        def pixels(row: int, col: int) -> NDArray[np.uint8]:
            cell = row * grid.picture_cols + col
            _paint(state, colour, stack, out, row_edges, col_edges, cell, cell + 1)
            if state[cell] != _FLAT:
                state[cell] = _PIXELS
            return out[row_edges[row] : row_edges[row + 1], col_edges[col] : col_edges[col + 1]]

        left, target = pixels(left_row, left_col), pixels(row, col)
        plane = stack[plane_of[action]]
        piece = plane[row_edges[row] : row_edges[row + 1], col_edges[col] : col_edges[col + 1]]
        bits = int(draw(stream(key, agent), step))
        made = effect.function(
            Stamp(target.copy(), left.copy(), piece, move, bits),
            settings[action // actions.n_moves],
        )
        if made.dtype != np.uint8 or made.shape not in (target.shape, (3,)):
            raise SettingError(
                f"effect {effect.name!r} gave {made.dtype} {made.shape} for a cell of "
                f"{target.shape}; it must give uint8 of that shape, or one colour (3,)"
            )
        target[:] = made
        state[row * grid.picture_cols + col] = _PIXELS
        place = (step, agent + 1)
    _paint(state, colour, stack, out, row_edges, col_edges, 0, n_cells)
    return out


def _checked_plane(
    name: str, plane: NDArray[np.uint8], frame: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    if plane.dtype != np.uint8 or plane.shape != frame.shape:
        raise SettingError(
            f"the plane of effect {name!r} is {plane.dtype} {plane.shape}, not uint8 {frame.shape}"
        )
    return plane


def replay_walk(
    frame: NDArray[np.uint8],
    world: GridWorld,
    walk: Sequence[tuple[int, int]],
    *,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """Execute the stamps of one agent, given as (cell or −1, action) for each step."""
    steps = np.array(walk, np.int32).reshape(1, -1, 2)
    lengths = np.array([len(walk)], np.int32)
    trajectories = Trajectories(steps[:, :, 0], steps[:, :, 1], lengths)
    return replay(frame, world.grid, world.actions, trajectories, seed=seed)


def mark_cell(frame: NDArray[np.uint8], grid: Grid, cell: int) -> None:
    """Draw a frame around a cell, white within black, in place; it shows on any picture.

    Args:
        frame: uint8 (height, width, 3).
        grid: over the frame.
        cell: flat index of a picture cell.
    """
    row_edges, col_edges = grid.edges(*frame.shape[:2])
    row, col = divmod(cell, grid.cols)
    top, bottom = int(row_edges[row]), int(row_edges[row + 1])
    start, end = int(col_edges[col]), int(col_edges[col + 1])
    thick = max(1, min(bottom - top, end - start) // 10)
    for grow, value in ((2 * thick, 0), (thick, 255)):
        y0, y1 = max(0, top - grow), min(frame.shape[0], bottom + grow)
        x0, x1 = max(0, start - grow), min(frame.shape[1], end + grow)
        frame[y0 : y0 + thick, x0:x1] = value
        frame[y1 - thick : y1, x0:x1] = value
        frame[y0:y1, x0 : x0 + thick] = value
        frame[y0:y1, x1 - thick : x1] = value
