"""Replay: the stamps of trajectories, executed in time order on a frame.

The result is *defined* by running each effect's plain function on the pixels, stamp by stamp: step
by step, and within a step by agent. This engine keeps that order but not that work. While stamps
are executed a cell is a short note on where its pixels will come from: a whole-frame plane, a
colour, or the mean colour of some cell of a plane, inverted or in grey. Only at the end are means
taken and pixels written, each at most once. As the notes hold no pixels, those of a whole history
of stamps can be painted on any number of frames: that is how a clip keeps its trails.
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

__all__ = ["Canvas", "mark_cell", "replay", "replay_walk", "replay_walks"]

# A cell's note is one number. Its lowest 24 bits are a colour (blue, green, red) or a source cell,
# the next 8 say which kind of note it is, the next 8 which variant: variant 2p is plane p, variant
# 2p + 1 is plane p in grey. Plane 0 is the frame. The three highest are done to a mean colour one
# after another: inversion, grey, inversion. Grey after grey and inversion after inversion undo or
# repeat one another, so no history of the two needs more.
_LOW = 0xFFFFFF
_KIND = 24
_VARIANT = 32
_PIXELS, _COLOUR, _MEAN, _PLANE_PIECE = 0, 1, 2, 3
_INVERTED, _GREYED, _INVERTED_AFTER = 1 << 40, 1 << 41, 1 << 42
_GREY_PLANE = 1 << _VARIANT
_UNTOUCHED = _PLANE_PIECE << _KIND
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
def _packed(red: int, green: int, blue: int) -> int:
    return (blue << 16) | (green << 8) | red


@compiled
def _mean_of(
    pixels: NDArray[np.uint8], top: int, bottom: int, start: int, end: int, grey: bool
) -> int:
    """Mean colour of a block, packed."""
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
    return _packed(_rounded(red, count), _rounded(green, count), _rounded(blue, count))


@compiled
def _rounded(total: int, count: int) -> int:
    return (2 * total + count) // (2 * count)


@compiled
def _flattened(
    cell: int,
    note: int,
    grid_cols: int,
    out: NDArray[np.uint8],
    row_edges: NDArray[np.int32],
    col_edges: NDArray[np.int32],
) -> int:
    """Note the mean colour of a cell that is not flat."""
    if (note >> _KIND) & 255 == _PLANE_PIECE:
        return (note ^ ((_PLANE_PIECE ^ _MEAN) << _KIND)) | cell
    # Pixels may change again before the end: their mean is taken now
    row, col = cell // grid_cols, cell % grid_cols
    top, bottom = row_edges[row], row_edges[row + 1]
    start, end = col_edges[col], col_edges[col + 1]
    return (_COLOUR << _KIND) | _mean_of(out, top, bottom, start, end, False)


@compiled
def _execute(
    cells: NDArray[np.int32],
    actions: NDArray[np.int32],
    counters: NDArray[np.int64],
    resume: tuple[int, int],
    opcodes: NDArray[np.int64],
    plane_of: NDArray[np.int64],
    offsets: NDArray[np.int32],
    behind: NDArray[np.int64],
    border: NDArray[np.bool_],
    grid_cols: int,
    key: np.uint64,
    notes: NDArray[np.int64],
    out: NDArray[np.uint8],
    row_edges: NDArray[np.int32],
    col_edges: NDArray[np.int32],
) -> tuple[int, int]:
    """Execute stamps from ``resume`` on until all are done or one needs its plain function.

    Cells and actions are (steps, agents); counters (agents,) are the agents' own numbers of the
    first of these steps. Gives the place of the stamp that needs Python, or (steps, 0) at the end.
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
                note = notes[left]
                kind = (note >> _KIND) & 255
                # Told apart here, and not in _flattened, because most cells are flat already
                if kind in (_PIXELS, _PLANE_PIECE):
                    note = _flattened(left, note, grid_cols, out, row_edges, col_edges)
                notes[cell] = note
            elif opcode == _RANDOM:
                colour = np.int64(
                    draw(stream(key, agent), counters[agent] + step) & np.uint64(_LOW)
                )
                notes[cell] = (_COLOUR << _KIND) | colour
            elif opcode == _PLANE:
                notes[cell] = _UNTOUCHED | (plane_of[action] << (_VARIANT + 1))
            elif opcode == _DESATURATE:
                note = notes[cell]
                kind = (note >> _KIND) & 255
                if kind == _COLOUR:
                    grey = _grey(note & 255, (note >> 8) & 255, (note >> 16) & 255)
                    notes[cell] = (_COLOUR << _KIND) | _packed(grey, grey, grey)
                elif kind == _MEAN:
                    notes[cell] = note | _GREYED
                elif kind == _PLANE_PIECE:
                    notes[cell] = note | _GREY_PLANE
                else:
                    row, col = cell // grid_cols, cell % grid_cols
                    _turn_grey(
                        out, out, row_edges[row], row_edges[row + 1], col_edges[col],
                        col_edges[col + 1],
                    )  # fmt: skip
            elif opcode in (_PIXELATE, _INVERT):
                note = notes[cell]
                kind = (note >> _KIND) & 255
                if kind in (_PIXELS, _PLANE_PIECE):
                    note = _flattened(cell, note, grid_cols, out, row_edges, col_edges)
                    kind = (note >> _KIND) & 255
                if opcode == _INVERT:
                    if kind == _COLOUR:
                        note ^= _LOW
                    elif note & _GREYED != 0:
                        note ^= _INVERTED_AFTER
                    else:
                        note ^= _INVERTED
                notes[cell] = note
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
def _means_of_frame(
    frame: NDArray[np.uint8],
    row: int,
    needed: NDArray[np.bool_],
    grid_cols: int,
    row_edges: NDArray[np.int32],
    col_edges: NDArray[np.int32],
    sums: NDArray[np.uint32],
    means: NDArray[np.uint32],
) -> None:
    """Take the mean colours of those cells of a row of cells that are needed."""
    n_cols = col_edges.shape[0] - 1
    count = 0
    for col in range(n_cols):
        count += needed[row * grid_cols + col]
    top, bottom = row_edges[row], row_edges[row + 1]
    if 4 * count < n_cols:
        for col in range(n_cols):
            cell = row * grid_cols + col
            if needed[cell]:
                means[cell] = _mean_of(
                    frame, top, bottom, col_edges[col], col_edges[col + 1], False
                )
        return
    # Down the columns first: whole lines are added at once, and nothing hops over three channels
    lines = frame.reshape((frame.shape[0], -1))
    for place in range(np.uint64(sums.shape[0])):
        sums[place] = np.uint32(lines[top, place])
    for y in range(np.uint64(top) + np.uint64(1), np.uint64(bottom)):
        for place in range(np.uint64(sums.shape[0])):
            sums[place] += np.uint32(lines[y, place])
    for col in range(n_cols):
        cell = row * grid_cols + col
        if not needed[cell]:
            continue
        red = green = blue = 0
        start, end = col_edges[col], col_edges[col + 1]
        for x in range(np.uint64(start), np.uint64(end)):
            red += int(np.int64(sums[np.uint64(3) * x]))
            green += int(np.int64(sums[np.uint64(3) * x + np.uint64(1)]))
            blue += int(np.int64(sums[np.uint64(3) * x + np.uint64(2)]))
        size = (bottom - top) * (end - start)
        means[cell] = _packed(_rounded(red, size), _rounded(green, size), _rounded(blue, size))


