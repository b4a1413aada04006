"""A canvas: what the stamps of a layer have made of each cell, for one frame or many."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glitch_gym.actions import ActionSet
from glitch_gym.compilation import compiled
from glitch_gym.errors import SettingError
from glitch_gym.grid import Grid
from glitch_gym.randomness import derive_key, draw_plainly, stream
from glitch_render.effects import Effect, EffectParameters, Opcode, Source, Stamp, get_effect
from glitch_render.engine.execute import execute
from glitch_render.engine.painting import paint_all, resolve, survey_notes, work_through
from glitch_render.engine.schedule import Section, at_once, in_order
from glitch_render.engine.symbols import (
    APPLY,
    CALL,
    DRAW,
    GREY,
    N_EXTRAS,
    N_FIELDS,
    ROOM,
    UNTOUCHED,
)

__all__ = ["MAX_LAG", "Canvas"]

MAX_LAG = 48
"""Frames of the past that an effect may ask for: each is held in memory."""

_MAX_PLANES = 127
_MAX_REGISTERS = 1 << 24
_N_SETTINGS = 16
# So little to do for a pixel that to share it costs as much
_LIGHT = (Opcode.POSTERIZE, Opcode.SOLARIZE, Opcode.SCANLINES)

_MANY_LEVELS = 8
"""Levels from which on another order than theirs is looked for."""

_WORTH_SHARING = 250_000
"""Pixels from which on it pays to share work among cores; a tenth of it for what is slow."""

# The same effect again changes nothing, whatever the move; pixels are sorted by the move
_SETTLED = (Opcode.DESATURATE, Opcode.POSTERIZE, Opcode.DITHER)
_SETTLED_BY_MOVE = (Opcode.PIXEL_SORT,)


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

    ``lag`` is how many frames of the past its effects can use, ``works`` whether some of them need
    the pixels of cells, so that their stamps cost work on every frame.

    Args:
        grid: over the frame.
        actions: what the indices of actions stand for.
        height: of the frames, in pixels.
        width: of the frames, in pixels.
        parameters: of effects, by name; the defaults for those not named.
        seed: of random draws.
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
        self.edges = grid.edges(height, width)
        self._effects = [get_effect(name) for name in actions.effects]
        given = dict(parameters or {})
        self._parameters = [given.get(one.name) or one.parameters() for one in self._effects]
        self._key = derive_key(seed, layer, "replay")
        planes_key = derive_key(seed, layer, "planes")
        self._plane_keys = [int(stream(planes_key, index)) for index in range(len(self._effects))]
        self._plane_effects = [
            index for index, one in enumerate(self._effects) if one.plane is not None
        ]
        if len(self._plane_effects) >= _MAX_PLANES:
            raise SettingError(f"a layer can have at most {_MAX_PLANES - 1} effects with a plane")
        self.lag = max(
            (_lag_of(*both) for both in zip(self._effects, self._parameters, strict=True)),
            default=0,
        )
        self._tell_actions()
        reach = int(np.abs(self._sources).max())
        self._border = np.ones((grid.rows, grid.cols), np.bool_)
        self._border[reach : grid.picture_rows - reach, reach : grid.picture_cols - reach] = False
        self._untouched = UNTOUCHED | np.arange(grid.n_cells, dtype=np.int64)
        cores = self._cores = os.cpu_count() or 1
        self._bands = [grid.picture_rows * core // cores for core in range(cores + 1)]
        self._light = bool(np.isin(self._opcodes, [int(code) for code in _LIGHT]).all())
        self._notes = np.empty(grid.n_cells, np.int64)
        self._sizes = np.zeros((grid.rows, grid.cols), np.int64)
        heights, widths = (np.diff(edges).astype(np.int64) for edges in self.edges)
        self._sizes[: grid.picture_rows, : grid.picture_cols] = (heights[:, None] << 32) | widths
        self._cells = np.zeros((grid.n_cells, 3), np.int32)
        self._work = np.empty((0, N_FIELDS), np.int32)
        self._extras = np.empty((0, N_EXTRAS), np.int64)
        self._registers = np.empty((0, 2), np.int64)
        self._counts = np.zeros(2, np.int64)
        # Effects that are symbols until the end need no list of work
        self.works = bool((self._opcodes >= int(Opcode.POSTERIZE)).any()) or bool(
            (self._opcodes == int(Opcode.CALL)).any()
        )
        self._sections: list[Section] | None = None
        self.clear()

    def _tell_actions(self) -> None:
        """Spread over the actions what their effects need in compiled code."""
        actions = self.actions
        n_moves = actions.n_moves
        self._opcodes = np.repeat([int(one.opcode) for one in self._effects], n_moves)
        self._plane_of = np.zeros(actions.n, np.int64)
        for plane, index in enumerate(self._plane_effects, 1):
            self._plane_of[index * n_moves : (index + 1) * n_moves] = plane
        self._sources = actions.offsets.astype(np.int64)
        self._settings = np.zeros((actions.n, _N_SETTINGS), np.int64)
        self._tags = np.zeros(actions.n, np.int64)
        for action in range(actions.n):
            index = action // n_moves
            effect, own = self._effects[index], self._parameters[index]
            if effect.source is not None:
                move = (int(actions.offsets[action, 0]), int(actions.offsets[action, 1]))
                self._sources[action] = np.negative(effect.source(own, move))
            if effect.settings is not None:
                numbers = effect.settings(own)
                self._settings[action, : len(numbers)] = numbers
            if effect.opcode in _SETTLED:
                self._tags[action] = index * n_moves + 1
            elif effect.opcode in _SETTLED_BY_MOVE:
                self._tags[action] = action + 1
        self._behind = self._sources @ np.array([self.grid.cols, 1])

    def stamped(self) -> NDArray[np.bool_]:
        """Say of each cell whether the stamps so far have changed it: (n_cells,)."""
        changed: NDArray[np.bool_] = self._notes != self._untouched
        return changed

    def clear(self) -> None:
        """Forget all stamps."""
        self._notes[:] = self._untouched
        if self._counts[0] > 0:
            self._cells[:] = 0
        self._counts[:] = 0
        self._sections = None

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
            SettingError: a cell or an action that there is not, or more steps than can be kept.
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
        self._sections = None
        place = (0, 0)
        while True:
            # Even symbols measure pixels, where those of other effects were turned grey
            self._make_room(cells.size if self.works else ROOM)
            place = execute(
                cells, actions, counters, place, self._opcodes, self._plane_of, self._tags,
                self._sources, self._behind, self._border.ravel(), self._sizes.ravel(),
                self.grid.cols, self.grid.picture_rows, self.grid.picture_cols, self._key,
                self._notes, self._cells, self._registers, self._work, self._extras,
                self._counts,
            )  # fmt: skip
            if place[0] == len(cells):
                return

    def _make_room(self, stamps: int) -> None:
        """Lengthen the lists of work and registers where they are nearly full."""
        wanted = max(64, 2 * len(self._work), min(stamps, 1 << 20) + ROOM)
        if self._counts[0] + ROOM > len(self._work):
            self._work = _lengthened(self._work, int(self._counts[0]), wanted)
            self._extras = _lengthened(self._extras, int(self._counts[0]), wanted)
        if self._counts[1] + ROOM > len(self._registers):
            if len(self._registers) >= _MAX_REGISTERS:
                raise SettingError("too many steps are kept: set the layer's trail")
            wanted = max(wanted, 2 * len(self._registers))
            self._registers = _lengthened(self._registers, int(self._counts[1]), wanted)

    def paint(
        self,
        frame: NDArray[np.uint8],
        *,
        earlier: Sequence[NDArray[np.uint8]] = (),
        moment: int = 0,
    ) -> None:
        """Paint what was stamped onto a frame, in place.

        Args:
            frame: uint8 (height, width, 3), contiguous, of the size that the canvas was made for.
            earlier: likewise, frames before it as they came to this canvas, the latest first;
                ``lag`` of them are of use.
            moment: which of the random planes there are, such as a damaged JPEG.

        Raises:
            SettingError: an effect gives pixels of another shape or dtype.
        """
        work, extras = self._work[: self._counts[0]], self._extras[: self._counts[0]]
        n_planes = len(self._plane_effects) + 1
        shown, moved, unresolved, unshown, whole = survey_notes(
            self._notes, work, extras, self._plane_of, n_planes
        )
        planes = self._planes(frame, shown, tuple(earlier), moment)
        if whole > 0:
            np.copyto(frame, planes[whole - 1])
            return
        registers = np.zeros(self._counts[1], np.uint32)
        # Painting changes the frame, which notes may point to, and plain functions are shown
        source = frame.copy() if moved or (len(work) and shown[0]) else frame
        if len(work):
            self._do_work(work, extras, registers, source, planes, frame)
        notes = self._notes
        if unresolved:
            notes = notes.copy()
            resolve(notes, registers, self.grid.cols, source, planes, *self.edges)

        def paint_rows(first: int, last: int) -> None:
            paint_all(
                notes, self._opcodes, self._settings, self.grid.cols, source, planes, frame,
                *self.edges, first, last, source is frame,
            )  # fmt: skip

        if unshown * frame.size < 3 * _WORTH_SHARING * len(notes):
            paint_rows(0, self.grid.picture_rows)
        else:
            self.on_all_cores(lambda rows: paint_rows(*rows))

    def on_all_cores(self, do: Callable[[tuple[int, int]], None]) -> None:
        """Do something to all rows of cells, given as (first, after the last) for each core."""
        at_once(do, list(itertools.pairwise(self._bands)))

    def _do_work(
        self,
        work: NDArray[np.int32],
        extras: NDArray[np.int64],
        registers: NDArray[np.uint32],
        source: NDArray[np.uint8],
        planes: NDArray[np.uint8],
        out: NDArray[np.uint8],
    ) -> None:
        if self._sections is None:
            self._sections = self._plan(work, out.shape[0] * out.shape[1])

        def work_on(part: NDArray[np.int64]) -> None:
            work_through(
                work, extras, part, self._opcodes, self._settings, self.actions.offsets, registers,
                self.grid.cols, source, planes, out, *self.edges,
            )  # fmt: skip

        for parts, calls in self._sections:
            at_once(work_on, parts)
            for piece in calls:
                self._call(work[piece], int(extras[piece, 1]), source, planes, out)

    def _plan(self, work: NDArray[np.int32], n_pixels: int) -> list[Section]:
        """Divide work into sections: levels that are wide are shared among all cores."""
        order, begins = in_order(work, self.grid.n_cells)
        if len(begins) > _MANY_LEVELS:
            rows = work[:, 1:3] // self.grid.cols
            local = (work[:, 0] == APPLY) | (work[:, 0] == DRAW) | (work[:, 0] == GREY)
            if local.all() and (rows[:, 0] == rows[:, 1]).all():
                # Rows of cells that have nothing to do with each other: one after the other, in
                # the order of time, keeps what is worked on in the cache
                by_row = np.argsort(rows[:, 0].astype(np.int16), kind="stable")
                cuts = np.searchsorted(rows[by_row, 0], self._bands[1:-1])
                return [(np.split(by_row, cuts), order[:0])]
        n_cells = self.grid.picture_rows * self.grid.picture_cols
        worth = _WORTH_SHARING // (10 if int(Opcode.PIXEL_SORT) in self._opcodes else 1)
        wide = max(2 * self._cores, worth * n_cells // n_pixels)
        if self._light:
            wide = len(order) + 1
        calls = int(Opcode.CALL) in self._opcodes
        sections: list[Section] = []
        begun = 0
        for begin, end in itertools.pairwise(begins.tolist()):
            if not calls and end - begin < wide:
                continue
            if begin > begun:
                sections.append(([order[begun:begin]], order[:0]))
            begun = end
            level = order[begin:end]
            # Cut between rows of cells, since neighbours in a row are worked on as one
            rows = work[level, 1] // self.grid.cols
            shares = np.arange(1, self._cores) * len(level) // self._cores
            cuts = np.searchsorted(rows, rows[shares]) if len(level) >= wide else shares[:0]
            own = level[work[level, 0] == CALL] if calls else level[:0]
            sections.append((np.split(level, cuts), own))
        if begun < len(order):
            sections.append(([order[begun:]], order[:0]))
        return sections

    def _planes(
        self,
        frame: NDArray[np.uint8],
        shown: NDArray[np.bool_],
        earlier: tuple[NDArray[np.uint8], ...],
        moment: int,
    ) -> NDArray[np.uint8]:
        """Make those of the effects' planes that are shown, (planes, height, width, 3)."""
        if not shown[1:].any():
            return np.empty((len(self._plane_effects), 0, 0, 3), np.uint8)
        alone = len(self._plane_effects) == 1
        planes = np.empty((0 if alone else len(self._plane_effects), *frame.shape), np.uint8)
        for plane, index in enumerate(self._plane_effects):
            effect, own = self._effects[index], self._parameters[index]
            if shown[plane + 1] and effect.plane is not None:
                lag = _lag_of(effect, own)
                key = draw_plainly(self._plane_keys[index], moment)
                made = effect.plane(Source(frame, earlier[:lag], key), own)
                checked = _checked_plane(effect.name, made, frame)
                if alone and not np.may_share_memory(checked, frame):
                    return np.ascontiguousarray(checked)[None]
                if alone:
                    return checked[None].copy()
                planes[plane] = checked
        return planes

    def _call(
        self,
        piece: NDArray[np.int32],
        drawn: int,
        frame: NDArray[np.uint8],
        planes: NDArray[np.uint8],
        out: NDArray[np.uint8],
    ) -> None:
        """Let an effect's plain function do its stamp."""
        cell, other, action = int(piece[1]), int(piece[2]), int(piece[3])
        index = action // self.actions.n_moves
        move = (int(self.actions.offsets[action, 0]), int(self.actions.offsets[action, 1]))
        here = _window(cell, self.grid.cols, *self.edges)
        there = _window(other, self.grid.cols, *self.edges)
        plane = planes[self._plane_of[action] - 1] if self._plane_of[action] else frame
        effect = self._effects[index]
        stamp = Stamp(
            cell=out[here].copy(),
            left=out[there].copy(),
            plane=plane[here],
            move=move,
            key=drawn % (1 << 64),
            place=(here[0].start, here[1].start),
            size=(frame.shape[0], frame.shape[1]),
        )
        out[here] = _checked_pixels(effect, stamp, self._parameters[index])


