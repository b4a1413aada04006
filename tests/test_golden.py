from __future__ import annotations

import numpy as np
import pytest
from PIL import Image


def test_a_golden_picture_that_differs_is_left_with_its_reference_and_their_difference(
    tmp_path, monkeypatch, golden, request
):
    plugin = request.config.pluginmanager.get_plugin(str(request.path.parent / "conftest.py"))
    monkeypatch.setattr(plugin, "FAILED", tmp_path / "failed")
    monkeypatch.setattr(plugin, "GOLDEN", tmp_path)
    reference = np.full((4, 6, 3), 100, np.uint8)
    Image.fromarray(reference).save(tmp_path / "one.png")
    golden("one", reference)
    assert not (tmp_path / "failed").exists()
    picture = reference.copy()
    picture[1, 2] = (90, 100, 130)
    with pytest.raises(AssertionError):
        golden("one", picture)
    shown = {path.name: np.asarray(Image.open(path)) for path in (tmp_path / "failed").iterdir()}
    assert sorted(shown) == ["one-difference.png", "one-picture.png", "one-reference.png"]
    assert shown["one-difference.png"][1, 2].tolist() == [10, 0, 30]
    assert shown["one-difference.png"].sum() == 40
