"""GlitchGrid-v0: an agent travels over the grid of a picture."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray

from glitch_gym.actions import ActionSet
from glitch_gym.activation import recall_activation
from glitch_gym.activation.base import Activation
from glitch_gym.checks import shown, whole_number
from glitch_gym.dynamics import EXIT, LIFETIME, GridWorld, recall_world
from glitch_gym.errors import SettingError, unknown_name_error
from glitch_gym.grid import Fit, Orient
from glitch_gym.limits import spec_with_limit
from glitch_gym.observation import OBSERVATIONS, View, make_observer
from glitch_gym.picture import check_frame, read_frame
from glitch_gym.randomness import below_py, draw_py, slipped_py
from glitch_gym.seeding import episode_key
from glitch_gym.settings import Effects, WorldSettings

__all__ = [
    "DEFAULT_EFFECTS",
    "OBSERVATIONS",
    "GlitchGridEnv",
]


DEFAULT_EFFECTS = ("same", "pixelate", "desaturate", "invert", "random")
"""Effects of the actions by default."""


class GlitchGridEnv(gym.Env[Any, np.int64]):
    """An agent walks over a picture, and every step corrupts the cell that it enters.

    ## Description
    A picture is laid on a grid of rows × cols cells. An activation map, which says where the
    picture's subject is, gives a reward for entering each cell by each action. The agent looks
    for the way that collects the most: out of the picture (`objective="escape"`) or towards what
    is active (`objective="linger"`). The task follows the blog post *Video Corruption Filter*.

    ## Action Space
    `Discrete(effects × moves)`. An action is an image effect times a move, index
    = effect · moves + move, with moves in the order up, down, left, right and, with `moves=8`,
    up_left, up_right, down_left, down_right. `actions.encode("same", "up")` and
    `actions.decode(0)` translate. The default has 5 effects × 4 moves = 20 actions.

    ## Observation Space
    By `observation`:
    - `"cell"`: `Discrete(rows · cols)`, the flat index row · cols + col.
    - `"coordinates"`: `Box(0, 1, (2,), float32)`, row / (rows − 1) and col / (cols − 1).
    - `"masked"`: `Dict` with `action_mask` (int8, 0 for moves into prohibited cells) and
      `observations` (the coordinates).
    - `"patch"`: `Box` float32, the reward field around the agent, patch_size × patch_size × actions
      in one row (learning libraries take three axes for an image); prohibited cells hold the
      prohibited reward and places off the grid the exit reward. The bounds follow from the
      settings alone: the rewards that they can give, with five standard deviations of the noise.
      Rewards beyond are clipped. So a policy can be taken from one picture to another.
    - `"pixels"`: `Box` uint8 (pixel_size, pixel_size, 3), the picture shrunk, with the agent's cell
      filled with magenta and prohibited cells black.

    ## Starting State
    A uniformly random cell of the picture, or `reset(options={"cell": (row, col)})`.

    ## Transitions and Rewards
    Into a picture cell: the agent enters it, receives `reward_field[cell, action]`, and the
    action's effect is stamped on it. Into a prohibited cell: the agent stays and receives
    `prohibited_reward`. Off the grid: it receives `exit_reward`, and the episode terminates.
    All this is deterministic, unless there is `slip`: then the move is another one with that
    probability, and everything else follows from the action carried out.
    The objective `"escape"` maps activation 0…1 to rewards −1…0 with an exit reward of 1,
    `"linger"` to 0…1 with 0; Gaussian noise per effect is added, and a median filter smooths.

    ## Episode End
    Terminated: the agent left the picture. Truncated: it has lived its lifetime. `gym.make` and
    `gym.make_vec` take it as `lifetime` or as `max_episode_steps`; of the two the shorter holds.
    With neither it is 20 steps, and with `max_episode_steps=-1` there is no limit.
    `env.spec.max_episode_steps` names it.

    ## Information
    `step` and `reset` return `cell`, int64 (2,), the row and column, and `action_mask`, int8, 0 for
    moves into prohibited cells and never all zero; `Discrete.sample(mask)` takes it.
    `env.unwrapped.action_masks()` returns it as booleans for sb3-contrib.

    ## Arguments
    ```python
    gym.make("GlitchGrid-v0", image="cat.jpg", grid=(40, 20), activation="efficientnet_lite0")
    ```

    Args:
        image: path of a picture, `"sample:NAME"`, or a uint8 array (height, width, 3). Use a text
            where the spec is to be written as JSON.
        grid: (rows, cols).
        effects: effect names, or a mapping from name to noise, (mean, std).
        activation: name in `glitch_gym.ACTIVATIONS`, the path of a mask picture, an array
            (h, w) in 0…1, or an `Activation`.
        weights: file with weights for the named network.
        objective: `"escape"` or `"linger"`.
        reward_range: rewards of activation 0 and 1, in place of the objective's.
        exit_reward: reward for leaving the picture, in place of the objective's.
        prohibited_reward: reward for walking into a prohibited cell.
        invert: whether to use 1 − activation.
        median: side of the median filter over the rewards, in cells, odd.
        slip: probability that the move is another one, each of the others being equally likely.
            The effect stays, and the reward is that of the action carried out.
        fit: `"pad"` (square cells, the rest prohibited) or `"stretch"`.
        orient: `"auto"` lays the grid's longer side along the picture's.
        moves: 4 or 8.
        observation: kind of observation, see above.
        patch_size: side of the `"patch"`, odd.
        pixel_size: side of the `"pixels"`, at least the grid's longer side.
        lifetime: steps after which an episode is truncated. By default 20 under `gym.make`, and
            no limit for the class itself.
        seed: seed of the reward noise (not of the episodes, which `reset(seed=…)` seeds).
        render_mode: `"rgb_array"` (the picture as the agent has left it, its cell marked) or
            `"ansi"`.

    ## Version History
    * v0: initial version
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "ansi"], "render_fps": 10}  # noqa: RUF012

    def __init__(
        self,
        image: str | Path | NDArray[np.uint8] = "sample:balloon",
        grid: tuple[int, int] = (20, 10),
        *,
        effects: Effects = DEFAULT_EFFECTS,
        activation: str | Path | NDArray[Any] | Activation = "spectral_residual",
        weights: str | Path | None = None,
        objective: str = "escape",
        reward_range: tuple[float, float] | None = None,
        exit_reward: float | None = None,
        prohibited_reward: float = -1.0,
        invert: bool = False,
        median: int = 3,
        slip: float = 0.0,
        fit: Fit = "pad",
        orient: Orient = "fixed",
        moves: int = 4,
        observation: Literal["cell", "coordinates", "masked", "patch", "pixels"] = "cell",
        patch_size: int = 5,
        pixel_size: int = 84,
        lifetime: int | None = None,
        seed: int = 0,
        render_mode: str | None = None,
    ) -> None:
        frame = read_frame(image) if isinstance(image, str | Path) else image
        check_frame(frame)
        activation = str(activation) if isinstance(activation, Path) else activation
        if weights is not None and not isinstance(weights, str | Path):
            raise SettingError(f"weights must be the path of a file, not {shown(weights)}")
        settings = WorldSettings(
            grid=grid,
            effects=effects,
            fit=fit,
            orient=orient,
            moves=moves,
            objective=objective,
            reward_range=reward_range,
            exit_reward=exit_reward,
            prohibited_reward=prohibited_reward,
            invert=invert,
            median=median,
            slip=slip,
        )
        computed = recall_activation(
            frame, activation, weights=None if weights is None else str(weights)
        )
        world = recall_world(computed, (frame.shape[0], frame.shape[1]), settings, seed=seed)
        view = View(observation, patch_size, pixel_size, settings.reward_bounds)
        self._start(world, [frame], view, lifetime, seed, render_mode)

    @classmethod
    def from_world(
        cls,
        world: GridWorld,
        frame: NDArray[np.uint8],
        *,
        observation: str = "cell",
        patch_size: int = 5,
        pixel_size: int = 84,
        lifetime: int | None = LIFETIME,
        seed: int = 0,
        render_mode: str | None = None,
        reward_bounds: tuple[float, float] | None = None,
    ) -> GlitchGridEnv:
        """Make an environment from a world that is already built.

        Args:
            world: world from ``make_world`` or ``grid_world``.
            frame: picture, uint8 (height, width, 3), for ``render``.
            observation: kind of observation.
            patch_size: side of the ``"patch"``, odd.
            pixel_size: side of the ``"pixels"``, at least the grid's longer side.
            lifetime: steps after which the environment truncates; ``None`` for no limit.
            seed: seed of the random colours in ``render``.
            render_mode: ``"rgb_array"`` or ``"ansi"``.
            reward_bounds: least and largest value of the ``"patch"``, such as
                ``WorldSettings.reward_bounds``, which other pictures share; by default the
                world's own extremes.
        """
        env = cls.__new__(cls)
        check_frame(frame)
        view = View(observation, patch_size, pixel_size, reward_bounds)
        env._start(world, [frame], view, lifetime, seed, render_mode)
        return env

    def _start(
        self,
        world: GridWorld,
        frames: Sequence[NDArray[np.uint8]],
        view: View,
        lifetime: int | None,
        seed: int,
        render_mode: str | None,
    ) -> None:
        if not isinstance(world, GridWorld):
            raise SettingError(f"an environment needs a GridWorld, not {shown(world)}")
        if lifetime is not None:
            lifetime = whole_number("lifetime", lifetime, least=1)
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise unknown_name_error("render_mode", str(render_mode), self.metadata["render_modes"])
        self.render_mode = render_mode
        self.world = world
        self.frame = frames[0]
        self.lifetime = lifetime
        self._observation = view.kind
        self.seed = seed
        self._key: int | None = None
        self._episode = 0
        self._cell: int | None = None
        self._steps = 0
        self._over = False
        self._spec: EnvSpec | None = None
        self._walk: list[tuple[int, int]] = []
        self._n_actions = world.actions.n
        self._transitions: dict[int, dict[int, list[tuple[float, int, float, bool]]]] | None = None

        self.action_space = spaces.Discrete(world.actions.n)
        self._observer = make_observer(world, view, frames)
        self.observation_space = self._observer.space

    @property
    def spec(self) -> EnvSpec | None:
        """Return the spec by which the environment was made; it names the lifetime."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        self._spec = spec_with_limit(spec, self.lifetime)

    @property
    def actions(self) -> ActionSet:
        """The actions, with ``encode``, ``decode`` and ``names``."""
        return self.world.actions

    @property
    def walk(self) -> tuple[tuple[int, int], ...]:
        """The episode so far: for each step the cell that was entered, or −1, and the action."""
        return tuple(self._walk)

    @property
    def P(self) -> dict[int, dict[int, list[tuple[float, int, float, bool]]]]:  # noqa: N802
        """``P[state][action] = [(probability, next state, reward, terminated)]``, for planners.

        Built on first use. An action that leaves the picture keeps the state's own index. With
        slip an action has an outcome for each move, its own first.
        """
        if self._transitions is None:
            world = self.world
            outcomes = [self._outcomes(action) for action in range(world.actions.n)]
            rows = zip(world.next_state.tolist(), world.rewards.tolist(), strict=True)
            self._transitions = {
                state: {
                    action: [
                        (share, state if there[one] == EXIT else there[one], gains[one],
                         there[one] == EXIT)
                        for share, one in outcomes[action]
                    ]
                    for action in range(world.actions.n)
                }
                for state, (there, gains) in enumerate(rows)
            }  # fmt: skip
        return self._transitions

    def _outcomes(self, action: int) -> list[tuple[float, int]]:
        """Return the actions that may be carried out, with their probabilities, its own first."""
        slip, n_moves = self.world.slip, self.world.actions.n_moves
        if slip == 0:
            return [(1.0, action)]
        first = action - action % n_moves
        others = [one for one in range(first, first + n_moves) if one != action]
        return [(1 - slip, action), *((slip / len(others), one) for one in others)]

    @property
    def initial_state_distrib(self) -> NDArray[np.float64]:
        """Probability of each state to be the first of an episode, float64 (n_states,)."""
        shares = np.zeros(self.world.grid.n_cells)
        shares[self.world.picture_cells] = 1 / len(self.world.picture_cells)
        return shares

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which actions avoid prohibited cells, bool (n_actions,), for sb3-contrib."""
        mask: NDArray[np.bool_] = self.world.masks[self._place()].astype(np.bool_)
        return mask

    def get_keys_to_action(self) -> dict[tuple[int, ...], int]:
        """Map keys to actions, for ``gymnasium.utils.play``.

        W, A, S and D move by the first effect; with 2…9 held down, by the second to the ninth.
        ``play(env, wait_on_player=True)`` takes a step for each key, and none without.
        """
        moves = {"w": "up", "a": "left", "s": "down", "d": "right"}
        return {
            tuple(sorted(ord(key) for key in (digit + letter))): self.actions.encode(effect, move)
            for digit, effect in zip(["", *"23456789"], self.actions.effects, strict=False)
            for letter, move in moves.items()
        }

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Put an agent on a random cell of the picture, or on ``options["cell"]``, (row, col).

        Raises:
            SettingError: an unknown option, a cell outside the picture, or a seed that is not a
                whole number from 0.
        """
        chosen = self.chosen_cell({} if options is None else options)
        super().reset(seed=None if seed is None else whole_number("seed", seed, most=None))
        if seed is not None or self._key is None:
            self._key, self._episode = episode_key(self.np_random), 0
        cells = self.world.picture_cells
        # Drawn by number, as the vector environment does in compiled code
        drawn = int(cells[below_py(draw_py(self._key, self._episode), len(cells))])
        self._cell = drawn if chosen is None else chosen
        self._episode += 1
        self._steps = 0
        self._over = False
        self._walk = []
        return self._observe(), self._info()

    def chosen_cell(self, options: dict[str, Any]) -> int | None:
        """Return the flat index of the cell that reset options choose, or ``None``.

        Raises:
            SettingError: an unknown option, or a cell outside the picture.
        """
        if not isinstance(options, Mapping):
            raise SettingError(f"reset options are a dict, not {shown(options)}")
        unknown = {str(name) for name in options} - {"cell"}
        if unknown:
            raise unknown_name_error("reset option", sorted(unknown)[0], ["cell"])
        if "cell" not in options:
            return None
        cell, grid = options["cell"], self.world.grid
        try:
            if isinstance(cell, set | frozenset | Mapping):
                raise TypeError("a cell has an order")
            # Numbers outside the picture, negative ones too, are refused below in other words
            row, col = (whole_number("cell", value, least=-(2**63), most=None) for value in cell)
        except (TypeError, ValueError) as error:
            raise SettingError(f"options['cell'] must be (row, col), not {shown(cell)}") from error
        if not (0 <= row < grid.picture_rows and 0 <= col < grid.picture_cols):
            raise SettingError(
                f"options['cell'] = ({row}, {col}) is outside the picture's "
                f"{grid.picture_rows}×{grid.picture_cols} cells"
            )
        return row * grid.cols + col

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take one action.

        Raises:
            SettingError: the action is outside the action space.
            gymnasium.error.ResetNeeded: the episode has not begun or is over.
        """
        cell = self._cell
        if cell is None or self._over:
            raise gym.error.ResetNeeded(
                "the episode is over, call reset() before step()"
                if self._over
                else "call reset() before step()"
            )
        try:
            chosen = operator.index(action)
            allowed = 0 <= chosen < self._n_actions and action is not True and action is not False
        except TypeError:
            allowed = False
        if not allowed:
            raise SettingError(f"action {shown(action)} is outside Discrete({self._n_actions})")
        if self.world.slip:
            chosen = self._slipped(chosen)
        there = int(self.world.next_state[cell, chosen])
        reward = float(self.world.rewards[cell, chosen])
        self._steps += 1
        terminated = there == EXIT
        if not terminated:
            self._cell = there
        self._walk.append((there if there != cell else EXIT, chosen))
        truncated = self.lifetime is not None and self._steps >= self.lifetime
        self._over = terminated or truncated
        return self._observe(), reward, terminated, truncated, self._info()

    def _slipped(self, action: int) -> int:
        """Return the action that the agent carries out in this step."""
        assert self._key is not None
        # Keyed as in the vector environment, whose episode numbers are those of the next one too
        episode = draw_py(self._key, self._episode)
        world = self.world
        return slipped_py(action, world.actions.n_moves, world.slip, episode, self._steps)

    def _place(self) -> int:
        if self._cell is None:
            raise gym.error.ResetNeeded("call reset() first")
        return self._cell

    def _observe(self) -> Any:
        cell = self._place()
        return cell if self._observation == "cell" else self._observer.of_cell(cell)

    def observe_cells(self, cells: NDArray[np.int64]) -> Any:
        """Return the observations of agents in these cells (n,), as new arrays."""
        return self._observer.of_cells(cells)

    def _info(self) -> dict[str, Any]:
        cell = self._place()
        place = np.empty(2, np.int64)
        place[0], place[1] = divmod(cell, self.world.grid.cols)
        return {"cell": place, "action_mask": self.world.masks[cell].copy()}

    def render(self) -> Any:
        """Show the picture as the agent has left it (uint8 (height, width, 3)), or text."""
        if self.render_mode is None:
            gym.logger.warn(
                "render() needs a mode: gym.make('GlitchGrid-v0', render_mode='rgb_array')"
            )
            return None
        return self.render_walk(self._walk, self._place())

    def render_walk(self, walk: Sequence[tuple[int, int]], cell: int) -> Any:
        """Draw the picture after a walk, or the map as text, by the render mode.

        Args:
            walk: for each step the cell that was entered, or −1, and the action.
            cell: flat index of the cell where the agent is.
        """
        if self.render_mode == "ansi":
            text = self.render_text(np.array([cell]))
            return f"{text}({self.world.actions.names[walk[-1][1]]})\n" if walk else text
        # The one import against the layers: an environment draws itself, as Gymnasium's own do.
        from glitch_render.engine.replay import mark_cell, replay_walk

        frame = replay_walk(self.frame, self.world, walk, seed=self.seed)
        mark_cell(frame, self.world.grid, cell)
        return frame

    def render_text(self, cells: NDArray[np.int64]) -> str:
        """Draw the activation as text, with an ``@`` on each of the cells (n,)."""
        grid = self.world.grid
        shades = np.array(list(" .:-=+*%"))
        levels = np.minimum((self.world.activation * len(shades)).astype(int), len(shades) - 1)
        text = np.full((grid.rows, grid.cols), "#")
        text[: grid.picture_rows, : grid.picture_cols] = shades[levels]
        text.ravel()[cells] = "@"
        return "".join("".join(row) + "\n" for row in text)
