from __future__ import annotations

import pytest
from support.clips import make_clip, scene

from glitch_render.media.tags import open_tolerantly, readable_tags


@pytest.fixture
def latin_1(tmp_path):
    """A clip whose tag of the encoder is in Latin-1."""
    path = tmp_path / "in.mkv"
    make_clip(path, scene(2, 48, 32))
    path.write_bytes(path.read_bytes().replace(b"Lavf", b"L\xe9vf"))
    return path


def test_a_tag_that_is_not_utf_8_reads_alike_in_each_pyav(latin_1):
    with open_tolerantly(latin_1) as container:
        tags = readable_tags(container.metadata)
    written = {key.lower(): value for key, value in tags.items()}["encoder"]
    assert written.startswith("L\ufffdvf")


def test_bytes_kept_as_surrogates_become_readable():
    assert readable_tags({"ti\udce9tle": "\udcff swirl", "title": "Größe"}) == {
        "ti\ufffdtle": "\ufffd swirl",
        "title": "Größe",
    }
