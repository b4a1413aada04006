"""A canvas: the effect of a layer's stamps on each cell, ready to be painted on any frame."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glitch_gym.actions import ActionSet
from glitch_gym.compilation import compiled
from glitch_gym.errors import SettingError
from glitch_gym.grid import Grid
from glitch_gym.plugins import describe
from glitch_gym.randomness import derive_key, draw_py, stream
from glitch_render.effects import (
    Effect,
    EffectParameters,
    Source,
    Stamp,
    Trait,
    get_effect,
)
from glitch_render.engine.execute import execute
from glitch_render.engine.painting import paint_symbols, resolve, run_ops
from glitch_render.engine.schedule import (
    WORTH_SHARING,
    Section,
    plan_sections,
    row_bands,
    run_parallel,
    survey,
)
from glitch_render.engine.symbols import (
    ACTION,
    CELL,
    N_FIELDS,
    N_OPERANDS,
    N_OPS,
    N_REGISTERS,
    OTHER,
    ROOM,
    UNTOUCHED,
    ActionTable,
    CellState,
    GridTable,
    OpList,
    Surfaces,
)

__all__ = ["MAX_FRAMES_BACK", "Canvas"]

MAX_FRAMES_BACK = 48
"""Largest number of earlier frames that an effect may ask for; each is held in memory."""

_MAX_PLANES = 127
_MAX_REGISTERS = 1 << 24
_N_SETTINGS = 16


@compiled
def _check_stamps(
    cells: NDArray[np.int32],
    actions: NDArray[np.int32],
    prohibited: NDArray[np.bool_],
    n_actions: int,
) -> int:
    """Return 1 if a stamp's cell is invalid, 2 if its action is, else 0."""
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
    """The effect of a layer's stamps on each cell, ready to be painted on one frame or many.

    ``frames_back`` is the number of earlier frames that its effects can use. ``has_pixel_ops`` is
    whether any of them needs the pixels of cells, so that stamps cost work on every frame.
    ``grid_table`` is the grid in the form that compiled code uses.

    Args:
        grid: grid over the frame.
        actions: meaning of the action indices.
        height: height of the frames in pixels.
        width: width of the frames in pixels.
        parameters: parameters of effects, by name; defaults for effects not named.
        seed: seed of random draws.
        layer: number of the layer, part of their key.

    Raises:
        GridError: the grid is finer than the frame.
        SettingError: an effect is unknown, or too many effects have planes.
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
        self.frames_back = max(
            (_frames_back_of(*both) for both in zip(self._effects, self._parameters, strict=True)),
            default=0,
        )
        self.has_pixel_ops = any(Trait.SYMBOLIC not in one.traits for one in self._effects)
        self._no_planes = np.empty((len(self._plane_effects), 0, 0, 3), np.uint8)
        self._table = self._compile_action_table()
        self.grid_table = self._compile_grid_table()
        self._worth_sharing = (
            WORTH_SHARING * grid.picture_rows * grid.picture_cols // (height * width)
        )
        self._bands = row_bands(grid.picture_rows)
        self._untouched = UNTOUCHED | np.arange(grid.n_cells, dtype=np.int64)
        self._state = CellState(
            np.empty(grid.n_cells, np.int64), np.zeros((grid.n_cells, 3), np.int32)
        )
        self._ops = OpList(
            np.empty((0, N_FIELDS), np.int32),
            np.empty((0, N_OPERANDS), np.int64),
            np.empty((0, 2), np.int64),
            np.zeros(2, np.int64),
        )
        self._sections: list[Section] | None = None
        self.clear()

    def _compile_action_table(self) -> ActionTable:
        """Return the table of actions in the form that compiled code uses."""
        actions = self.actions
        n_moves = actions.n_moves
        planes, tags = np.zeros(actions.n, np.int64), np.zeros(actions.n, np.int64)
        for plane, index in enumerate(self._plane_effects, 1):
            planes[index * n_moves : (index + 1) * n_moves] = plane
        sources = actions.offsets.astype(np.int64)
        settings = np.zeros((actions.n, _N_SETTINGS), np.int64)
        for action in range(actions.n):
            index = action // n_moves
            effect, own = self._effects[index], self._parameters[index]
            if effect.source is not None:
                move = (int(actions.offsets[action, 0]), int(actions.offsets[action, 1]))
                sources[action] = np.negative(effect.source(own, move))
            if effect.settings is not None:
                numbers = effect.settings(own)
                settings[action, : len(numbers)] = numbers
            if Trait.IDEMPOTENT in effect.traits:
                tags[action] = index * n_moves + 1
            elif Trait.IDEMPOTENT_BY_MOVE in effect.traits:
                tags[action] = action + 1
        return ActionTable(
            codes=np.repeat([one.code for one in self._effects], n_moves),
            planes=planes,
            tags=tags,
            sources=sources,
            behind=sources @ np.array([self.grid.cols, 1]),
            settings=settings,
            moves=actions.offsets,
        )

    def _compile_grid_table(self) -> GridTable:
        grid = self.grid
        reach = int(np.abs(self._table.sources).max())
        border = np.ones((grid.rows, grid.cols), np.bool_)
        border[reach : grid.picture_rows - reach, reach : grid.picture_cols - reach] = False
        sizes = np.zeros((grid.rows, grid.cols), np.int64)
        heights, widths = (np.diff(edges).astype(np.int64) for edges in self.edges)
        sizes[: grid.picture_rows, : grid.picture_cols] = (heights[:, None] << 32) | widths
        return GridTable(
            grid.cols,
            grid.picture_rows,
            grid.picture_cols,
            border.ravel(),
            sizes.ravel(),
            *self.edges,
        )

    def stamped(self) -> NDArray[np.bool_]:
        """Return whether each cell was changed by the stamps so far: bool (n_cells,)."""
        changed: NDArray[np.bool_] = self._state.symbols != self._untouched
        return changed

    def clear(self) -> None:
        """Forget all stamps."""
        self._state.symbols[:] = self._untouched
        if self._ops.counts[N_OPS] > 0:
            self._state.levels[:] = 0
        self._ops.counts[:] = 0
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
            actions: int32 (steps, agents), indices of actions.
            counters: int64 (agents,), each agent's own number of its first step here; 0 by default.
            check: validate cells and actions; skip if the caller guarantees them.

        Raises:
            SettingError: a cell or action is out of range, or the step limit is exceeded.
        """
        cells = np.ascontiguousarray(cells, np.int32)
        actions = np.ascontiguousarray(actions, np.int32)
        if cells.ndim != 2 or cells.shape != actions.shape:
            raise SettingError(
                f"cells and actions must both be (steps, agents), not {cells.shape} and "
                f"{actions.shape}"
            )
        if counters is not None and counters.shape != cells.shape[1:]:
            raise SettingError(f"counters must be {cells.shape[1:]}, not {counters.shape}")
        invalid = 0
        if check:
            invalid = _check_stamps(cells, actions, self.grid.prohibited().ravel(), self.actions.n)
        if invalid == 1:
            raise SettingError(
                f"a stamp lies outside the picture's {self.grid.picture_rows}×"
                f"{self.grid.picture_cols} cells: were the trajectories made for another grid?"
            )
        if invalid == 2:
            raise SettingError(f"a stamp has an action outside 0…{self.actions.n - 1}")
        if counters is None:
            counters = np.zeros(cells.shape[1], np.int64)
        stamps = (cells, actions, counters)
        self._sections = None
        place = (0, 0)
        while place[0] < len(cells):
            # Symbolic effects measure pixels too, once pixels of other effects were turned grey
            self._make_room(cells.size if self.has_pixel_ops else ROOM)
            place = execute(
                stamps, place, self._table, self.grid_table, self._key, self._state, self._ops
            )

    def _make_room(self, stamps: int) -> None:
        """Grow the lists of operations and registers if they are nearly full."""
        rows, operands, registers, counts = self._ops
        n_ops, n_registers = counts.tolist()
        if n_ops + ROOM <= len(rows) and n_registers + ROOM <= len(registers):
            return
        wanted = max(64, 2 * len(rows), min(stamps, 1 << 20) + ROOM)
        if n_ops + ROOM > len(rows):
            rows = _grown(rows, n_ops, wanted)
            operands = _grown(operands, n_ops, wanted)
        if n_registers + ROOM > len(registers):
            if len(registers) >= _MAX_REGISTERS:
                raise SettingError("too many steps are kept: set the layer's trail")
            wanted = max(wanted, 2 * len(registers))
            registers = _grown(registers, n_registers, wanted)
        self._ops = OpList(rows, operands, registers, counts)

    def paint(
        self,
        frame: NDArray[np.uint8],
        *,
        earlier: Sequence[NDArray[np.uint8]] = (),
        tick: int = 0,
    ) -> None:
        """Paint the stamps onto a frame, in place.

        Args:
            frame: uint8 (height, width, 3), contiguous, of the canvas's size.
            earlier: earlier frames as this canvas received them, latest first, each like ``frame``;
                at most ``frames_back`` of them are used.
            tick: tick of the layer, which seeds the random parts of planes.

        Raises:
            SettingError: a frame has another size or dtype, or an effect returns pixels of another
                shape or dtype.
        """
        size = (int(self.edges[0][-1]), int(self.edges[1][-1]), 3)
        if any(one.shape != size or one.dtype != np.uint8 for one in (frame, *earlier)):
            raise SettingError(f"frames must be uint8 {size}, as the canvas was made for")
        n_ops, symbols = int(self._ops.counts[N_OPS]), self._state.symbols
        rows, operands = self._ops.rows[:n_ops], self._ops.operands[:n_ops]
        n_planes = len(self._plane_effects) + 1
        shown, moved, unresolved, unshown, whole = survey(
            symbols, rows, operands, self._table.planes, n_planes
        )
        planes = self._make_planes(frame, shown, tuple(earlier), tick)
        if whole > 0:
            np.copyto(frame, planes[whole - 1])
            return
        colours = np.zeros(self._ops.counts[N_REGISTERS], np.uint32)
        # Painting changes the frame, which symbols and plain functions may still read
        source = frame.copy() if moved or (n_ops and shown[0]) else frame
        surfaces = Surfaces(source, planes, frame, frame.reshape(len(frame), -1))
        if n_ops:
            self._run_ops(rows, operands, colours, surfaces)
        if unresolved:
            symbols = symbols.copy()
            resolve(symbols, colours, self.grid_table, source, planes)

        def paint_rows(first: int, last: int) -> None:
            paint_symbols(
                symbols, self._table, self.grid_table, surfaces, first, last, source is frame
            )

        if unshown * frame.size < 3 * WORTH_SHARING * len(symbols):
            paint_rows(0, self.grid.picture_rows)
        else:
            self.on_all_cores(lambda rows: paint_rows(*rows))

    def on_all_cores(self, do: Callable[[tuple[int, int]], None]) -> None:
        """Call a function with each core's share of the rows of cells, as (first, end)."""
        run_parallel(do, list(itertools.pairwise(self._bands)))

    def _run_ops(
        self,
        rows: NDArray[np.int32],
        operands: NDArray[np.int64],
        colours: NDArray[np.uint32],
        surfaces: Surfaces,
    ) -> None:
        if self._sections is None:
            self._sections = plan_sections(
                rows,
                self._effects,
                grid_cols=self.grid.cols,
                n_cells=self.grid.n_cells,
                worth_sharing=self._worth_sharing,
                bands=self._bands,
            )

        def run_part(part: NDArray[np.int64]) -> None:
            run_ops(rows, operands, part, colours, self._table, self.grid_table, surfaces)

        for section in self._sections:
            run_parallel(run_part, section.parts)
            for place in section.calls:
                self._call(rows[place], int(operands[place, 1]), surfaces)

    def _make_planes(
        self,
        frame: NDArray[np.uint8],
        shown: NDArray[np.bool_],
        earlier: tuple[NDArray[np.uint8], ...],
        tick: int,
    ) -> NDArray[np.uint8]:
        """Return the effects' planes, (planes, height, width, 3), filled where they are shown."""
        if not self._plane_effects or not shown[1:].any():
            return self._no_planes
        alone = len(self._plane_effects) == 1
        planes = np.empty((0 if alone else len(self._plane_effects), *frame.shape), np.uint8)
        for plane, index in enumerate(self._plane_effects):
            effect, own = self._effects[index], self._parameters[index]
            if shown[plane + 1] and effect.plane is not None:
                back = _frames_back_of(effect, own)
                key = draw_py(self._plane_keys[index], tick)
                made = effect.plane(Source(frame, earlier[:back], key), own)
                checked = _checked_plane(effect.name, made, frame)
                if alone and not np.may_share_memory(checked, frame):
                    return np.ascontiguousarray(checked)[None]
                if alone:
                    return checked[None].copy()
                planes[plane] = checked
        return planes

    def _call(self, row: NDArray[np.int32], key: int, surfaces: Surfaces) -> None:
        """Run a stamp through the plain function of its effect."""
        action = int(row[ACTION])
        index = action // self.actions.n_moves
        here, there = self._window(int(row[CELL])), self._window(int(row[OTHER]))
        frame, planes, out, _ = surfaces
        plane = planes[self._table.planes[action] - 1] if self._table.planes[action] else frame
        stamp = Stamp(
            cell=out[here].copy(),
            left=out[there].copy(),
            plane=plane[here],
            move=(int(self.actions.offsets[action, 0]), int(self.actions.offsets[action, 1])),
            key=key % (1 << 64),
            place=(here[0].start, here[1].start),
            size=(frame.shape[0], frame.shape[1]),
        )
        out[here] = _checked_pixels(self._effects[index], stamp, self._parameters[index])

    def _window(self, cell: int) -> tuple[slice, slice]:
        row, col = divmod(cell, self.grid.cols)
        row_edges, col_edges = self.edges
        return slice(row_edges[row], row_edges[row + 1]), slice(col_edges[col], col_edges[col + 1])