def _lengthened(list_: NDArray[Any], used: int, wanted: int) -> NDArray[Any]:
    longer = np.empty((wanted, list_.shape[1]), list_.dtype)
    longer[:used] = list_[:used]
    return longer


def _lag_of(effect: Effect, parameters: EffectParameters) -> int:
    lag = 0 if effect.lag is None else effect.lag(parameters)
    if not 0 <= lag <= MAX_LAG:
        raise SettingError(f"effect {effect.name!r} asks for {lag} frames of the past; 0…{MAX_LAG}")
    return lag


def _checked_pixels(effect: Effect, stamp: Stamp, parameters: EffectParameters) -> NDArray[Any]:
    """Call an effect's plain function, which may be anybody's."""
    try:
        made = effect.function(stamp, parameters)
    except Exception as error:
        raise SettingError(
            f"effect {effect.name!r} failed on a cell of {stamp.cell.shape}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(made, np.ndarray) or made.dtype != np.uint8:
        kind = made.dtype if isinstance(made, np.ndarray) else type(made).__name__
        raise SettingError(f"effect {effect.name!r} gave {kind}, not an array of uint8")
    if made.shape not in (stamp.cell.shape, (3,)):
        raise SettingError(
            f"effect {effect.name!r} gave {made.shape} for a cell of {stamp.cell.shape}; it must "
            f"give that shape, or one colour (3,)"
        )
    return made


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
