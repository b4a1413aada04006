from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from glitch_render.studio.history import History


def test_changes_are_undone_and_done_again():
    history = History("a")
    assert not history.can_undo
    assert history.undo() == "a"
    assert history.redo() == "a"
    history.put("b")
    history.put("c")
    assert history.undo() == "b"
    assert history.undo() == "a"
    assert history.redo() == "b"
    history.put("d")
    assert not history.can_redo, "another way was taken"
    assert history.undo() == "b"


def test_changes_of_one_thing_are_one_step_until_they_settle():
    history = History(0)
    for value in (1, 2, 3):
        history.put(value, "agents")
    history.put(4, "lifetime")
    history.settle()
    history.put(5, "lifetime")
    assert [history.undo() for _ in range(3)] == [4, 3, 0]


def test_the_same_again_is_no_step():
    history = History("a")
    history.put("a")
    assert not history.can_undo


@given(st.lists(st.sampled_from(["undo", "redo", "put"]), max_size=60))
def test_undo_and_redo_are_each_others_opposites(moves):
    history = History(0)
    past, future = [0], []
    for number, move in enumerate(moves, 1):
        if move == "put":
            history.put(number)
            past.append(number)
            future = []
        elif move == "undo":
            history.undo()
            if len(past) > 1:
                future.append(past.pop())
        else:
            history.redo()
            if future:
                past.append(future.pop())
        assert history.now == past[-1]
        assert history.can_undo == (len(past) > 1)
        assert history.can_redo == bool(future)