def _grown(list_: NDArray[Any], used: int, wanted: int) -> NDArray[Any]:
    longer = np.empty((wanted, list_.shape[1]), list_.dtype)
    longer[:used] = list_[:used]
    return longer


def _frames_back_of(effect: Effect, parameters: EffectParameters) -> int:
    back = 0 if effect.frames_back is None else effect.frames_back(parameters)
    if not 0 <= back <= MAX_FRAMES_BACK:
        raise SettingError(
            f"effect {effect.name!r} asks for {back} earlier frames, not 0…{MAX_FRAMES_BACK}"
        )
    return back


def _checked_pixels(effect: Effect, stamp: Stamp, parameters: EffectParameters) -> NDArray[Any]:
    """Call an effect's plain function, which may be foreign, and check its result."""
    try:
        made = effect.function(stamp, parameters)
    except Exception as error:
        raise SettingError(
            f"effect {effect.name!r} failed on a cell of {stamp.cell.shape}: {describe(error)}"
        ) from error
    if not isinstance(made, np.ndarray) or made.dtype != np.uint8:
        kind = made.dtype if isinstance(made, np.ndarray) else type(made).__name__
        raise SettingError(f"effect {effect.name!r} returned {kind}, not an array of uint8")
    if made.shape not in (stamp.cell.shape, (3,)):
        raise SettingError(
            f"effect {effect.name!r} returned {made.shape} for a cell of {stamp.cell.shape}; it "
            f"must return that shape, or one colour (3,)"
        )
    return made


def _checked_plane(
    name: str, plane: NDArray[np.uint8], frame: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    if plane.dtype != np.uint8 or plane.shape != frame.shape:
        raise SettingError(
            f"the plane of effect {name!r} is {plane.dtype} {plane.shape}, not uint8 {frame.shape}"
        )
    return plane
