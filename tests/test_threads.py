"""What belongs to the whole process is left as it was, whichever threads use it at once."""

from __future__ import annotations

import contextlib
import threading
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from glitch_agents import DQN
from glitch_gym.activation import compute_activation
from glitch_gym.activation.cam import class_scores, load_backbone
from glitch_gym.dynamics import make_world
from glitch_gym.env import GlitchGridEnv
from glitch_gym.errors import RecipeError
from glitch_gym.picture import read_picture
from glitch_gym.settings import WorldSettings
from glitch_render.recipe.files import recipe_text


def together(*jobs):
    """Run jobs in threads at once, and raise what one of them raised."""
    errors = []

    def run(job):
        try:
            job()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
        assert not one.is_alive()
    assert not errors, errors


def test_two_jobs_at_once_sum_in_one_thread_and_leave_torchs_number_as_it_was(small, monkeypatch):
    network = load_backbone("efficientnet_lite0")
    told, entered = [2], threading.Barrier(2, timeout=0.5)
    # Torch's number, as one for the process, and every job stops in the middle of its work
    monkeypatch.setattr(torch, "get_num_threads", lambda: told[0])
    monkeypatch.setattr(torch, "set_num_threads", lambda n: told.__setitem__(0, n))
    seen = []

    def features(x):
        # Broken where the other job waits for its turn, as it should
        with contextlib.suppress(threading.BrokenBarrierError):
            entered.wait()
        seen.append(told[0])
        return network.features(x)

    slow = type(network)(features, network.weight, network.bias, network.normalise)
    together(*(lambda: class_scores(small, slow) for _ in range(2)))
    assert seen == [1, 1]
    assert told == [2]


def test_a_learning_network_lets_an_activation_in_between_two_episodes(small):
    frame = read_picture("sample:balloon").frame
    settings = WorldSettings((6, 4), ["same"])
    world = make_world(compute_activation(frame, "edges"), frame.shape[:2], settings)
    env = GlitchGridEnv.from_world(world, frame, observation="coordinates")
    network = load_backbone("efficientnet_lite0")
    begun, done = threading.Event(), threading.Event()
    finished_first = []

    def progress(episode, episodes):
        begun.set()
        if episode == episodes:
            finished_first.append(done.is_set())

    def learn():
        DQN(hidden=16).learn(env, episodes=2000, seed=0, progress=progress)

    def look():
        begun.wait(30)
        class_scores(small, network)
        done.set()

    threads = torch.get_num_threads()
    together(learn, look)
    assert finished_first == [True]
    assert torch.get_num_threads() == threads


def test_pictures_read_in_many_threads_leave_the_filters_of_warnings_as_they_were(tmp_path):
    path = tmp_path / "one.png"
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(path)
    path_of_recipe = tmp_path / "two.webp"
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(path_of_recipe)
    before = list(warnings.filters)

    def read():
        for _ in range(60):
            read_picture(path)
            with pytest.raises(RecipeError):
                recipe_text(path_of_recipe)

    together(*[read] * 6)
    assert warnings.filters == before