@compiled
def _resolve(
    notes: NDArray[np.int64],
    grid_cols: int,
    frame: NDArray[np.uint8],
    planes: NDArray[np.uint8],
    row_edges: NDArray[np.int32],
    col_edges: NDArray[np.int32],
) -> None:
    """Turn every note of a mean colour into that colour."""
    n_variants = 2 * (planes.shape[0] + 1)
    used = np.zeros(n_variants, np.bool_)
    for cell in range(notes.shape[0]):
        if (notes[cell] >> _KIND) & 255 == _MEAN:
            used[(notes[cell] >> _VARIANT) & 255] = True
    means = np.empty(notes.shape[0], np.uint32)
    needed = np.empty(notes.shape[0], np.bool_)
    sums = np.empty(3 * frame.shape[1], np.uint32)
    for variant in range(n_variants):
        if not used[variant]:
            continue
        needed[:] = False
        for cell in range(notes.shape[0]):
            note = notes[cell]
            if (note >> _KIND) & 255 == _MEAN and (note >> _VARIANT) & 255 == variant:
                needed[note & _LOW] = True
        for row in range(row_edges.shape[0] - 1):
            if variant == 0:
                _means_of_frame(frame, row, needed, grid_cols, row_edges, col_edges, sums, means)
                continue
            for col in range(col_edges.shape[0] - 1):
                cell = row * grid_cols + col
                if needed[cell]:
                    source = frame if variant < 2 else planes[variant // 2 - 1]
                    means[cell] = _mean_of(
                        source, row_edges[row], row_edges[row + 1], col_edges[col],
                        col_edges[col + 1], variant % 2 == 1,
                    )  # fmt: skip
        for cell in range(notes.shape[0]):
            note = notes[cell]
            if (note >> _KIND) & 255 == _MEAN and (note >> _VARIANT) & 255 == variant:
                notes[cell] = (_COLOUR << _KIND) | _changed(int(means[note & _LOW]), note)


@compiled
def _changed(colour: int, note: int) -> int:
    """Do to a mean colour what its note says."""
    if note & _INVERTED != 0:
        colour ^= _LOW
    if note & _GREYED != 0:
        grey = _grey(colour & 255, (colour >> 8) & 255, (colour >> 16) & 255)
        colour = _packed(grey, grey, grey)
    if note & _INVERTED_AFTER != 0:
        colour ^= _LOW
    return colour


@compiled
def _paint(
    cell: int,
    note: int,
    grid_cols: int,
    frame: NDArray[np.uint8],
    planes: NDArray[np.uint8],
    out: NDArray[np.uint8],
    row_edges: NDArray[np.int32],
    col_edges: NDArray[np.int32],
) -> None:
    """Write the pixels of a cell that is no longer the frame's, but no mean colour."""
    kind = (note >> _KIND) & 255
    # The output began as the frame
    if kind == _PIXELS or note == _UNTOUCHED:
        return
    row, col = cell // grid_cols, cell % grid_cols
    top, bottom = row_edges[row], row_edges[row + 1]
    start, end = col_edges[col], col_edges[col + 1]
    if kind == _COLOUR:
        red, green, blue = (
            np.uint8(note & 255), np.uint8((note >> 8) & 255), np.uint8((note >> 16) & 255)
        )  # fmt: skip
        for y in range(np.uint64(top), np.uint64(bottom)):
            for x in range(np.uint64(start), np.uint64(end)):
                out[y, x, 0] = red
                out[y, x, 1] = green
                out[y, x, 2] = blue
        return
    variant = (note >> _VARIANT) & 255
    source = frame if variant < 2 else planes[variant // 2 - 1]
    if variant % 2 == 1:
        _turn_grey(source, out, top, bottom, start, end)
    else:
        for y in range(np.uint64(top), np.uint64(bottom)):
            for x in range(np.uint64(start), np.uint64(end)):
                for channel in range(3):
                    out[y, x, channel] = source[y, x, channel]


@compiled
def _paint_all(
    notes: NDArray[np.int64],
    grid_cols: int,
    frame: NDArray[np.uint8],
    planes: NDArray[np.uint8],
    out: NDArray[np.uint8],
    row_edges: NDArray[np.int32],
    col_edges: NDArray[np.int32],
) -> None:
    """Write the pixels of all cells; ``out`` may be the frame itself."""
    lines = out.reshape((out.shape[0], -1))
    n_cols = col_edges.shape[0] - 1
    for row in range(row_edges.shape[0] - 1):
        top, bottom = row_edges[row], row_edges[row + 1]
        col = 0
        while col < n_cols:
            cell = row * grid_cols + col
            if (notes[cell] >> _KIND) & 255 != _COLOUR:
                _paint(cell, notes[cell], grid_cols, frame, planes, out, row_edges, col_edges)
                col += 1
                continue
            # Flat neighbours: one line of them is written, and copied to the others
            first = col
            while col < n_cols and (notes[row * grid_cols + col] >> _KIND) & 255 == _COLOUR:
                note = notes[row * grid_cols + col]
                red, green, blue = (
                    np.uint8(note & 255), np.uint8((note >> 8) & 255), np.uint8((note >> 16) & 255)
                )  # fmt: skip
                for x in range(np.uint64(col_edges[col]), np.uint64(col_edges[col + 1])):
                    out[top, x, 0] = red
                    out[top, x, 1] = green
                    out[top, x, 2] = blue
                col += 1
            start, end = np.uint64(3 * col_edges[first]), np.uint64(3 * col_edges[col])
            for y in range(np.uint64(top) + np.uint64(1), np.uint64(bottom)):
                for place in range(start, end):
                    lines[y, place] = lines[np.uint64(top), place]


@compiled
def _planes_shown(notes: NDArray[np.int64], n_planes: int) -> NDArray[np.bool_]:
    """Say of each plane, the frame being the first, whether any cell's note points to it."""
    shown = np.zeros(n_planes, np.bool_)
    for cell in range(notes.shape[0]):
        if (notes[cell] >> _KIND) & 255 >= _MEAN:
            shown[(notes[cell] >> (_VARIANT + 1)) & 127] = True
    return shown


@compiled
def _survey(
    cells: NDArray[np.int32],
    actions: NDArray[np.int32],
    prohibited: NDArray[np.bool_],
    n_actions: int,
) -> int:
    """Give 1 for a stamp on a cell that is none, 2 for one with an action that is none, else 0."""
    for step in range(cells.shape[0]):
        for agent in range(cells.shape[1]):
            cell = cells[step, agent]
            if cell < 0:
                continue
            if cell >= prohibited.shape[0] or prohibited[cell]:
                return 1
            action = actions[step, agent]
            if action < 0 or action >= n_actions:
                return 2
    return 0


class Canvas:
    """What the stamps of a layer have made of each cell, to be painted on a frame or on many.

    Args:
        grid: over the frame.
        actions: what the indices of actions stand for.
        height: of the frames, in pixels.
        width: of the frames, in pixels.
        parameters: of effects, by name; the defaults for those not named.
        seed: of random colours.
        layer: number of the layer, part of their key.

    Raises:
        GridError: the grid is finer than the frame.
        SettingError: an effect is unknown, or there are too many that copy from planes.
    """

    def __init__(
        self,
        grid: Grid,
        actions: ActionSet,
        height: int,
        width: int,
        *,
        parameters: Mapping[str, EffectParameters] | None = None,
        seed: int = 0,
        layer: int = 0,
    ) -> None:
        self.grid = grid
        self.actions = actions
        self._edges = grid.edges(height, width)
        self._effects = [get_effect(name) for name in actions.effects]
        given = dict(parameters or {})
        self._settings = [given.get(one.name) or one.parameters() for one in self._effects]
        self._key = derive_key(seed, layer, "replay")
        self._opcodes = np.repeat([int(one.opcode) for one in self._effects], actions.n_moves)
        self._plane_effects = [
            index for index, one in enumerate(self._effects) if one.plane is not None
        ]
        if len(self._plane_effects) >= _MAX_PLANES:
            raise SettingError(f"a layer can have at most {_MAX_PLANES - 1} effects with a plane")
        self._plane_of = np.zeros(actions.n, np.int64)
        for plane, index in enumerate(self._plane_effects, 1):
            self._plane_of[index * actions.n_moves : (index + 1) * actions.n_moves] = plane
        self._behind = actions.offsets.astype(np.int64) @ np.array([grid.cols, 1])
        self._border = np.ones((grid.rows, grid.cols), np.bool_)
        self._border[1 : grid.picture_rows - 1, 1 : grid.picture_cols - 1] = False
        self._notes = np.full(grid.n_cells, _UNTOUCHED, np.int64)
        # Effects without an opcode need the pixels: their stamps wait for the frame
        self._waits = bool((self._opcodes == int(Opcode.CALL)).any())
        self._waiting: list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]] = []

    def clear(self) -> None:
        """Forget all stamps."""
        self._notes[:] = _UNTOUCHED
        self._waiting.clear()

    def stamp(
        self,
        cells: NDArray[np.int32],
        actions: NDArray[np.int32],
        counters: NDArray[np.int64] | None = None,
        *,
        check: bool = True,
    ) -> None:
        """Execute stamps after those that were executed before.

        Args:
            cells: int32 (steps, agents), flat indices of picture cells, or −1.
            actions: int32 (steps, agents).
            counters: int64 (agents,), which of its steps each agent takes first; by default 0.
            check: look for what there is not; a crowd on the same grid makes nothing wrong.

        Raises:
            SettingError: a cell or an action that there is not.
        """
        cells = np.ascontiguousarray(cells, np.int32)
        actions = np.ascontiguousarray(actions, np.int32)
        wrong = 0
        if check:
            wrong = _survey(cells, actions, self.grid.prohibited().ravel(), self.actions.n)
        if wrong == 1:
            raise SettingError(
                f"a stamp lies outside the picture's {self.grid.picture_rows}×"
                f"{self.grid.picture_cols} cells: were the trajectories made for another grid?"
            )
        if wrong == 2:
            raise SettingError(f"a stamp has an action outside 0…{self.actions.n - 1}")
        if counters is None:
            counters = np.zeros(cells.shape[1], np.int64)
        if self._waits:
            self._waiting.append((cells.copy(), actions.copy(), counters.copy()))
        else:
            self._run(cells, actions, counters, (0, 0), _NO_PIXELS)

    def paint(self, frame: NDArray[np.uint8]) -> None:
        """Paint what was stamped onto a frame, in place.

        Args:
            frame: uint8 (height, width, 3), contiguous, of the size that the canvas was made for.

        Raises:
            SettingError: an effect gives pixels of another shape or dtype.
        """
        if self._waits:
            self._paint_with_calls(frame)
            return
        planes = self._planes(frame, _planes_shown(self._notes, len(self._plane_effects) + 1))
        notes = self._notes.copy()
        _resolve(notes, self.grid.cols, frame, planes, *self._edges)
        _paint_all(notes, self.grid.cols, frame, planes, frame, *self._edges)

    def _run(
        self,
        cells: NDArray[np.int32],
        actions: NDArray[np.int32],
        counters: NDArray[np.int64],
        place: tuple[int, int],
        out: NDArray[np.uint8],
    ) -> tuple[int, int]:
        return _execute(
            cells, actions, counters, place, self._opcodes, self._plane_of, self.actions.offsets,
            self._behind, self._border.ravel(), self.grid.cols, self._key, self._notes, out,
            *self._edges,
        )  # fmt: skip

    def _planes(self, frame: NDArray[np.uint8], shown: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Make those of the effects' planes that are shown, (planes, height, width, 3)."""
        if not shown[1:].any():
            return np.empty((len(self._plane_effects), 0, 0, 3), np.uint8)
        planes = np.empty((len(self._plane_effects), *frame.shape), np.uint8)
        for plane, index in enumerate(self._plane_effects):
            make = self._effects[index].plane
            if shown[plane + 1] and make is not None:
                made = make(frame, self._settings[index])
                planes[plane] = _checked_plane(self._effects[index].name, made, frame)
        return planes

    def _paint_with_calls(self, out: NDArray[np.uint8]) -> None:
        """Execute the stamps that wait, with the pixels at hand for effects without an opcode."""
        frame = out.copy()
        used = np.zeros(self.actions.n, np.bool_)
        for cells, actions, _ in self._waiting:
            used[actions[cells >= 0]] = True
        by_effect: NDArray[np.bool_] = np.any(used.reshape(-1, self.actions.n_moves), axis=1)
        shown = np.array([True, *(by_effect[index] for index in self._plane_effects)])
        planes = self._planes(frame, shown)
        self._notes[:] = _UNTOUCHED
        for cells, actions, counters in self._waiting:
            place = (0, 0)
            while True:
                place = self._run(cells, actions, counters, place, out)
                step, agent = place
                if step == len(cells):
                    break
                self._call(
                    int(cells[step, agent]), int(actions[step, agent]), agent,
                    int(counters[agent]) + step, frame, planes, out,
                )  # fmt: skip
                place = (step, agent + 1)
        _resolve(self._notes, self.grid.cols, frame, planes, *self._edges)
        _paint_all(self._notes, self.grid.cols, frame, planes, out, *self._edges)

    def _call(
        self,
        cell: int,
        action: int,
        agent: int,
        counter: int,
        frame: NDArray[np.uint8],
        planes: NDArray[np.uint8],
        out: NDArray[np.uint8],
    ) -> None:
        """Let an effect's plain function do its stamp."""
        grid = self.grid
        index = action // self.actions.n_moves
        move = (int(self.actions.offsets[action, 0]), int(self.actions.offsets[action, 1]))
        left = _cell_left(cell, *move, grid.cols, grid.picture_rows, grid.picture_cols)
        for needed in (left, cell):
            note = int(self._notes[needed])
            if (note >> _KIND) & 255 == _MEAN:
                variant, source = (note >> _VARIANT) & 255, note & _LOW
                here = _window(source, grid.cols, *self._edges)
                read = frame if variant < 2 else planes[variant // 2 - 1]
                mean = _mean_of(
                    read, here[0].start, here[0].stop, here[1].start, here[1].stop,
                    variant % 2 == 1,
                )  # fmt: skip
                note = (_COLOUR << _KIND) | int(_changed(mean, note))
            _paint(needed, note, grid.cols, frame, planes, out, *self._edges)
        here = _window(cell, grid.cols, *self._edges)
        plane = planes[self._plane_of[action] - 1] if self._plane_of[action] else frame
        effect = self._effects[index]
        made = effect.function(
            Stamp(
                cell=out[here].copy(),
                left=out[_window(left, grid.cols, *self._edges)].copy(),
                plane=plane[here],
                move=move,
                key=int(draw(np.uint64(stream(self._key, agent)), counter)),
            ),
            self._settings[index],
        )
        if made.dtype != np.uint8 or made.shape not in (out[here].shape, (3,)):
            raise SettingError(
                f"effect {effect.name!r} gave {made.dtype} {made.shape} for a cell of "
                f"{out[here].shape}; it must give uint8 of that shape, or one colour (3,)"
            )
        out[here] = made
        self._notes[cell] = _PIXELS << _KIND


_NO_PIXELS = np.empty((0, 0, 3), np.uint8)


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
    canvas = Canvas(grid, actions, *frame.shape[:2], parameters=parameters, seed=seed, layer=layer)
    canvas.stamp(trajectories.cells.T, trajectories.actions.T)
    out = np.array(frame, order="C")
    canvas.paint(out)
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
