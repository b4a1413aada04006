"""A batch: many pictures and clips into a folder, whatever some of them are."""

from __future__ import annotations

import csv
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from support.clips import make_clip, scene

from glitch_gym.errors import OutputError, PictureError, SettingError
from glitch_render import Layer, Recipe
from glitch_render.batches.plan import plan_batch
from glitch_render.batches.run import BatchOptions, batch
from glitch_render.stills import corrupt_picture

RECIPE = Recipe(
    layers=[
        Layer(grid=(12, 16), fit="stretch", iterations=60, agents=40,
              effects={"same": {}, "invert": {}}),
    ],
    activation="edges",
    seed=7,
)  # fmt: skip
UNCACHED = BatchOptions(cache=False)


@pytest.fixture
def photos(tmp_path, small):
    """Six pictures in nested folders, one of them cut short, beside a text file."""
    folder = tmp_path / "photos"
    (folder / "deep" / "er").mkdir(parents=True)
    for number, name in enumerate(("b.png", "a.jpg", "deep/c.webp", "deep/er/d.png", "e.bmp")):
        Image.fromarray(np.roll(small, 10 * number, axis=1)).save(folder / name)
    whole = (folder / "b.png").read_bytes()
    (folder / "short.png").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.txt").write_text("not a picture")
    return folder


def outputs(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "report.csv"
    }


def test_folders_are_mirrored_and_a_damaged_file_stops_nothing(tmp_path, photos):
    rows = batch([str(photos)], tmp_path / "out", RECIPE, UNCACHED)
    assert list(outputs(tmp_path / "out")) == [
        "a.jpg", "b.png", "deep/c.webp", "deep/er/d.png", "e.png",
    ]  # fmt: skip
    (failed,) = [row for row in rows if row.status == "failed"]
    assert failed.source.endswith("short.png")
    assert "short.png" in failed.message
    with (tmp_path / "out" / "report.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["source"] for row in written] == sorted(row["source"] for row in written)
    assert {row["status"] for row in written} == {"done", "failed"}


def test_each_file_is_what_the_recipe_with_its_seed_makes_of_it(tmp_path, photos):
    rows = batch([str(photos / "a.jpg")], tmp_path / "out", RECIPE, UNCACHED)
    alone = tmp_path / "alone.jpg"
    corrupt_picture(str(photos / "a.jpg"), alone, RECIPE.model_copy(update={"seed": rows[0].seed}))
    assert (tmp_path / "out" / "a.jpg").read_bytes() == alone.read_bytes()


def test_bytes_depend_on_neither_order_nor_company_nor_workers(tmp_path, photos):
    batch([str(photos)], tmp_path / "one", RECIPE, UNCACHED)
    with ThreadPoolExecutor(3) as threads:
        batch(
            [str(photos / "deep"), str(photos / "b.png")], tmp_path / "two", RECIPE, UNCACHED,
            executor=threads,
        )  # fmt: skip
    one, two = outputs(tmp_path / "one"), outputs(tmp_path / "two")
    assert two["b.png"] == one["b.png"]
    # Named below another folder, so of another seed
    assert set(two) == {"b.png", "c.webp", "er/d.png"}


def test_one_seed_for_all_is_the_recipes_own(tmp_path, photos):
    rows = batch([str(photos)], tmp_path / "out", RECIPE, BatchOptions(same_seed=True, cache=False))
    assert {row.seed for row in rows} == {RECIPE.seed}


def test_resume_renders_only_what_is_missing_changed_or_damaged(tmp_path, photos):
    out = tmp_path / "out"
    batch([str(photos)], out, RECIPE, UNCACHED)
    before = outputs(out)
    (out / "b.png").unlink()
    (out / "a.jpg").write_bytes(before["a.jpg"][:100])
    with (photos / "e.bmp").open("r+b") as file:
        file.seek(-30, 2)
        file.write(b"\0\377" * 10)
    shutil.copy(photos / "b.png", photos / "short.png")
    again = BatchOptions(resume=True, force=True, cache=False)
    rows = batch([str(photos)], out, RECIPE, again)
    kept = {row.source.rpartition("/")[2] for row in rows if row.status == "kept"}
    assert kept == {"c.webp", "d.png"}
    after = outputs(out)
    assert {name: after[name] for name in before if name != "e.png"} == {
        name: content for name, content in before.items() if name != "e.png"
    }
    assert "short.png" in after
    changed = RECIPE.model_copy(update={"seed": 8})
    assert all(row.status == "done" for row in batch([str(photos)], out, changed, again))


def test_a_stopped_batch_keeps_what_was_finished(tmp_path, photos):
    out = tmp_path / "out"

    def stop(done, total, row):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        batch([str(photos)], out, RECIPE, UNCACHED, progress=stop)
    finished = outputs(out)
    rows = batch([str(photos)], out, RECIPE, BatchOptions(resume=True, cache=False))
    kept = [row for row in rows if row.status == "kept"]
    assert 2 <= len(kept) <= 3
    assert finished.items() <= outputs(out).items()


def test_an_existing_output_is_not_replaced_unasked(tmp_path, photos):
    out = tmp_path / "out"
    out.mkdir()
    (out / "b.png").write_bytes(b"mine")
    rows = batch([str(photos / "b.png")], out, RECIPE, UNCACHED)
    assert rows[0].status == "failed"
    assert "exists" in rows[0].message
    assert (out / "b.png").read_bytes() == b"mine"


def test_pictures_and_clips_are_mixed(tmp_path, photos):
    make_clip(photos / "walk.mp4", scene(6, 64, 48), rate=10)
    rows = batch([str(photos / "b.png"), str(photos / "walk.mp4")], tmp_path / "out", RECIPE,
                 UNCACHED)  # fmt: skip
    assert [row.status for row in rows] == ["done", "done"]
    assert set(outputs(tmp_path / "out")) == {"b.png", "walk.mp4"}


def test_a_pattern_mirrors_what_follows_its_fixed_part(tmp_path, photos):
    files = plan_batch([str(photos / "**" / "*.png")], tmp_path / "out", seed=1)
    assert [one.name for one in files] == ["b.png", "deep/er/d.png", "short.png"]


def test_a_second_run_does_not_take_its_own_outputs_for_sources(tmp_path, photos):
    inside = photos / "out"
    batch([str(photos)], inside, RECIPE, UNCACHED)
    rows = batch([str(photos)], inside, RECIPE, BatchOptions(resume=True, cache=False))
    assert {row.status for row in rows} == {"kept", "failed"}


@pytest.mark.parametrize(
    ("sources", "template", "error", "words"),
    [
        (["nowhere/"], "{stem}{suffix}", PictureError, "no such file"),
        (["photos/*.tiff"], "{stem}{suffix}", PictureError, "nothing to read"),
        (["photos"], "same{suffix}", OutputError, "would both become"),
        (["photos"], "{stem.__class__}", SettingError, "can hold"),
        (["photos"], "{stem!r}", SettingError, "can hold"),
        (["photos"], "{stem:>9999999}", SettingError, "can hold"),
        (["photos"], "../{stem}{suffix}", SettingError, "without folders"),
        (["photos"], "{", SettingError, "is wrong"),
        (["photos"], "{0}", SettingError, "can hold"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(
    tmp_path, photos, monkeypatch, sources, template, error, words
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=words):
        plan_batch(sources, tmp_path / "out", seed=1, template=template)


def test_a_source_is_never_written_over(tmp_path, photos):
    with pytest.raises(OutputError, match="is itself a source"):
        plan_batch([str(photos / "b.png")], photos, seed=1)
