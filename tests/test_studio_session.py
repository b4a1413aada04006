"""What one tab of the studio has open, without a page."""

from __future__ import annotations

import gc
import io
import shutil
import threading
import time
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from support.browser import QUICK
from support.clips import make_clip, scene
from support.disk import small_disk

from glitch_gym.errors import GlitchError, Hint, PictureError, RecipeError, SettingError
from glitch_gym.picture import read_picture
from glitch_render.cache import Cache
from glitch_render.progress import Progress
from glitch_render.recipe.presets import load_preset
from glitch_render.recipe.toml import parse_recipe, read_toml
from glitch_render.stills import corrupt
from glitch_render.studio import jobs
from glitch_render.studio.export import ExportChoice
from glitch_render.studio.handlers import Handlers
from glitch_render.studio.jobs import Job, Stopped
from glitch_render.studio.masks import keep_mask
from glitch_render.studio.session import Session, Sessions
from glitch_render.studio.source import clock, open_source
from glitch_render.studio.status import error_message, error_status


@pytest.fixture
def session(tmp_path):
    (tmp_path / "sessions").mkdir()
    one = Session(tmp_path / "sessions", Cache(tmp_path / "cache"))
    yield one
    one.close()
    assert list((tmp_path / "sessions").iterdir()) == []


@pytest.fixture
def photo_path(tmp_path, small):
    Image.fromarray(small).save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


def shown(session, address):
    content, _ = session.album.find(address.rpartition("/")[2])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def silent(*_):
    pass


def uploaded(session, path):
    """Let a file be an upload of the session's tab; gives where it lies then."""
    with session.uploads.receiving(None) as folder:
        kept = folder / "upload"
        shutil.move(path, kept)
        return session.uploads.add(kept, path.name)


def files(session):
    return [path for path in session.folder.rglob("*") if path.is_file()]


def test_what_is_shown_is_the_corruption_and_what_was_before(session, tmp_path, chelsea):
    session.open("sample:chelsea", "chelsea")
    assert session.take_text(QUICK)
    made = session.show(silent)
    wanted = corrupt(chelsea, session.draft.recipe)
    assert np.abs(shown(session, made.image).astype(int) - wanted).mean() < 2
    assert np.abs(shown(session, made.before).astype(int) - chelsea).mean() < 2
    assert (made.width, made.height) == (451, 300)


def test_a_large_picture_is_shown_small_and_looks_like_its_export(session, tmp_path, chelsea):
    large = np.asarray(Image.fromarray(chelsea).resize((2880, 1920), Image.Resampling.BICUBIC))
    Image.fromarray(large).save(tmp_path / "large.png")
    session.open(str(tmp_path / "large.png"), "large.png")
    session.take_text(QUICK)
    made = session.show(silent)
    small = shown(session, made.image)
    assert max(small.shape) == 1920
    assert "1920×1280" in made.caption
    path = session.export(ExportChoice(".png"), silent).path
    full = Image.fromarray(read_picture(path).frame).resize((1920, 1280), Image.Resampling.BOX)
    assert np.abs(small.astype(int) - np.asarray(full)).mean() < 4


def test_a_transparent_picture_stays_transparent(session, tmp_path, small):
    alpha = np.zeros(small.shape[:2], np.uint8)
    alpha[:, 100:] = 255
    Image.fromarray(np.dstack([small, alpha])).save(tmp_path / "cut out.png")
    session.open(str(tmp_path / "cut out.png"), "cut out.png")
    session.take_text(QUICK)
    content, kind = session.album.find(session.show(silent).image.rpartition("/")[2])
    assert kind == "image/png"
    with Image.open(io.BytesIO(content)) as image:
        np.testing.assert_array_equal(np.asarray(image)[:, :, 3], alpha)


def test_what_was_wrong_leaves_what_was_right(session):
    before = session.draft
    assert not session.take_text("seed = 1\n[[layers]]\ngrid = 3\n")
    assert [problem.line for problem in session.problems] == [3]
    assert session.draft is before
    assert not session.take_data({"layers": []})
    assert session.draft is before
    with pytest.raises(SettingError):
        session.take_preset("nothing")
    with pytest.raises(SettingError, match="seed"):
        session.take_seed(-1)
    assert session.draft is before
    session.take_seed(5)
    assert session.problems == ()


