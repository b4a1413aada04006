from __future__ import annotations

import numpy as np
from gymnasium.utils import seeding
from hypothesis import given, settings
from hypothesis import strategies as st

from glitch_gym.seeding import episode_key, episode_keys, first_draws
from glitch_gym.vector_env import GlitchGridVectorEnv

EDGES = [0, 1, 2**32 - 1, 2**32, 2**32 + 1, 2**63, 2**64 - 1]


def drawn_by_numpy(seeds):
    return [episode_key(seeding.np_random(seed)[0]) for seed in seeds]


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1) | st.sampled_from(EDGES), min_size=1))
def test_first_draws_are_numpys(seeds):
    assert first_draws(np.array(seeds, np.uint64)).tolist() == drawn_by_numpy(seeds)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 2**200), max_size=5))
def test_seeds_of_any_size_have_numpys_keys(seeds):
    assert episode_keys(iter(seeds)).tolist() == drawn_by_numpy(seeds)


def test_agents_on_either_side_of_two_to_the_64_are_seeded_as_scalar_envs_are():
    first = 2**64 - 2
    env = GlitchGridVectorEnv(4)
    env.reset(seed=first)
    alone = GlitchGridVectorEnv(1)
    for i in range(4):
        alone.reset(seed=first + i)
        assert alone.cells[0] == env.cells[i]
