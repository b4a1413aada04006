"""A Gymnasium grid world over pictures: agents learn to travel where the subject is.

Importing this package registers ``GlitchGrid-v0`` and its kin, ``glitch_gym.ids.ENVIRONMENTS``.
"""

from __future__ import annotations

from glitch_gym.actions import ActionSet
from glitch_gym.activation import ACTIVATIONS, compute_activation
from glitch_gym.activation.base import Activation
from glitch_gym.dynamics import GridWorld, grid_world, make_world
from glitch_gym.env import GlitchGridEnv
from glitch_gym.errors import (
    ArrayFileError,
    EngineError,
    GlitchError,
    GridError,
    Hint,
    MissingExtraError,
    OutputError,
    PictureError,
    Problem,
    RecipeError,
    ScriptError,
    SettingError,
    UnknownSettingError,
    WeightsError,
)
from glitch_gym.grid import Grid, fit_grid
from glitch_gym.ids import register_environments
from glitch_gym.picture import Picture, read_picture
from glitch_gym.pictures_env import (
    GlitchClipEnv,
    GlitchClipVectorEnv,
    GlitchPicturesEnv,
    GlitchPicturesVectorEnv,
)
from glitch_gym.policy import Policy
from glitch_gym.procedural import ProceduralPicture, draw_clip, draw_picture
from glitch_gym.settings import Noise, WorldSettings
from glitch_gym.stacked_worlds import stack_worlds
from glitch_gym.trajectories import Trajectories
from glitch_gym.vector_env import GlitchGridVectorEnv
from glitch_gym.vector_rollout import VectorRollout

__version__ = "0.1.0"

__all__ = [
    "ACTIVATIONS",
    "ActionSet",
    "Activation",
    "ArrayFileError",
    "EngineError",
    "GlitchClipEnv",
    "GlitchClipVectorEnv",
    "GlitchError",
    "GlitchGridEnv",
    "GlitchGridVectorEnv",
    "GlitchPicturesEnv",
    "GlitchPicturesVectorEnv",
    "Grid",
    "GridError",
    "GridWorld",
    "Hint",
    "MissingExtraError",
    "Noise",
    "OutputError",
    "Picture",
    "PictureError",
    "Policy",
    "Problem",
    "ProceduralPicture",
    "RecipeError",
    "ScriptError",
    "SettingError",
    "Trajectories",
    "UnknownSettingError",
    "VectorRollout",
    "WeightsError",
    "WorldSettings",
    "__version__",
    "compute_activation",
    "draw_clip",
    "draw_picture",
    "fit_grid",
    "grid_world",
    "make_world",
    "read_picture",
    "stack_worlds",
]

register_environments()