def test_a_recipe_that_is_a_preset_is_known_as_it(session):
    session.take_text(load_preset("weave").to_toml(brief=True))
    assert session.draft.preset == "weave"
    session.take_seed(9)
    assert session.draft.preset is None


def test_text_that_was_written_is_kept_as_it_was_written(session):
    session.take_text(QUICK + "# a remark\n")
    assert session.draft.text.endswith("# a remark\n")
    data = session.draft.recipe.model_dump(mode="json", exclude_none=True)
    data["layers"][0]["agents"] = 61
    session.take_data(data, "layers.0.agents")
    assert "remark" not in session.draft.text
    session.undo()
    assert session.draft.text.endswith("# a remark\n")


def test_only_the_newest_images_are_kept(session, small):
    addresses = [session.album.keep(small[:4, :4]) for _ in range(200)]
    assert session.album.find(addresses[0].rpartition("/")[2]) is None
    assert session.album.find(addresses[-1].rpartition("/")[2]) is not None


def test_uploads_lie_under_names_of_our_own(session, tmp_path, small):
    for name in ("cat.png", "we;rd & $(name).JPG", "x.tar.gz", "none", "y.far-too-long-suffix"):
        path = tmp_path / name
        Image.fromarray(small).save(path, "png")
        kept, called = session.keep_upload(uploaded(session, path))
        assert called == name
        assert session.folder.samefile(kept.rpartition("/")[0])
        assert kept.rpartition("/")[2].startswith("upload-")
        assert ";" not in kept
        assert "-suffix" not in kept
        session.forget_upload(kept)
    assert files(session) == []


def test_only_what_was_uploaded_in_the_tab_is_kept_and_only_once(session, tmp_path, small):
    other = Session(tmp_path / "sessions", None)
    Image.fromarray(small).save(tmp_path / "cat.png")
    path = uploaded(other, tmp_path / "cat.png")
    for wrong in (path, "/etc/passwd", str(other.folder / ".." / "cat.png"), ""):
        with pytest.raises(PictureError, match="only a file that was uploaded in this tab"):
            session.keep_upload(wrong)
    assert other.keep_upload(path)[1] == "cat.png"
    with pytest.raises(PictureError, match="only a file that was uploaded in this tab"):
        other.keep_upload(path)
    other.close()


def test_what_was_uploaded_is_thrown_out_when_something_else_is_opened(session, tmp_path, small):
    Image.fromarray(small).save(tmp_path / "cat.png")
    kept, _ = session.keep_upload(uploaded(session, tmp_path / "cat.png"))
    session.open(kept, "cat.png")
    (tmp_path / "bad.png").write_text("no picture")
    with pytest.raises(PictureError) as caught:
        session.open(str(tmp_path / "bad.png"), "dog.png")
    line = error_status(caught.value, session.names)["message"]
    assert line.startswith("dog.png is not a picture")
    assert session.source.name == "cat.png"
    session.open("sample:balloon", "balloon")
    assert files(session) == []


def test_a_clip_is_described_and_shown_at_any_time(session, tmp_path):
    path = make_clip(tmp_path / "walk.mp4", scene(20, 320, 240), rate=10, sounds=[440])
    source = session.open(str(path), "walk.mp4")
    assert source.describe() == "walk.mp4 · 320×240 · 2.0 s · 10 fps · with sound"
    session.take_text(QUICK)
    pictures = []
    for at in (0.0, 1.05, 99.0):
        session.look(at=at)
        made = session.show(silent)
        pictures.append(made.caption)
    assert pictures == [
        "frame 1 of 20, at 0.00 s", "frame 11 of 20, at 1.00 s", "frame 20 of 20, at 1.90 s",
    ]  # fmt: skip
    session.look(span=(1.0, 1.5), at=1.2)
    assert session.show(silent).caption == "frame 3 of 5, at 1.20 s"
    session.look(kind="walk")
    with pytest.raises(SettingError, match="Walk is for stills"):
        session.show(silent)
    for kind in ("activation", "policy"):
        session.look(kind=kind)
        assert shown(session, session.show(silent).image).std() > 10


