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

__all__ = ["mark_cell", "replay", "replay_walk", "replay_walks"]

# What a cell is at present, in one number: its kind in the highest of four bytes, and if it is flat
# its colour, blue, green and red, in the others. From _FIRST_PLANE on the kind stands for plane
# number (kind - _FIRST_PLANE) // 2, in grey where that difference is odd.
_PIXELS = 0
_FLAT = 1
_FIRST_PLANE = 2
_KIND = 24
_COLOUR = 0xFFFFFF
_MAX_PLANES = 127

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
def _flat(red: int, green: int, blue: int) -> int:
    return (_FLAT << _KIND) | (blue << 16) | (green << 8) | red


@compiled
def _mean_of(
    pixels: NDArray[np.uint8], top: int, bottom: int, start: int, end: int, grey: bool
) -> int:
    """Mean colour of a block, as a flat cell."""
    red = green = blue = 0
    # Places are unsigned so that nothing asks whether they count from the end, and a row is summed
    # in 32 bits, which hold more than the widest there is: both halve the time
    for y in range(np.uint64(top), np.uint64(bottom)):
        r = g = b = np.uint32(0)
        if grey:
            for x in range(np.uint64(start), np.uint64(end)):
                r += np.uint32(
                    _grey(int(pixels[y, x, 0]), int(pixels[y, x, 1]), int(pixels[y, x, 2]))
                )
        else:
            for x in range(np.uint64(start), np.uint64(end)):
                r += np.uint32(pixels[y, x, 0])
                g += np.uint32(pixels[y, x, 1])
                b += np.uint32(pixels[y, x, 2])
        red += int(np.int64(r))
        green += int(np.int64(g))
        blue += int(np.int64(b))
    if grey:
        green = blue = red
    count = (bottom - top) * (end - start)
    return _flat(
        (2 * red + count) // (2 * count),
        (2 * green + count) // (2 * count),
        (2 * blue + count) // (2 * count),
    )


