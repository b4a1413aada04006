"""What belongs to the whole process is left as it was, whichever threads use it at once."""

from __future__ import annotations

import contextlib
import threading
import warnings
from functools import partial

import numpy as np
import pytest
from PIL import Image
from support.lazy import torch

from glitch_agents import DQN
from glitch_gym.activation import compute_activation
from glitch_gym.activation.cam import class_scores, load_backbone
from glitch_gym.dynamics import make_world
from glitch_gym.env import GlitchGridEnv
from glitch_gym.errors import RecipeError
from glitch_gym.picture import read_picture
from glitch_gym.settings import WorldSettings
from glitch_render.recipe.files import recipe_text

# Only the worker that runs these imports PyTorch
pytestmark = pytest.mark.xdist_group("torch")


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


def slow_network(look):
    """Return a network that waits in the middle of its work, and looks at torch's threads."""

    class Slow(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = torch.nn.Conv2d(3, 4, 32, 32), torch.nn.Linear(4, 2)

        def forward(self, x):
            look()
            return self.fc(self.conv(x).mean((2, 3)))

    return Slow().eval()


def test_two_jobs_at_once_sum_in_one_thread_and_leave_torchs_number_as_it_was(small, monkeypatch):
    told, entered = [2], threading.Barrier(2, timeout=0.5)
    # Torch's number, as one for the process, and every job stops in the middle of its work
    monkeypatch.setattr("torch.get_num_threads", lambda: told[0])
    monkeypatch.setattr("torch.set_num_threads", lambda n: told.__setitem__(0, n))
    seen = []

    def look():
        # Broken where the other job waits for its turn, as it should
        with contextlib.suppress(threading.BrokenBarrierError):
            entered.wait()
        seen.append(told[0])

    together(*(lambda: compute_activation(small, slow_network(look)) for _ in range(2)))
    assert seen == [1, 1]
    assert told == [2]


def test_jobs_at_once_in_one_session_get_what_each_gets_alone(small):
    network = load_backbone("efficientnet_lite0")
    frames = [np.roll(small, shift, axis=1) for shift in range(6)]
    alone = [class_scores(frame, network) for frame in frames]

    def look(place):
        for _ in range(5):
            found = class_scores(frames[place], network)
            np.testing.assert_array_equal(found.scores, alone[place].scores)
            np.testing.assert_array_equal(found.features, alone[place].features)

    together(*(partial(look, place) for place in range(len(frames))))


def test_a_learning_network_lets_an_activation_in_between_two_episodes(small):
    frame = read_picture("sample:balloon").frame
    settings = WorldSettings((6, 4), ["same"])
    world = make_world(compute_activation(frame, "edges"), frame.shape[:2], settings)
    env = GlitchGridEnv.from_world(world, frame, observation="coordinates")
    network = slow_network(lambda: None)
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
        compute_activation(small, network)
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