def test_thumbnails_of_all_presets_are_made_and_stop_when_asked(session):
    session.open("sample:chelsea", "chelsea")
    job = session.start("thumbnails", session.make_thumbnails)
    while not session.thumbnails:
        assert not job.wait(0.01)
    session.stop("thumbnails")
    with pytest.raises(Stopped):
        job.result()
    assert 0 < len(session.thumbnails) < 22


def test_a_newer_job_of_a_name_stops_the_older_one(session):
    def work(report):
        while True:
            report(Progress("working", 1, 10))
            time.sleep(0.01)

    older = session.start("preview", work)
    newer = session.start("preview", lambda report: "done")
    assert newer.result() == "done"
    with pytest.raises(Stopped):
        older.result()
    other = session.start("export", work)
    assert session.busy("export")
    assert not session.busy("preview")
    session.stop("export")
    assert other.wait(5)


def test_a_newer_picture_stops_the_learning_of_an_older_one(session):
    session.open("sample:chelsea", "chelsea")
    session.take_text(QUICK.replace("iterations = 300", "iterations = 80_000_000"))
    older = session.start("preview", session.show)
    while "learning" not in older.progress.stage:
        assert not older.wait(0.01)
    session.take_text(QUICK)
    assert session.start("preview", session.show).result().image
    with pytest.raises(Stopped):
        older.result()


def test_a_job_says_how_far_it_is_and_what_went_wrong(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(jobs, "time", SimpleNamespace(monotonic=lambda: now[0]))
    go = threading.Event()

    def work(report):
        report(Progress("painting", 0, 100))
        now[0] += 2
        report(Progress("painting", 50, 100))
        go.wait()
        raise ValueError("paint is out")

    job = Job(work)
    while job.progress.done < 50:
        time.sleep(0.01)
    assert job.progress == Progress("painting", 50, 100)
    assert job.time_left == 2
    go.set()
    with pytest.raises(ValueError, match="paint is out"):
        job.result()


def test_sessions_end_with_their_tabs_and_leave_nothing(tmp_path):
    sessions = Sessions(tmp_path, None)
    one, other = sessions.of("one"), sessions.of("other")
    assert sessions.of("one") is one
    assert one is not other
    assert sessions.by_token(other.token) is other
    sessions.end("one")
    sessions.end("one")
    assert one.closed
    assert sessions.by_token(one.token) is None
    sessions.close()
    assert list(tmp_path.iterdir()) == []


def test_only_uploads_become_masks(tmp_path, monkeypatch, small):
    import tempfile

    (tmp_path / "uploads").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "uploads"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    outside = tmp_path / "secret.png"
    Image.fromarray(small).save(outside)
    with pytest.raises(PictureError, match="only a file that was uploaded"):
        keep_mask(str(outside))
    with pytest.raises(PictureError, match="only a file that was uploaded"):
        keep_mask(str(tmp_path / "uploads" / ".." / "secret.png"))
    assert outside.exists()
    inside = tmp_path / "uploads" / "mask.png"
    Image.fromarray(small).save(inside)
    np.testing.assert_array_equal(read_picture(keep_mask(str(inside))).frame, small)
    assert not inside.exists()


def test_sources_are_told_apart_and_know_their_recipe(tmp_path, small):
    from glitch_render.media.pictures import write_picture

    recipe = parse_recipe(read_toml(QUICK, "quick"))
    write_picture(tmp_path / "ours.webp", small, recipe=recipe)
    ours = open_source(str(tmp_path / "ours.webp"), "ours.webp")
    assert ours.recipe == recipe.to_toml()
    assert ours.kind == "still"
    assert open_source("sample:balloon", "balloon").recipe is None
    (tmp_path / "mine.png").write_bytes((tmp_path / "ours.webp").read_bytes())
    assert open_source(str(tmp_path / "mine.png"), "mine.png").width == 240


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.25, "4.2 s"), (65, "1:05"), (7200, "2:00:00"), (3725.4, "1:02:05")]
)
def test_times_are_written_as_clocks_write_them(seconds, text):
    assert clock(seconds) == text


