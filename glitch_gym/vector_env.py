"""GlitchGrid-v0 as a vector environment: one compiled loop steps and resets all agents."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from glitch_gym.actions import ActionSet
from glitch_gym.checks import (
    MOST_STEPS,
    shown,
    truth,
    whole_number,
)
from glitch_gym.dynamics import EXIT
from glitch_gym.env import GlitchGridEnv
from glitch_gym.errors import SettingError
from glitch_gym.limits import shorter_limit, spec_with_limit
from glitch_gym.policy import HasProbabilities
from glitch_gym.registration import check_setting_names
from glitch_gym.seeding import episode_keys
from glitch_gym.vector_kernels import (
    DISABLED,
    NEXT_STEP,
    SAME_STEP,
    Agents,
    Record,
    WorldTables,
    begin_episodes,
    roll_out,
    slip_actions,
    step_agents,
)
from glitch_gym.vector_rollout import VectorRollout, choice_of

__all__ = ["GlitchGridVectorEnv"]


_MOST_AGENTS = 2**26
_MOST_ROLLED_OUT = 2**28
_MODES = {
    AutoresetMode.NEXT_STEP: NEXT_STEP,
    AutoresetMode.SAME_STEP: SAME_STEP,
    AutoresetMode.DISABLED: DISABLED,
}


class GlitchGridVectorEnv(VectorEnv[Any, Any, Any]):
    """Many agents on one picture, stepped and reset in one compiled loop.

    Its observations, actions, rewards and endings are those of ``GlitchGridEnv``; equal seeds and
    actions give equal results, bit for bit.

    Args:
        num_envs: number of agents, at least 1.
        max_episode_steps: the lifetime, as Gymnasium calls it; −1 for no limit.
        autoreset_mode: ``"NextStep"`` (default), ``"SameStep"`` or ``"Disabled"``, or an
            ``AutoresetMode``.
        masks: whether to put ``cell`` and ``action_mask`` into the infos, as scalar environments do
            (they cost more than the step itself).
        lifetime: the lifetime, as in ``GlitchGridEnv``. If both are given, the shorter holds; if
            neither is, it is 20 steps.
        env: a scalar environment whose world, picture and observation are shared; it takes the
            place of the settings, and is not stepped.
        kwargs: every other setting of ``GlitchGridEnv``.

    Raises:
        SettingError: a setting is out of range.
    """

    def __init__(
        self,
        num_envs: int = 1,
        max_episode_steps: int | None = None,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        masks: bool = False,
        lifetime: int | None = None,
        env: GlitchGridEnv | None = None,
        **kwargs: Any,
    ) -> None:
        num_envs = whole_number("num_envs", num_envs, least=1, most=_MOST_AGENTS)
        try:
            self.autoreset_mode = AutoresetMode(autoreset_mode)
        except ValueError as error:
            raise SettingError(
                f"autoreset_mode must be one of {[mode.value for mode in AutoresetMode]}, not "
                f"{autoreset_mode!r}"
            ) from error
        limit = shorter_limit(max_episode_steps, lifetime)
        if env is not None and kwargs:
            raise SettingError(f"with env, leave out its own settings: {', '.join(kwargs)}")
        if env is not None and not isinstance(env, GlitchGridEnv):
            raise SettingError(f"env must be a GlitchGridEnv without wrappers, not {shown(env)}")
        check_setting_names(kwargs)
        self._single = GlitchGridEnv(**kwargs) if env is None else env
        self.lifetime = limit
        self._limit = MOST_STEPS if limit is None else limit
        self._spec: EnvSpec | None = None
        self.num_envs = num_envs
        self.world = self._single.world
        self.render_mode = self._single.render_mode
        self.metadata = {**self._single.metadata, "autoreset_mode": self.autoreset_mode}
        self.single_observation_space = self._single.observation_space
        self.single_action_space = self._single.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._mode = _MODES[self.autoreset_mode]
        self._masks = truth("masks", masks)
        self._cells = np.zeros(num_envs, np.int64)
        self._steps = np.zeros(num_envs, np.int32)
        self._done = np.zeros(num_envs, np.bool_)
        self._keys = np.zeros(num_envs, np.uint64)
        self._episodes = np.zeros(num_envs, np.int64)
        self._seeded = False
        self._begun = False
        # The last steps of all agents, from which the picture is drawn
        self._walks: deque[tuple[NDArray[np.int64], NDArray[np.int64]]] = deque(
            maxlen=self.lifetime
        )

    @property
    def spec(self) -> EnvSpec | None:
        """Return the spec by which the environment was made; it names the lifetime."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        if spec is not None:
            # gym.make_vec leaves the registered limit there, whatever limit was given
            spec = copy.copy(spec)
            spec.max_episode_steps = self.lifetime
        self._spec = spec_with_limit(spec, self.lifetime)

    @property
    def actions(self) -> ActionSet:
        """The actions, with ``encode``, ``decode`` and ``names``."""
        return self.world.actions

    @property
    def cells(self) -> NDArray[np.int64]:
        """Flat index of the cell of each agent, (num_envs,)."""
        return self._cells.copy()

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions do not walk into a prohibited cell, (num_envs, n_actions)."""
        return np.asarray(self.world.masks[self._cells], np.bool_)

    def _seed(self, seed: int | Sequence[int | None] | None, chosen: NDArray[np.bool_]) -> None:
        if seed is None:
            if not self._seeded:
                everything = 2**64 - 1
                self._keys[:] = self.np_random.integers(
                    everything, size=self.num_envs, dtype=np.uint64, endpoint=True
                )
            self._seeded = True
            return
        seeds = self._checked_seeds(seed)
        if not isinstance(seed, Sequence | np.ndarray):
            self._np_random, self._np_random_seed = seeding.np_random(seeds[0])
        if not self._seeded:
            self._seed(None, chosen)
        given = [i for i in np.flatnonzero(chosen).tolist() if seeds[i] is not None]
        self._keys[given] = episode_keys(own for i in given if (own := seeds[i]) is not None)
        self._episodes[given] = 0

    def _checked_seeds(self, seed: int | Sequence[int | None]) -> Sequence[int | None]:
        """Return a seed, or ``None``, for each agent."""
        if not isinstance(seed, Sequence | np.ndarray) or isinstance(seed, str | bytes):
            first = whole_number("seed", seed, most=None)
            return range(first, first + self.num_envs)
        if len(seed) != self.num_envs:
            raise SettingError(f"{len(seed)} seeds were given for {self.num_envs} agents")
        listed = seed.tolist() if isinstance(seed, np.ndarray) else seed
        return [None if own is None else whole_number("seed", own, most=None) for own in listed]

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Begin new episodes, of all agents or of those in ``options["reset_mask"]``.

        Args:
            seed: seed of agent 0, from which agent i has seed + i; or a sequence with a seed, or
                ``None``, for each agent.
            options: ``"cell"``, (row, col), the cell that all of them start in; ``"reset_mask"``,
                bool (num_envs,), the agents to reset.

        Raises:
            SettingError: the options or seeds are invalid.
        """
        options = {} if options is None else options
        if not isinstance(options, Mapping):
            raise SettingError(f"reset options are a dict, not {shown(options)}")
        options = dict(options)
        chosen = np.ones(self.num_envs, np.bool_)
        if "reset_mask" in options:
            chosen = options.pop("reset_mask")
            if (
                not isinstance(chosen, np.ndarray)
                or chosen.dtype != np.bool_
                or chosen.shape != (self.num_envs,)
            ):
                raise SettingError(f"reset_mask must be a bool array ({self.num_envs},)")
            if not chosen.any():
                raise SettingError("reset_mask is false everywhere: choose at least one agent")
            if not self._begun and not chosen.all():
                raise gym.error.ResetNeeded("the first reset must be of all agents")
        cell = self._single.chosen_cell(options)
        self._seed(seed, chosen)
        begin_episodes(self.world.picture_cells, chosen, self._cells, self._keys, self._episodes)
        if cell is not None:
            self._cells[chosen] = cell
        self._steps[chosen] = 0
        self._done[chosen] = False
        self._begun = True
        infos: dict[str, Any] = {}
        if self._masks:
            infos = self._place_infos(chosen, self._cells)
        return self._observe(self._cells), infos

    def _place_infos(self, chosen: NDArray[np.bool_], cells: NDArray[np.int64]) -> dict[str, Any]:
        """Return the infos of the chosen agents in these cells, as ``SyncVectorEnv`` joins them."""
        places = np.stack(np.divmod(cells, self.world.grid.cols), axis=1)
        masks = self.world.masks[cells]
        places[~chosen] = 0
        masks[~chosen] = 0
        return {
            "cell": places,
            "_cell": chosen.copy(),
            "action_mask": masks,
            "_action_mask": chosen.copy(),
        }

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step every agent.

        Args:
            actions: integers (num_envs,).

        Returns:
            observations, rewards (float64), terminations, truncations (bool) and infos, all new.

        Raises:
            SettingError: the actions have another shape or type, or lie outside the action space.
            gymnasium.error.ResetNeeded: before the first reset; or, with autoreset disabled, for an
                agent whose episode is over.
        """
        given = self._checked(actions)
        if not self._begun:
            raise gym.error.ResetNeeded("call reset() before step()")
        if self._mode == DISABLED and self._done.any():
            raise gym.error.ResetNeeded(
                f"the episode of agent {int(self._done.argmax())} is over: "
                f"reset(options={{'reset_mask': terminations | truncations}})"
            )
        n = self.num_envs
        rewards = np.empty(n, np.float64)
        terminated = np.empty(n, np.bool_)
        truncated = np.empty(n, np.bool_)
        final = np.empty(n, np.int64)
        taken = given if self.world.slip == 0 else self._slipped(given)
        stamped = None if self.render_mode is None else self._stamped(taken)
        ended = step_agents(
            self.world.successors,
            self.world.rewards,
            self.world.picture_cells,
            taken,
            self._limit,
            self._mode,
            self._cells,
            self._steps,
            self._done,
            self._keys,
            self._episodes,
            rewards,
            terminated,
            truncated,
            final,
        )
        if ended < 0:
            wrong = int(np.flatnonzero((given < 0) | (given >= self.world.actions.n))[0])
            raise SettingError(
                f"action {given[wrong]} of agent {wrong} is outside "
                f"Discrete({self.world.actions.n})"
            )
        if stamped is not None:
            self._walks.append((stamped, taken))
        infos: dict[str, Any] = {}
        if self._masks:
            infos = self._place_infos(np.ones(n, np.bool_), self._cells)
        if ended and self._mode == SAME_STEP:
            infos |= self._final_infos(terminated | truncated, final)
        return self._observe(self._cells), rewards, terminated, truncated, infos

    def _checked(self, actions: Any) -> NDArray[np.int64]:
        try:
            given = np.asarray(actions)
        except ValueError:  # Lists of unequal lengths
            given = np.empty(0, object)
        if given.shape != (self.num_envs,) or given.dtype.kind not in "iu":
            raise SettingError(
                f"actions must be {self.num_envs} integers, not {given.dtype} of shape "
                f"{given.shape}"
            )
        if given.dtype == np.uint64:
            # The largest would wrap to negative numbers, and be reported as such
            given = np.minimum(given, np.uint64(np.iinfo(np.int64).max))
        return np.ascontiguousarray(given, np.int64)

    def _slipped(self, actions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the actions that the agents carry out, given those that they have chosen."""
        taken = np.empty_like(actions)
        slip_actions(
            actions,
            self.world.actions.n_moves,
            self.world.slip,
            self._steps,
            self._keys,
            self._episodes,
            taken,
        )
        return taken

    def _stamped(self, actions: NDArray[np.int64]) -> NDArray[np.int64]:
        known = np.clip(actions, 0, self.world.actions.n - 1)
        successors = self.world.next_state[self._cells, known].astype(np.int64)
        return np.where((successors == self._cells) | self._done, EXIT, successors)

    def _final_infos(self, ended: NDArray[np.bool_], final: NDArray[np.int64]) -> dict[str, Any]:
        last = np.full(self.num_envs, None, object)
        places = np.flatnonzero(ended)
        observed = self._observe(final[places])
        for row, i in enumerate(places):
            if isinstance(observed, dict):
                last[i] = {name: values[row] for name, values in observed.items()}
            else:
                last[i] = observed[row] if observed.ndim > 1 else int(observed[row])
        infos: dict[str, Any] = {}
        if self._masks:
            infos = self._place_infos(ended, np.where(ended, final, 0))
        return {
            "final_obs": last,
            "_final_obs": ended.copy(),
            "final_info": infos,
            "_final_info": ended.copy(),
        }

    def _observe(self, cells: NDArray[np.int64]) -> Any:
        return self._single.observe_cells(cells)

    def rollout(
        self,
        policy: HasProbabilities | NDArray[np.integer[Any]] | None,
        steps: int,
        *,
        threads: int = 1,
    ) -> VectorRollout:
        """Step all agents many times inside compiled code; episodes are reset on the way.

        It continues from where the agents are, and leaves them where they arrive. The result does
        not depend on the number of threads.

        Args:
            policy: a policy with ``probabilities()``; an integer array (n_cells,) with the action
                for each cell; or ``None`` for uniformly random actions.
            steps: number of steps, at least 1.
            threads: number of threads that share the work.

        Raises:
            SettingError: the policy has another shape, actions outside the action space, or rows
                that are not probabilities; there are no steps or threads, or more steps than fit.
            gymnasium.error.ResetNeeded: before the first reset, or where an episode is over.
        """
        steps = whole_number("steps", steps, least=1)
        threads = min(whole_number("threads", threads, least=1), self.num_envs)
        if steps * self.num_envs > _MOST_ROLLED_OUT:
            raise SettingError(
                f"{steps:,} steps of {self.num_envs:,} agents are too many at once: take at most "
                f"{max(1, _MOST_ROLLED_OUT // self.num_envs):,}, and continue from there"
            )
        if not self._begun or (self._mode == DISABLED and self._done.any()):
            raise gym.error.ResetNeeded("call reset() before rollout()")
        choice = choice_of(policy, self.world)
        n = self.num_envs
        record = Record(
            np.empty((steps + 1, n), np.int32),
            np.empty((steps, n), np.int32),
            np.empty((steps, n), np.float32),
            np.empty((steps, n), np.bool_),
            np.empty((steps, n), np.bool_),
        )

        world = WorldTables(
            self.world.successors, self.world.rewards, self.world.picture_cells, self.world.slip
        )
        agents = Agents(self._cells, self._steps, self._done, self._keys, self._episodes)

        def walk(first: int, last: int) -> None:
            roll_out(world, choice, self._limit, agents, first, last, record)

        # Under NEXT_STEP, episodes that ended in the last step wait for this reset
        begin_episodes(
            self.world.picture_cells, self._done, self._cells, self._keys, self._episodes
        )
        self._steps[self._done] = 0
        self._done[:] = False
        self._walks.clear()
        edges = [n * part // threads for part in range(threads + 1)]
        if threads == 1:
            walk(0, n)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(walk, edges[:-1], edges[1:]))
        return VectorRollout(*record)

    def render(self) -> tuple[Any, ...] | None:
        """Draw each agent's picture, as ``GlitchGridEnv.render`` does.

        ``render_all`` draws one picture of all agents, and is the better one for many.

        Returns:
            num_envs arrays, uint8 (height, width, 3), or texts for ``"ansi"``; ``None`` without a
            render mode.
        """
        if not self._can_render():
            return None
        cells, actions = self._present_walks()
        return tuple(
            self._single.render_walk(
                [
                    (int(stamped), int(action))
                    for stamped, action in zip(cells[i, :length], actions[i, :length], strict=True)
                ],
                int(self._cells[i]),
            )
            for i, length in enumerate(self._steps)
        )

    def render_all(self) -> Any:
        """Draw one picture, as all agents together have left it in their present episodes.

        Returns:
            uint8 (height, width, 3) with every agent's cell marked; text for ``"ansi"``; ``None``
            without a render mode.
        """
        if not self._can_render():
            return None
        if self.render_mode == "ansi":
            return self._single.render_text(self._cells)
        # Imported here as in GlitchGridEnv.render_walk: environments draw themselves
        from glitch_render.engine.replay import mark_cell, replay_walks

        cells, actions = self._present_walks()
        frame = replay_walks(self._single.frame, self.world, cells, actions, seed=self._single.seed)
        for cell in np.unique(self._cells):
            mark_cell(frame, self.world.grid, int(cell))
        return frame

    def _can_render(self) -> bool:
        if self.render_mode is None:
            gym.logger.warn(
                "render() needs a mode: gym.make_vec('GlitchGrid-v0', render_mode='rgb_array')"
            )
            return False
        if not self._begun:
            raise gym.error.ResetNeeded("call reset() first")
        return True

    def _present_walks(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return the stamped cells and the actions of the present episodes, (num_envs, steps)."""
        length = len(self._walks)
        cells = np.full((self.num_envs, length), -1, np.int32)
        actions = np.full((self.num_envs, length), -1, np.int32)
        for t, (stamped, taken) in enumerate(self._walks):
            # By the step of the episode, which keys the random colours
            step = self._steps - (length - t)
            present = np.flatnonzero(step >= 0)
            cells[present, step[present]] = stamped[present]
            actions[present, step[present]] = taken[present]
        return cells, actions
