"""GlitchPictures-v0 and GlitchClip-v0: many pictures, and pictures that move, as one grid world."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from glitch_gym.activation import recall_activation
from glitch_gym.activation.base import Activation
from glitch_gym.checks import shown, whole_number
from glitch_gym.dynamics import EXIT, recall_world
from glitch_gym.env import DEFAULT_EFFECTS, GlitchGridEnv
from glitch_gym.errors import PictureError, SettingError, unknown_name_error
from glitch_gym.observation import View
from glitch_gym.picture import check_frame, read_frame
from glitch_gym.procedural import draw_clip, draw_picture
from glitch_gym.samples import SAMPLES
from glitch_gym.settings import Effects, WorldSettings
from glitch_gym.stacked_worlds import stack_worlds
from glitch_gym.vector_env import GlitchGridVectorEnv

__all__ = ["GlitchClipEnv", "GlitchClipVectorEnv", "GlitchPicturesEnv", "GlitchPicturesVectorEnv"]

Frame = NDArray[np.uint8]

_MOST_PICTURES = 100_000
_ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


class GlitchPicturesEnv(GlitchGridEnv):
    """An agent walks over one picture of many, another in every episode.

    ## Description
    The task of `GlitchGrid-v0`, in a set of pictures instead of one. By default they come from a
    procedural family: shapes with textures in front of gradients, hills and clouds, drawn by
    number. It has a train and a test split without a common picture, so that it can be measured
    whether a policy has learned to read pictures or knows them by heart. The activation of a
    procedural picture is the true mask of its subject, and no network is needed.

    ## Action Space
    As in `GlitchGrid-v0`: `Discrete(effects × moves)`.

    ## Observation Space
    As in `GlitchGrid-v0`, by `observation`, with bounds that all pictures share. `"patch"` (the
    default) and `"pixels"` are what a policy can take from one picture to another. `"cell"` is
    `Discrete(pictures · rows · cols)`, picture · rows · cols + row · cols + col; the coordinates
    are those in the picture.

    ## Starting State
    A uniformly random cell of a uniformly random picture, or
    `reset(options={"picture": index, "cell": (row, col)})`.

    ## Transitions and Rewards
    Those of `GlitchGrid-v0` in that picture. The grid covers the whole picture (`fit="stretch"`),
    so no cell is prohibited. The reward noise of each picture is its own.

    ## Episode End
    Terminated: the agent left the picture. Truncated: after `max_episode_steps`, 20 unless given.

    ## Information
    `cell` (row, col) in the picture, `picture`, its index, and `action_mask`.

    ## Arguments
    ```python
    gym.make("GlitchPictures-v0", split="test", pictures=100, observation="pixels")
    ```

    Args:
        images: `"procedural"`; `"samples"`, the sample photographs, which are held out from
            training; or a sequence of paths and `"sample:NAME"`s.
        pictures: number of procedural pictures.
        split: `"train"` or `"test"`, of the procedural family.
        grid: (rows, cols) over each picture.
        effects: as in `GlitchGrid-v0`.
        activation: name of the activation of `images` that are not procedural.
        objective: `"escape"` or `"linger"`.
        reward_range: as in `GlitchGrid-v0`.
        exit_reward: as in `GlitchGrid-v0`.
        invert: as in `GlitchGrid-v0`.
        median: as in `GlitchGrid-v0`.
        moves: 4 or 8.
        slip: as in `GlitchGrid-v0`.
        observation: kind of observation, see above.
        patch_size: side of the `"patch"`, odd.
        pixel_size: side of the `"pixels"`.
        seed: seed of the procedural family and of the reward noise.
        render_mode: `"rgb_array"` or `"ansi"`.

    ## Version History
    * v0: initial version
    """

    _moving = False

    def __init__(
        self,
        images: str | Sequence[str | Path] = "procedural",
        *,
        pictures: int = 200,
        split: str = "train",
        grid: tuple[int, int] = (10, 15),
        effects: Effects = DEFAULT_EFFECTS,
        activation: str = "spectral_residual",
        objective: str = "escape",
        reward_range: tuple[float, float] | None = None,
        exit_reward: float | None = None,
        invert: bool = False,
        median: int = 3,
        moves: int = 4,
        slip: float = 0.0,
        observation: Literal["cell", "coordinates", "masked", "patch", "pixels"] = "patch",
        patch_size: int = 5,
        pixel_size: int = 84,
        seed: int = 0,
        render_mode: str | None = None,
    ) -> None:
        seed = whole_number("seed", seed, most=None)
        settings = WorldSettings(
            grid=grid,
            effects=effects,
            fit="stretch",
            moves=moves,
            slip=slip,
            objective=objective,
            reward_range=reward_range,
            exit_reward=exit_reward,
            invert=invert,
            median=median,
        )
        view = View(observation, patch_size, pixel_size, settings.reward_bounds)
        frames, activations = _pictures_of(images, pictures, split, seed, activation)
        self._build(frames, activations, settings, view, seed, render_mode)

    def _build(
        self,
        frames: Sequence[Frame],
        activations: Sequence[Activation],
        settings: WorldSettings,
        view: View,
        seed: int,
        render_mode: str | None,
    ) -> None:
        self.frames = list(frames)
        self.worlds = [
            recall_world(
                one, (frame.shape[0], frame.shape[1]), settings, seed=seed,
                layer=0 if self._moving else index,
            )
            for index, (frame, one) in enumerate(zip(frames, activations, strict=True))
        ]  # fmt: skip
        self._cells_each = self.worlds[0].grid.n_cells
        world = stack_worlds(self.worlds, moving=self._moving)
        self._start(world, self.frames, view, None, seed, render_mode)

    def picture_of(self, cell: int) -> tuple[int, int]:
        """Return the index of a cell's picture, and the cell's flat index within it."""
        return divmod(cell, self._cells_each)

    def chosen_cell(self, options: dict[str, Any]) -> int | None:
        """Return the flat index of the cell that reset options choose, or ``None``.

        Raises:
            SettingError: an unknown option, only one of the two, or a cell outside the picture.
        """
        if not isinstance(options, Mapping):
            raise SettingError(f"reset options are a dict, not {shown(options)}")
        unknown = {str(name) for name in options} - {"cell", "picture"}
        if unknown:
            raise unknown_name_error("reset option", sorted(unknown)[0], ["cell", "picture"])
        if not options:
            return None
        if len(options) < 2:
            raise SettingError("reset options need both a 'picture' and a 'cell', or neither")
        most = len(self.worlds) - 1
        picture = whole_number("options['picture']", options["picture"], most=most)
        row_col, grid = options["cell"], self.worlds[0].grid
        try:
            row, col = (whole_number("cell", value, most=None) for value in row_col)
        except (TypeError, ValueError) as error:
            raise SettingError(
                f"options['cell'] must be (row, col), not {shown(row_col)}"
            ) from error
        if row >= grid.rows or col >= grid.cols:
            raise SettingError(
                f"options['cell'] = ({row}, {col}) is outside the picture's "
                f"{grid.rows}×{grid.cols} cells"
            )
        return picture * self._cells_each + row * grid.cols + col

    def _info(self) -> dict[str, Any]:
        picture, cell = self.picture_of(self._place())
        place = np.empty(2, np.int64)
        place[0], place[1] = divmod(cell, self.world.grid.cols)
        mask = self.world.masks[self._place()].copy()
        return {"cell": place, "picture": picture, "action_mask": mask}

    def render_walk(self, walk: Sequence[tuple[int, int]], cell: int) -> Any:
        """Draw the agent's picture after a walk, or its map as text, by the render mode.

        Args:
            walk: for each step the cell that was entered, or −1, and the action.
            cell: flat index of the cell where the agent is.
        """
        picture, here = self.picture_of(cell)
        own = GlitchGridEnv.from_world(
            self.worlds[picture],
            self.frames[picture],
            seed=self.seed,
            render_mode=self.render_mode,
        )
        entered = [
            (there if there == EXIT else self.picture_of(there)[1], by) for there, by in walk
        ]
        return own.render_walk(entered, here)


class GlitchClipEnv(GlitchPicturesEnv):
    """An agent walks over a clip, whose rewards move on by one frame at every step.

    ## Description
    The task of `GlitchGrid-v0` in a world that does not stand still: each step leads into the next
    frame of a clip, and the reward for entering a cell is that of the new frame. After the last
    frame comes the first. By default the clip is procedural: a subject that circles and turns.

    ## Action Space
    As in `GlitchGrid-v0`: `Discrete(effects × moves)`.

    ## Observation Space
    As in `GlitchPictures-v0`, where a picture is now a frame. `"cell"` tells an agent the moment,
    `"patch"` the rewards around it in the present frame, which is not the one that it is about to
    enter. With `"coordinates"` the moment is hidden, and the world non-stationary.

    ## Starting State
    A uniformly random cell of a uniformly random frame, or
    `reset(options={"picture": frame, "cell": (row, col)})`.

    ## Transitions and Rewards
    Into a cell of the next frame, for the reward of entering it there; off the grid for
    `exit_reward`, which terminates. The reward noise is the same in all frames.

    ## Episode End
    Terminated: the agent left the picture. Truncated: after `max_episode_steps`, 20 unless given.

    ## Information
    `cell` (row, col), `picture`, the index of the frame, and `action_mask`.

    ## Arguments
    ```python
    gym.make("GlitchClip-v0", clip="frames/*.png", objective="linger")
    ```

    Args:
        clip: `"procedural"`; a folder of pictures or a pattern such as `"frames/*.png"`, in the
            order of their names; a sequence of paths; or a uint8 array (frames, height, width, 3).
            Footage becomes one by `ffmpeg -i clip.mp4 frames/%05d.png`.
        frames: number of frames of the procedural clip.
        split: `"train"` or `"test"`, of the procedural family.
        index: number of the procedural picture that moves.
        grid: (rows, cols) over each frame.
        effects: as in `GlitchGrid-v0`.
        activation: name of the activation of a clip that is not procedural.
        objective: `"escape"` or `"linger"`.
        reward_range: as in `GlitchGrid-v0`.
        exit_reward: as in `GlitchGrid-v0`.
        invert: as in `GlitchGrid-v0`.
        median: as in `GlitchGrid-v0`.
        moves: 4 or 8.
        slip: as in `GlitchGrid-v0`.
        observation: kind of observation, see above.
        patch_size: side of the `"patch"`, odd.
        pixel_size: side of the `"pixels"`.
        seed: seed of the procedural family and of the reward noise.
        render_mode: `"rgb_array"` or `"ansi"`.

    ## Version History
    * v0: initial version
    """

    _moving = True

    def __init__(
        self,
        clip: str | Sequence[str | Path] | Frame = "procedural",
        *,
        frames: int = 32,
        split: str = "train",
        index: int = 0,
        grid: tuple[int, int] = (10, 15),
        effects: Effects = DEFAULT_EFFECTS,
        activation: str = "spectral_residual",
        objective: str = "escape",
        reward_range: tuple[float, float] | None = None,
        exit_reward: float | None = None,
        invert: bool = False,
        median: int = 3,
        moves: int = 4,
        slip: float = 0.0,
        observation: Literal["cell", "coordinates", "masked", "patch", "pixels"] = "patch",
        patch_size: int = 5,
        pixel_size: int = 84,
        seed: int = 0,
        render_mode: str | None = None,
    ) -> None:
        seed = whole_number("seed", seed, most=None)
        settings = WorldSettings(
            grid=grid,
            effects=effects,
            fit="stretch",
            moves=moves,
            slip=slip,
            objective=objective,
            reward_range=reward_range,
            exit_reward=exit_reward,
            invert=invert,
            median=median,
        )
        view = View(observation, patch_size, pixel_size, settings.reward_bounds)
        if isinstance(clip, str) and clip == "procedural":
            drawn = draw_clip(index, frames, split=split, seed=seed)
            shown_frames: Sequence[Frame] = [one.frame for one in drawn]
            activations = [Activation(one.mask) for one in drawn]
        else:
            shown_frames = _frames_of(clip)
            activations = [recall_activation(one, activation) for one in shown_frames]
        self._build(shown_frames, activations, settings, view, seed, render_mode)


class GlitchPicturesVectorEnv(GlitchGridVectorEnv):
    """Many agents on many pictures, stepped and reset in one compiled loop.

    Its observations, actions, rewards and endings are those of ``GlitchPicturesEnv``; equal seeds
    and actions give equal results, bit for bit.

    Args:
        num_envs: number of agents, at least 1.
        max_episode_steps: steps after which an episode is truncated; −1 for no limit.
        autoreset_mode: as in ``GlitchGridVectorEnv``.
        masks: whether to put ``cell``, ``picture`` and ``action_mask`` into the infos.
        kwargs: every setting of ``GlitchPicturesEnv``.

    Raises:
        SettingError: a setting is out of range.
    """

    _scalar: type[GlitchPicturesEnv] = GlitchPicturesEnv

    def __init__(
        self,
        num_envs: int = 1,
        max_episode_steps: int | None = None,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        masks: bool = False,
        **kwargs: Any,
    ) -> None:
        env = self._scalar(**kwargs)
        super().__init__(
            num_envs, max_episode_steps, autoreset_mode=autoreset_mode, masks=masks, env=env
        )
        self._rows_each = env.worlds[0].grid.rows

    def _place_infos(self, chosen: NDArray[np.bool_], cells: NDArray[np.int64]) -> dict[str, Any]:
        infos = super()._place_infos(chosen, cells)
        pictures, rows = np.divmod(infos["cell"][:, 0], self._rows_each)
        infos["cell"][:, 0] = rows
        return {**infos, "picture": pictures, "_picture": chosen.copy()}

    def render_all(self) -> Any:
        """Raise an error, since the agents are on different pictures: ``render`` draws each.

        Raises:
            SettingError: always.
        """
        raise SettingError("the agents are on different pictures: render() draws one for each")


class GlitchClipVectorEnv(GlitchPicturesVectorEnv):
    """Many agents on one clip, each at a frame of its own, stepped in one compiled loop.

    Its observations, actions, rewards and endings are those of ``GlitchClipEnv``.

    Args:
        num_envs: number of agents, at least 1.
        max_episode_steps: steps after which an episode is truncated; −1 for no limit.
        autoreset_mode: as in ``GlitchGridVectorEnv``.
        masks: whether to put ``cell``, ``picture`` and ``action_mask`` into the infos.
        kwargs: every setting of ``GlitchClipEnv``.

    Raises:
        SettingError: a setting is out of range.
    """

    _scalar = GlitchClipEnv


def _pictures_of(
    images: object, pictures: int, split: str, seed: int, activation: str
) -> tuple[list[Frame], list[Activation]]:
    """Return the pictures that a setting stands for, and their activations."""
    if isinstance(images, str) and images == "procedural":
        count = whole_number("pictures", pictures, least=1, most=_MOST_PICTURES)
        drawn = [draw_picture(index, split=split, seed=seed) for index in range(count)]
        return [one.frame for one in drawn], [Activation(one.mask) for one in drawn]
    if isinstance(images, str) and images == "samples":
        images = [f"sample:{name}" for name in SAMPLES]
    if isinstance(images, str | bytes) or not isinstance(images, Sequence):
        raise SettingError(
            f"images must be 'procedural', 'samples' or a sequence of paths, not {shown(images)}"
        )
    frames = [_read(source) for source in images]
    if not frames:
        raise SettingError("images is empty: there must be at least one picture")
    return frames, [recall_activation(frame, activation) for frame in frames]


def _read(source: object) -> Frame:
    if not isinstance(source, str | Path):
        raise SettingError(f"a picture is named by its path, not by {shown(source)}")
    return read_frame(source)


def _frames_of(clip: object) -> list[Frame]:
    """Return the frames of an array, a folder, a pattern, or a sequence of paths."""
    if isinstance(clip, np.ndarray):
        if clip.ndim != 4:
            raise PictureError(
                f"a clip is a uint8 array (frames, height, width, 3), not of shape {clip.shape}"
            )
        frames = [np.array(frame) for frame in clip]
        for frame in frames:
            check_frame(frame)
    elif isinstance(clip, str | Path):
        folder = Path(clip)
        if folder.is_dir():
            found = sorted(one for one in folder.iterdir() if one.suffix.lower() in _ENDINGS)
        else:
            found = sorted(Path(one) for one in glob.glob(str(clip)))  # noqa: PTH207
        if not found:
            raise PictureError(
                f"{clip} names no pictures: give a folder of pictures, or a pattern such as "
                f"frames/*.png; footage becomes one by: ffmpeg -i clip.mp4 frames/%05d.png"
            )
        frames = [read_frame(one) for one in found]
    elif isinstance(clip, Sequence) and not isinstance(clip, bytes):
        frames = [_read(source) for source in clip]
    else:
        raise SettingError(
            f"clip must be 'procedural', a folder, a pattern, paths or an array, not {shown(clip)}"
        )
    if not frames:
        raise SettingError("the clip has no frames: there must be at least one")
    if len({frame.shape for frame in frames}) > 1:
        raise PictureError("the frames of a clip must all have the same size")
    return frames