@compiled
def _mean_colour(
    cell: int,
    now: int,
    grid_cols: int,
    planes: NDArray[np.uint8],
    means: NDArray[np.uint32],
    out: NDArray[np.uint8],
    row_edges: NDArray[np.int32],
    col_edges: NDArray[np.int32],
) -> int:
    """Mean colour of a cell that is ``now``, but not flat; means of planes are kept."""
    kind = now >> _KIND
    row, col = cell // grid_cols, cell % grid_cols
    top, bottom = row_edges[row], row_edges[row + 1]
    start, end = col_edges[col], col_edges[col + 1]
    if kind == _PIXELS:
        return _mean_of(out, top, bottom, start, end, False)
    variant = kind - _FIRST_PLANE
    if means[variant, cell] == 0:
        plane = planes[variant // 2]
        means[variant, cell] = _mean_of(plane, top, bottom, start, end, variant % 2 == 1)
    return int(means[variant, cell])


@compiled
def _execute(
    cells: NDArray[np.int32],
    actions: NDArray[np.int32],
    resume: tuple[int, int],
    opcodes: NDArray[np.int64],
    plane_of: NDArray[np.int64],
    offsets: NDArray[np.int32],
    behind: NDArray[np.int64],
    border: NDArray[np.bool_],
    grid_cols: int,
    key: np.uint64,
    canvas: NDArray[np.uint32],
    planes: NDArray[np.uint8],
    means: NDArray[np.uint32],
    out: NDArray[np.uint8],
    row_edges: NDArray[np.int32],
    col_edges: NDArray[np.int32],
) -> tuple[int, int]:
    """Execute stamps from ``resume`` on until all are done or one needs its plain function.

    Cells and actions are (steps, agents). Gives the place of the stamp that needs Python, or
    (steps, 0) at the end.
    """
    first_step, first_agent = resume
    for step in range(first_step, cells.shape[0]):
        for agent in range(first_agent, cells.shape[1]):
            cell = int(cells[step, agent])
            if cell < 0:
                continue
            action = actions[step, agent]
            opcode = opcodes[action]
            if opcode == _SAME:
                left = cell - behind[action]
                if border[cell]:
                    left = _cell_left(
                        cell, offsets[action, 0], offsets[action, 1], grid_cols,
                        row_edges.shape[0] - 1, col_edges.shape[0] - 1,
                    )  # fmt: skip
                now = int(canvas[left])
                # Told apart here, and not in _mean_colour, because most cells are flat already
                if now >> _KIND != _FLAT:
                    now = _mean_colour(
                        left, now, grid_cols, planes, means, out, row_edges, col_edges
                    )
                canvas[cell] = now
            elif opcode == _RANDOM:
                colour = int(draw(stream(key, agent), step) & np.uint64(_COLOUR))
                canvas[cell] = (_FLAT << _KIND) | colour
            elif opcode == _PLANE:
                canvas[cell] = (_FIRST_PLANE + 2 * plane_of[action]) << _KIND
            elif opcode == _DESATURATE:
                now = int(canvas[cell])
                kind = now >> _KIND
                if kind == _FLAT:
                    grey = _grey(now & 255, (now >> 8) & 255, (now >> 16) & 255)
                    canvas[cell] = _flat(grey, grey, grey)
                elif kind == _PIXELS:
                    row, col = cell // grid_cols, cell % grid_cols
                    _turn_grey(
                        out, out, row_edges[row], row_edges[row + 1], col_edges[col],
                        col_edges[col + 1],
                    )  # fmt: skip
                elif (kind - _FIRST_PLANE) % 2 == 0:
                    canvas[cell] = (kind + 1) << _KIND
            elif opcode in (_PIXELATE, _INVERT):
                now = int(canvas[cell])
                if now >> _KIND != _FLAT:
                    now = _mean_colour(
                        cell, now, grid_cols, planes, means, out, row_edges, col_edges
                    )
                canvas[cell] = now ^ _COLOUR if opcode == _INVERT else now
            else:
                return step, agent
        first_agent = 0
    return cells.shape[0], 0


@compiled
def _cell_left(
    cell: int, row_offset: int, col_offset: int, grid_cols: int, n_rows: int, n_cols: int
) -> int:
    """The cell that a move came from.

    An agent that is drawn into a border cell may come from off the picture: then it is the cell
    itself.
    """
    row, col = cell // grid_cols - row_offset, cell % grid_cols - col_offset
    if row < 0 or row >= n_rows or col < 0 or col >= n_cols:
        return cell
    return row * grid_cols + col


@compiled
def _turn_grey(
    source: NDArray[np.uint8],
    out: NDArray[np.uint8],
    top: int,
    bottom: int,
    start: int,
    end: int,
) -> None:
    for y in range(np.uint64(top), np.uint64(bottom)):
        for x in range(np.uint64(start), np.uint64(end)):
            grey = np.uint8(_grey(int(source[y, x, 0]), int(source[y, x, 1]), int(source[y, x, 2])))
            out[y, x, 0] = grey
            out[y, x, 1] = grey
            out[y, x, 2] = grey


@compiled
def _paint(
    cell: int,
    grid_cols: int,
    canvas: NDArray[np.uint32],
    planes: NDArray[np.uint8],
    out: NDArray[np.uint8],
    row_edges: NDArray[np.int32],
    col_edges: NDArray[np.int32],
) -> None:
    """Write the pixels of a cell into ``out``, where they are not there yet."""
    now = int(canvas[cell])
    kind = now >> _KIND
    # Plane 0 is the input, which the output began as; nothing makes a cell return to it
    if kind in (_PIXELS, _FIRST_PLANE):
        return
    row, col = cell // grid_cols, cell % grid_cols
    top, bottom = row_edges[row], row_edges[row + 1]
    start, end = col_edges[col], col_edges[col + 1]
    if kind == _FLAT:
        red, green, blue = np.uint8(now & 255), np.uint8(now >> 8 & 255), np.uint8(now >> 16 & 255)
        for y in range(np.uint64(top), np.uint64(bottom)):
            for x in range(np.uint64(start), np.uint64(end)):
                out[y, x, 0] = red
                out[y, x, 1] = green
                out[y, x, 2] = blue
    elif (kind - _FIRST_PLANE) % 2 == 1:
        _turn_grey(planes[(kind - _FIRST_PLANE) // 2], out, top, bottom, start, end)
    else:
        out[top:bottom, start:end] = planes[(kind - _FIRST_PLANE) // 2, top:bottom, start:end]


@compiled
def _paint_all(
    grid_cols: int,
    canvas: NDArray[np.uint32],
    planes: NDArray[np.uint8],
    out: NDArray[np.uint8],
    row_edges: NDArray[np.int32],
    col_edges: NDArray[np.int32],
) -> None:
    for row in range(row_edges.shape[0] - 1):
        for col in range(col_edges.shape[0] - 1):
            _paint(row * grid_cols + col, grid_cols, canvas, planes, out, row_edges, col_edges)


@compiled
def _survey(
    cells: NDArray[np.int32],
    actions: NDArray[np.int32],
    prohibited: NDArray[np.bool_],
    used: NDArray[np.bool_],
) -> int:
    """Note which actions are stamped; gives 1 for a cell that is none, 2 for an action, else 0."""
    for step in range(cells.shape[0]):
        for agent in range(cells.shape[1]):
            cell = cells[step, agent]
            if cell < 0:
                continue
            if cell >= prohibited.shape[0] or prohibited[cell]:
                return 1
            action = actions[step, agent]
            if action < 0 or action >= used.shape[0]:
                return 2
            used[action] = True
    return 0


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
    cells = np.ascontiguousarray(trajectories.cells.T, np.int32)
    indices = np.ascontiguousarray(trajectories.actions.T, np.int32)
    used = np.zeros(actions.n, np.bool_)
    wrong = _survey(cells, indices, grid.prohibited().ravel(), used)
    if wrong == 1:
        raise SettingError(
            f"a stamp lies outside the picture's {grid.picture_rows}×{grid.picture_cols} cells: "
            f"were the trajectories made for another grid?"
        )
    if wrong == 2:
        raise SettingError(f"a stamp has an action outside 0…{actions.n - 1}")
    given = dict(parameters or {})
    chosen = [get_effect(name) for name in actions.effects]
    settings = [given.get(effect.name) or effect.parameters() for effect in chosen]

    planes = [frame]
    plane_of = np.zeros(actions.n, np.int64)
    for index, (effect, own) in enumerate(zip(chosen, settings, strict=True)):
        these = slice(index * actions.n_moves, (index + 1) * actions.n_moves)
        if effect.plane is not None and used[these].any():
            plane_of[these] = len(planes)
            planes.append(_checked_plane(effect.name, effect.plane(frame, own), frame))
    stack = frame[None] if len(planes) == 1 else np.stack(planes)
    opcodes = np.repeat([int(effect.opcode) for effect in chosen], actions.n_moves)

    if len(planes) > _MAX_PLANES:
        raise SettingError(f"a layer can have at most {_MAX_PLANES - 1} effects with a plane")
    behind = actions.offsets.astype(np.int64) @ np.array([grid.cols, 1])
    border = np.ones(grid.n_cells, np.bool_)
    border.reshape(grid.rows, grid.cols)[1 : grid.picture_rows - 1, 1 : grid.picture_cols - 1] = (
        False
    )
    canvas = np.full(grid.n_cells, _FIRST_PLANE << _KIND, np.uint32)
    means = np.zeros((2 * len(planes), grid.n_cells), np.uint32)
    out = frame.copy()
    key = derive_key(seed, layer, "replay")
    place = (0, 0)
    while True:
        place = _execute(
            cells, indices, place, opcodes, plane_of, actions.offsets, behind, border, grid.cols,
            key, canvas, stack, means, out, row_edges, col_edges,
        )  # fmt: skip
        step, agent = place
        if step == len(cells):
            break
        cell, action = int(cells[step, agent]), int(indices[step, agent])
        index = action // actions.n_moves
        move = (int(actions.offsets[action, 0]), int(actions.offsets[action, 1]))
        left = _cell_left(cell, *move, grid.cols, grid.picture_rows, grid.picture_cols)
        for needed in (left, cell):
            _paint(needed, grid.cols, canvas, stack, out, row_edges, col_edges)
        here = _window(cell, grid.cols, row_edges, col_edges)
        made = chosen[index].function(
            Stamp(
                cell=out[here].copy(),
                left=out[_window(left, grid.cols, row_edges, col_edges)].copy(),
                plane=stack[plane_of[action]][here],
                move=move,
                key=int(draw(np.uint64(stream(key, agent)), step)),
            ),
            settings[index],
        )
        if made.dtype != np.uint8 or made.shape not in (out[here].shape, (3,)):
            raise SettingError(
                f"effect {chosen[index].name!r} gave {made.dtype} {made.shape} for a cell of "
                f"{out[here].shape}; it must give uint8 of that shape, or one colour (3,)"
            )
        out[here] = made
        canvas[cell] = _PIXELS << _KIND
        place = (step, agent + 1)
    _paint_all(grid.cols, canvas, stack, out, row_edges, col_edges)
    return out


def _window(
    cell: int, grid_cols: int, row_edges: NDArray[np.int32], col_edges: NDArray[np.int32]
) -> tuple[slice, slice]:
    row, col = divmod(cell, grid_cols)
    return slice(row_edges[row], row_edges[row + 1]), slice(col_edges[col], col_edges[col + 1])


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
    return replay_walks(frame, world, steps[:, :, 0], steps[:, :, 1], seed=seed)


def replay_walks(
    frame: NDArray[np.uint8],
    world: GridWorld,
    cells: NDArray[np.int32],
    actions: NDArray[np.int32],
    *,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """Execute the stamps of agents, given as int32 (agents, steps) of cell or −1, and action."""
    lengths = np.full(len(cells), cells.shape[1], np.int32)
    trajectories = Trajectories(cells, actions, lengths)
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
