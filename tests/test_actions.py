from __future__ import annotations

import pytest

from glitch_gym.actions import ActionSet
from glitch_gym.errors import SettingError

FIVE = ("same", "pixelate", "desaturate", "invert", "random")


def test_names_follow_the_posts_figure():
    actions = ActionSet(FIVE)
    assert actions.n == 20
    assert actions.names[:4] == ("same_up", "same_down", "same_left", "same_right")
    assert actions.names[10] == "desaturate_left"


@pytest.mark.parametrize("moves", [4, 8])
def test_encode_and_decode_are_inverse(moves):
    actions = ActionSet(FIVE, moves)
    for index in range(actions.n):
        effect, move = actions.decode(index)
        assert actions.encode(effect, move) == index
        assert actions.names[index] == f"{effect}_{move}"
        assert index == FIVE.index(effect) * moves + index % moves


def test_index_finds_actions_by_name():
    assert ActionSet(FIVE).index(["same_up", "random_right"]) == [0, 19]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((),), "empty"),
        ((("same", "same"),), "twice"),
        ((("pixelat",),), "did you mean 'pixelate'"),
        ((("same",), 5), "4 or 8"),
    ],
)
def test_bad_action_sets_are_refused(arguments, message):
    with pytest.raises(SettingError, match=message):
        ActionSet(*arguments)


def test_foreign_actions_are_refused():
    actions = ActionSet(FIVE)
    with pytest.raises(SettingError, match="outside"):
        actions.decode(20)
    with pytest.raises(SettingError, match="unknown effect"):
        actions.encode("artifact", "up")
    with pytest.raises(SettingError, match="unknown move"):
        actions.encode("same", "up_left")
    with pytest.raises(SettingError, match="did you mean 'same_up'"):
        actions.index(["same_upp"])