def test_a_recipe_error_has_its_problems_one_by_one():
    text = 'seed = "x"\n\n[[layers]]\ngrid = [4, 4]\nagent = 3\n'
    with pytest.raises(RecipeError) as caught:
        parse_recipe(read_toml(text, "r"), "r", text=text)
    assert [problem.line for problem in caught.value.problems] == [1, 5]
    assert "did you mean 'agents'?" in caught.value.problems[1].message


def test_a_recipe_that_names_code_is_refused_from_text_and_form_alike(session):
    before = session.draft
    for learner in ("os:abort", "sys:exit"):
        assert not session.take_text(QUICK.replace("agents", f'learner = "{learner}"\nagents'))
        assert f"{learner!r} is not the name of a learner" in session.problems[0].message
        data = before.recipe.model_dump(mode="json", exclude_none=True)
        data["layers"][0]["learner"] = learner
        assert not session.take_data(data)
        assert session.draft is before


def test_files_that_a_dropped_pictures_recipe_names_are_asked_for(session, tmp_path):
    before = session.draft
    text = QUICK.replace("agents", f'mask = "{tmp_path / "mask.png"}"\nagents')
    assert not session.take_text(text, inside=True)
    assert session.draft is before
    assert session.problems == ()
    assert f"{tmp_path / 'mask.png'} (layers.1.mask)" in str(session.question)
    assert session.allow()
    assert session.draft.text == text
    assert session.question is None
    assert not session.allow()


def test_a_question_is_gone_with_the_next_change(session, tmp_path, photo_path):
    text = QUICK.replace("agents", 'mask = "mask.png"\nagents')
    for change in (
        lambda: session.take_seed(4),
        session.undo,
        lambda: session.take_text(QUICK),
        lambda: session.open(photo_path, "photo"),
        lambda: session.take_preset("weave"),
    ):
        assert not session.take_text(text, inside=True)
        assert session.question is not None
        change()
        assert session.question is None
        assert not session.allow()


def test_what_a_person_writes_or_loads_as_text_is_theirs(session):
    assert session.take_text(QUICK.replace("agents", 'mask = "mask.png"\nagents'))
    assert session.question is None
    assert session.take_text(QUICK, inside=True), "a recipe without files needs no leave"


def test_a_learner_given_by_hand_is_named_in_the_recipe(tmp_path, small):
    class Rightwards:
        def learn(self, env, *, episodes, seed=0):
            actions = env.unwrapped.actions

            class Policy:
                def act(self, observations):
                    return np.full(observations.shape, actions.encode("same", "right"))

            return Policy()

    (tmp_path / "sessions").mkdir()
    one = Session(tmp_path / "sessions", None, {"Rightwards": Rightwards})
    try:
        assert one.take_text(QUICK.replace("agents", 'learner = "Rightwards"\nagents'))
        assert one.draft.recipe.layers[0].learner_name == "Rightwards"
        assert one.take_data(one.draft.recipe.model_dump(mode="json", exclude_none=True))
        one.open("sample:chelsea", "chelsea")
        assert one.show(silent).image
    finally:
        one.close()


@pytest.mark.parametrize("way", ["SystemExit(0)", "RecursionError()", "BaseException('no')"])
def test_a_foreign_learner_that_leaves_ends_no_session(tmp_path, way):
    class Leaver:
        def learn(self, env, *, episodes, seed=0):
            raise eval(way)

    (tmp_path / "sessions").mkdir()
    one = Session(tmp_path / "sessions", None, {"Leaver": Leaver})
    try:
        one.open("sample:chelsea", "chelsea")
        one.take_text(QUICK.replace("agents", 'learner = "Leaver"\nagents'))
        job = one.start("preview", one.show)
        with pytest.raises(SettingError, match="the learner 'Leaver' failed"):
            job.result()
        one.take_text(QUICK)
        assert one.start("preview", one.show).result().image
    finally:
        one.close()


def test_an_error_names_a_file_as_the_person_does_and_says_what_helps():
    names = {"/srv/upload-1.png": "cat.png", "/srv/export": "cat-weave.mp4"}
    unknown = GlitchError("no room for /srv/other.png", path="/srv/other.png")
    assert error_message(unknown, names) == "no room for /srv/other.png"
    upload = GlitchError("/srv/upload-1.png is empty", path="/srv/upload-1.png")
    assert error_message(upload, names) == "cat.png is empty"
    part = "/srv/export/.export.mp4.parts/part-1"
    full = GlitchError(f"cannot write {part}: it is full", hint=Hint.RESUME, path=part)
    assert error_message(full, names) == (
        "cannot write cat-weave.mp4: it is full; export it again to go on from there"
    )


@pytest.fixture
def page(tmp_path):
    """The events of a page, and the session of one tab."""
    (tmp_path / "tabs").mkdir()
    sessions = Sessions(tmp_path / "tabs", None)
    handlers = Handlers(sessions, "sample:balloon")
    yield handlers, handlers.session("tab")
    sessions.close()


def test_the_events_of_a_page_work_without_a_page(page):
    handlers, session = page
    opened = handlers.load(session)
    assert "balloon" in opened["about"]
    assert opened["tabs"] == {"selected": "layers"}
    edited = handlers.edit_text(session, {"text": QUICK, "sent": 1})
    assert edited["seed"] == 3
    assert edited["undo"] == {"interactive": True}
    stale = handlers.edit_text(session, {"text": "seed = 4", "sent": 1})
    assert stale["seed"] == 3, "an older change does not undo a newer one"
    *_, shown = handlers.show(session)
    assert shown["stage"]["kind"] == "compare"
    assert "balloon" in shown["status"]["message"]
    *_, exported = handlers.export(session, ".png", None, "as it is", True)
    assert exported["download"]["name"] == "balloon-glitched.png"
    assert exported["exporting"]["kind"] == "done"


def test_what_a_person_gets_wrong_is_told_in_the_status(page):
    handlers, session = page
    handlers.load(session)
    broken = handlers.edit_text(session, {"text": "seed = ", "sent": 1})
    assert broken["text"]["problems"][0]["line"] == 1
    assert broken["status"]["kind"] == "wrong"
    (refused,) = handlers.export(session, ".exe", 6, "as it is", True)
    assert refused["exporting"]["message"] == "'.exe' is no format"
    handlers.set_span(session, 3.0, 2.0)
    assert session.screen.status["message"] == "the end must come after the start"
    assert session.screen.failed
    failed = handlers.refuse(session, SettingError("no such thing"))
    assert failed["status"]["message"] == "no such thing"


def test_a_full_disk_is_told_without_a_path_and_leaves_nothing(tmp_path):
    with small_disk(tmp_path / "disk", 16) as disk:
        sessions = Sessions(disk, None)
        handlers = Handlers(sessions, "sample:chelsea")
        session = handlers.session("tab")
        handlers.load(session)
        *_, told = handlers.export(session, ".png", None, "as it is", True)
        line = told["exporting"]
        assert line["kind"] == "wrong"
        name = f"chelsea-{session.draft.preset}.png"
        assert line["message"] == f"cannot write {name}: the disk is full"
        assert files(session) == []
        sessions.close()
        assert list(disk.iterdir()) == []


def test_a_job_that_ended_early_lets_go_of_what_it_had_open():
    class Opened:
        """Stands for a container with its threads."""

    held = []

    def work(report):
        opened = Opened()
        held.append(weakref.ref(opened))
        while True:
            report(Progress("painting"))
            time.sleep(0.001)

    for ended in (Stopped, PictureError):
        job = Job(work if ended is Stopped else lambda report: broken(held))
        job.stop()
        with pytest.raises(ended):
            job.result()
        gc.collect()
        assert held.pop()() is None
        assert job.wait(0), "the job itself is still held"


def broken(held):
    opened = threading.Event()
    held.append(weakref.ref(opened))
    raise PictureError("damaged")
