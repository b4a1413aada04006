"""The studio, tried as a hostile stranger would: over the wire, and from foreign pages."""

from __future__ import annotations

import asyncio
import http.client
import http.server
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.browser import QUICK, Page, fetch, free_port, studio

from glitch_gym.errors import SettingError
from glitch_render.studio import events, locks, uploads

pytest.importorskip("gradio")

# One worker has all that needs a browser
pytestmark = pytest.mark.xdist_group("studio")

SECRET = "the quick brown fox"
FOREIGN = "evil.example"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with studio(tmp_path_factory.mktemp("studio")) as one:
        yield one


@pytest.fixture
def secret(tmp_path):
    """A file that the studio has no business with."""
    path = tmp_path / "secret.txt"
    path.write_text(SECRET)
    path.chmod(0o600)
    return path


@pytest.fixture
def photo(tmp_path, chelsea):
    path = tmp_path / "my cat.png"
    Image.fromarray(chelsea).save(path)
    return path


def form(*files):
    """A form with files as a browser posts it: its type, and its body."""
    body = b"".join(
        f'--xxx\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
        f"Content-Type: image/png\r\n\r\n".encode()
        + content
        + b"\r\n"
        for name, content in files
    )
    return "multipart/form-data; boundary=xxx", body + b"--xxx--\r\n"


def upload(one, token, *files, path="/gradio_api/upload"):
    kind, body = form(*files)
    return one.fetch(path, body, {"Content-Type": kind, "X-Studio-Tab": token})


def file_data(path, **more):
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}, **more}


def a_tab(one, name):
    """Open a tab without a browser; gives its token."""
    said = one.tell(name, (None, "load"), [])
    return said.split("recipe/")[1].split('\\"')[0].split("'")[0]


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


# Who is answered


@pytest.mark.parametrize("path", ["/", "/config", "/theme.css", "/gradio_api/queue/data", "/x"])
@pytest.mark.parametrize("root", [True, False], ids=["in the root", "outside"])
def test_nothing_is_answered_without_the_cookie(running, path, root):
    address = (running.address if root else running.origin) + path
    name, value = running.cookie
    for cookie in (
        None, f"{name}=", f"{name}=x", f"{name}={value[:-1]}", f"{name}-{value}",
        f"{name}={'é'}", f"other={value}",
    ):  # fmt: skip
        headers = {} if cookie is None else {"Cookie": cookie.encode("latin-1")}
        for body in (None, b"{}"):
            status, answer = fetch(address, body, headers)
            assert status == 403
            assert b"Open the address that the program printed" in answer


def test_the_cookie_alone_does_not_do_without_the_path_that_it_is_bound_to(running):
    name, value = running.cookie
    assert fetch(f"{running.origin}/", headers={"Cookie": f"{name}={value}"})[0] == 403
    assert running.fetch("/")[0] == 200


def test_a_cookie_that_another_port_has_set_does_not_lock_the_owner_out(running):
    name, value = running.cookie
    both = f"{name}=theirs; {name}={value}"
    assert fetch(f"{running.address}/", headers={"Cookie": both})[0] == 200


def ask(one, path, headers=(), method="GET", body=None):
    """Ask with exactly these headers; gives status, headers and content."""
    client = http.client.HTTPConnection("127.0.0.1", one.port)
    client.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    given = list(headers)
    if "host" not in {name.lower() for name, _ in given}:
        given.append(("Host", f"127.0.0.1:{one.port}"))
    if body is not None:
        given.append(("Content-Length", str(len(body))))
    for name, value in given:
        client.putheader(name, value)
    client.endheaders(body)
    answer = client.getresponse()
    content = answer.read()
    client.close()
    return answer.status, answer.headers, content


def inner(one):
    return one.address.removeprefix(one.origin)


def test_the_token_becomes_a_cookie_that_no_script_and_no_other_port_is_given(running):
    status, headers, _ = ask(running, running.key.removeprefix(running.origin))
    assert status == 303
    assert headers["Location"] == f"{inner(running)}/"
    assert "token" not in headers["Location"]
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert f"Path={inner(running)}" in cookie, "a cookie for / would be sent to every other port"
    assert str(running.port) in cookie.split("=")[0], "two studios do not clash"
    assert len(running.cookie[1]) >= 32


def test_a_wrong_token_is_as_good_as_none(running):
    token = running.key.rpartition("=")[2]
    for wrong in (
        "", "x", token[:-1], token + "x", "é", "%ff", f"{token}&token=x", token.swapcase(),
    ):  # fmt: skip
        assert (
            fetch(f"{running.origin}/?token={wrong.encode('ascii', 'ignore').decode()}")[0] == 403
        )


def test_each_start_has_a_token_and_a_path_of_its_own(running):
    one, other = locks.Locks(1), locks.Locks(1)
    assert one.token != other.token
    assert one.root != other.root
    assert one.token not in repr(one)


def test_the_token_opens_from_a_link_but_not_in_a_frame_or_by_a_script(running):
    path = running.key.removeprefix(running.origin)

    def come(site, how, target):
        return ask(
            running, path,
            [("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", how), ("Sec-Fetch-Dest", target)],
        )  # fmt: skip

    assert come("none", "navigate", "document")[0] == 303
    status, headers, content = come("cross-site", "navigate", "document")
    assert status == 200
    assert f"url={inner(running)}/".encode() in content
    assert "Set-Cookie" in headers
    for site in ("cross-site", "same-site"):
        for how, target in (("navigate", "iframe"), ("cors", "empty"), ("no-cors", "image")):
            status, headers, _ = come(site, how, target)
            assert status == 403
            assert "Set-Cookie" not in headers


def own(one):
    return [("Cookie", "=".join(one.cookie))]


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1", "localhost", "127.0.0.1:1", "evil.example:PORT", "[::1]:PORT",
     "127.0.0.1.evil.example:PORT", "localhost.:PORT", "0.0.0.0:PORT", "127.1:PORT", ""],
)  # fmt: skip
def test_another_name_for_this_machine_is_not_answered(running, host):
    named = host.replace("PORT", str(running.port))
    path = f"{inner(running)}/"
    assert ask(running, path, [("Host", named), *own(running)])[0] in (400, 403)
    key = running.key.removeprefix(running.origin)
    assert ask(running, key, [("Host", named)])[0] in (400, 403)


def test_both_names_of_this_machine_are_answered(running):
    path = f"{inner(running)}/theme.css"
    for name in ("127.0.0.1", "localhost"):
        host = f"{name}:{running.port}"
        assert ask(running, path, [("Host", host), *own(running)])[0] == 200
    two = [("Host", f"localhost:{running.port}"), ("Host", "evil.example"), *own(running)]
    assert ask(running, path, two)[0] in (400, 403)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {
            "Sec-Fetch-Site": "cross-site",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "document",
        },
    ],
    ids=["another site", "another port", "a link from another site"],
)
def test_what_another_page_asks_for_is_refused_though_the_cookie_comes_along(running, headers):
    for path in ("/", "/theme.css", "/sample/balloon"):
        assert running.fetch(path)[0] == 200
        assert running.fetch(path, headers=headers)[0] == 403
    assert running.fetch("/mask", b"", headers)[0] == 403


@pytest.mark.parametrize(
    "origin",
    ["http://127.0.0.1:1", "http://localhost:PORT", "https://127.0.0.1:PORT", "null",
     "http://evil.example", "http://127.0.0.1", "http://127.0.0.1:PORT.evil.example", "file://"],
)  # fmt: skip
def test_what_another_origin_sends_is_refused_though_the_cookie_comes_along(running, origin):
    named = origin.replace("PORT", str(running.port))
    for path in ("/mask", "/gradio_api/upload", "/gradio_api/queue/join"):
        status, answer = running.fetch(path, b"{}", {"Origin": named})
        assert status == 403, answer
        status, _ = running.fetch(path, b"{}", {"Origin": running.origin})
        assert status != 403 or path != "/gradio_api/queue/join"


def test_no_answer_ever_lets_another_origin_read_it(running):
    paths = ("/", "/theme.css", "/nothing", "/sample/balloon")
    for origin in (running.origin, "http://localhost:9999", "null"):
        for path in paths:
            for method in ("GET", "OPTIONS"):
                asked = [
                    ("Origin", origin), ("Access-Control-Request-Method", "POST"), *own(running)
                ]  # fmt: skip
                _, headers, _ = ask(running, inner(running) + path, asked, method)
                assert [name for name in headers if name.lower().startswith("access-control")] == []


def test_every_answer_forbids_frames_foreign_content_and_guessing(running):
    for path in ("/", "/theme.css", "/nothing", "/sample/balloon", "/../"):
        _, headers, _ = ask(running, inner(running) + path, own(running))
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "http:" not in policy
        assert "https:" not in policy
        assert "*" not in policy
    _, headers, page = ask(running, f"{inner(running)}/", own(running))
    scripts = headers["Content-Security-Policy"].split("script-src")[1].split(";")[0]
    assert "'unsafe-inline'" not in scripts
    assert scripts.count("'sha256-") == page.count(b"<script>") + page.count(b"<script data-")


@pytest.mark.slow
def test_only_what_the_page_asks_for_is_open_of_all_that_the_framework_has(running):
    listing = """
import json, gradio
with gradio.Blocks() as blank: gradio.HTML()
def all_of(routes):
    for one in routes:
        if hasattr(one, "original_router"): yield from all_of(one.original_router.routes)
        for method in getattr(one, "methods", None) or (): yield method, one.path
print(json.dumps([*all_of(gradio.routes.App.create_app(blank).routes)]))
"""
    said = subprocess.run(
        [sys.executable, "-c", listing], capture_output=True, text=True, check=True
    )
    found = {tuple(one) for one in json.loads(said.stdout.splitlines()[-1])}
    assert len(found) > 60
    opened = {
        (method, path)
        for method, path in found
        if locks.is_listed(method, path.translate(str.maketrans("", "", "{}:")))
    }
    reads = {
        "/", "/assets/{path:path}", "/static/{path:path}", "/favicon.ico", "/theme.css",
        "/gradio_api/app_id", "/gradio_api/queue/data", "/gradio_api/upload_progress",
        "/gradio_api/heartbeat/{session_hash}",
    }  # fmt: skip
    writes = {"/gradio_api/upload", "/gradio_api/queue/join"}
    assert {path for method, path in opened if method in ("GET", "HEAD")} == reads
    assert {path for method, path in opened if method == "POST"} == writes
    assert {method for method, _ in opened} <= {"GET", "HEAD", "POST"}


@pytest.mark.parametrize(
    "path",
    ["/config", "/config/", "/monitoring", "/monitoring/summary", "/monitoring/x",
     "/gradio_api/info", "/gradio_api/openapi.json", "/gradio_api/proxy=http://127.0.0.1:1/",
     "/gradio_api/file=/etc/passwd", "/gradio_api/file=../../etc/passwd", "/gradio_api/file/x",
     "/gradio_api/stream/a/b/1/playlist.m3u8", "/gradio_api/token", "/gradio_api/runs",
     "/gradio_api/startup-events", "/gradio_api/deep_link", "/dev/reload", "/gradio_api/dev/reload",
     "/gradio_api/vibe-code", "/gradio_api/queue/status", "/login", "/logout", "/manifest.json",
     "/pwa_icon", "/robots.txt", "/svelte/x", "/docs", "/openapi.json", "/shown/x/1.jpeg",
     "/download/x/1", "/recipe/x", "/sample/..%2f..%2fpyproject.toml", "/static/../../etc/passwd",
     "/assets/..%2f..%2f..%2fapp.py", "/static//etc/passwd", "/assets/./x.js",
     "/shown/../../etc/passwd"],
)  # fmt: skip
def test_what_the_page_does_not_use_is_closed(running, path):
    status, _, answer = ask(running, inner(running) + path, own(running))
    assert status == 404, answer[:100]


@pytest.mark.parametrize(
    "path",
    ["component_server", "run/predict", "api/predict", "call/predict", "call/v2/predict", "reset",
     "cancel", "stream/x", "process_recording", "vibe-edit", "run-history/connect"],
)  # fmt: skip
def test_what_the_page_does_not_send_is_closed(running, path):
    headers = {"Content-Type": "application/json"}
    assert running.fetch(f"/gradio_api/{path}", b"{}", headers)[0] == 404


# What is opened


@pytest.mark.parametrize("handler", [("source", "upload"), ("recipe-file", "upload")])
@pytest.mark.parametrize(
    "more", [{}, {"is_stream": True}, {"url": "http://127.0.0.1:1/x"}], ids=["plain", "s", "url"]
)
def test_a_file_that_was_not_uploaded_is_never_opened(running, secret, handler, more):
    a_tab(running, "thief")
    before = running.files()
    status, answer = running.join("thief", handler, [file_data(secret, **more)])
    assert status == 400
    assert answer["detail"] == "only a file that was uploaded in this tab can be opened"
    assert set(running.files()) <= set(before), "other uploads may have ended meanwhile"
    for path in (secret, f"file={secret}", "file=/etc/passwd"):
        assert running.fetch(f"/gradio_api/{path}")[0] == 404


def test_files_are_not_smuggled_in_by_another_shape(running, secret):
    a_tab(running, "smuggler")
    good = [
        (("webcam", "input"), [{"image": file_data(secret)}]),
        (("source", "upload"), [[file_data(secret)]]),
        (("layers", "edit"), [{"recipe": {"mask": file_data(secret)}, "sent": 1}]),
        (("view", "input"), ["result", file_data(secret), False]),
        (("source", "upload"), [{"path": str(secret), "meta": None}]),
        (("source", "upload"), [{"path": [str(secret)], "meta": {"_type": "gradio.FileData"}}]),
        (("source", "upload"), [file_data("https://evil.example/x.png")]),
        (("source", "upload"), [file_data("/dev/zero")]),
        (("source", "upload"), [file_data("\\\\evil.example\\share\\x.png")]),
    ]
    for handler, data in good:
        assert running.join("smuggler", handler, data)[0] == 400, data
    assert running.join("smuggler", ("samples", "choose"), [], file_data(secret))[0] == 400
    # What names no upload at all does not reach the file either
    for value in (str(secret), {"path": str(secret)}):
        assert SECRET not in running.tell("smuggler", ("source", "upload"), [value])
    assert SECRET not in running.said.read_text()


def test_an_upload_belongs_to_its_tab_and_is_opened_once(running, photo):
    mine, theirs = a_tab(running, "mine"), a_tab(running, "theirs")
    assert mine != theirs
    status, answer = upload(running, mine, ("my cat.png", photo.read_bytes()))
    assert status == 200
    (path,) = json.loads(answer)
    assert running.join("theirs", ("source", "upload"), [file_data(path)])[0] == 400
    assert "my cat.png" in running.tell("mine", ("source", "upload"), [file_data(path)])
    assert running.join("mine", ("source", "upload"), [file_data(path)])[0] == 400
    assert running.join("mine", ("source", "upload"), [file_data(path + "/../x")])[0] == 400


def test_names_of_uploads_never_become_paths(running, photo):
    before = {path for path in running.folder.parent.rglob("*") if path.is_file()}
    for name in ("../../../evil.png", "/tmp/evil.png", "..\\evil.png", "a\x00b.png", "con/../x"):
        token = a_tab(running, "namer")
        status, answer = upload(running, token, (name, photo.read_bytes()))
        assert status == 200
        (kept,) = json.loads(answer)
        path = Path(kept).resolve()
        assert path.is_relative_to(running.folder.resolve())
        assert path.stem == "upload"
        path.unlink()
    after = {path for path in running.folder.parent.rglob("*") if path.is_file()}
    assert after <= before
    assert not Path("/tmp/evil.png").exists()


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"a":' * 50_000,
     b'{"data": [], "fn_index": 1}', b'{"data": [], "fn_index": 1, "session_hash": 5}',
     b'{"data": [], "fn_index": 1, "session_hash": "../x"}',
     b'{"data": [], "fn_index": "1", "session_hash": "a"}',
     b'{"data": [], "fn_index": true, "session_hash": "a"}',
     b'{"data": [], "session_hash": "a"}', b'{"data": {}, "fn_index": 1, "session_hash": "a"}',
     b'{"data": [NaN], "fn_index": 1, "session_hash": "a"}',
     b'{"data": [1e999], "fn_index": 1, "session_hash": "a"}',
     b'{"data": [' + b"9" * 5000 + b'], "fn_index": 1, "session_hash": "a"}',
     b'{"data": ["\\ud800"], "fn_index": 1, "session_hash": "a"}',
     b'{"data": [' + b"[" * 100 + b"]" * 100 + b'], "fn_index": 1, "session_hash": "a"}',
     b'{"data": ["' + b"x" * 5_000_000 + b'"], "fn_index": 1, "session_hash": "a"}'],
)  # fmt: skip
def test_what_is_no_event_is_refused(running, body):
    headers = {"Content-Type": "application/json"}
    status, answer = running.fetch("/gradio_api/queue/join", body, headers)
    assert status == 400
    assert len(answer) < 200
    assert running.fetch("/")[0] == 200


@pytest.mark.parametrize(
    ("handler", "data", "event_data", "words"),
    [
        (("layers", "edit"), ["x"], None, "the recipe must be a table"),
        (("layers", "edit"), [None], None, "the recipe must be a table"),
        (("layers", "edit"), [{"sent": "x"}], None, "the number of a change must be a number"),
        (("layers", "edit"), [{"sent": 10**30}], None, "the recipe must be a table"),
        (("layers", "edit"), [{"sent": 2e30, "recipe": []}], None, "the recipe must be a table"),
        (("layers", "edit"), [{"sent": 3e30, "recipe": {}, "touched": 5}], None, "must be text"),
        (("layers", "select"), [{"layer": []}], None, "the layer must be a number"),
        (("layers", "select"), [{"layer": 0.5}], None, "the layer must be a whole number"),
        (("recipe", "edit"), [{"text": {"a": 1}, "sent": 1}], None, "the recipe must be text"),
        (("recipe", "edit"), [7], None, "the recipe must be a table"),
        (("presets", "choose"), [], "undertow", "a choice must be a table"),
        (("presets", "choose"), [], {"name": ["undertow"]}, "the name of a choice must be text"),
        (("presets", "choose"), [], {"name": "no such preset"}, "no such preset"),
        (("samples", "choose"), [], None, "a choice must be a table"),
        (("samples", "choose"), [], {"name": "../../etc/passwd"}, "is no sample"),
        (("grid", "input"), ["result", None, "yes"], None, "the grid must be on or off"),
    ],
)
def test_every_value_that_comes_in_is_checked(running, handler, data, event_data, words):
    tab = f"t{time.monotonic_ns()}"
    a_tab(running, tab)
    said = running.tell(tab, handler, data, event_data)
    assert words in said
    assert '"success":true' in said.replace(" ", "").rpartition("process_completed")[2]
    assert running.tell(tab, ("dice", "click"), []).count("process_completed") == 1


def test_a_layer_that_is_not_there_is_not_looked_at(running):
    a_tab(running, "layers")
    for number in (10**9, -5):
        said = running.tell("layers", ("layers", "select"), [{"layer": number}])
        assert "error" not in said


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (events.as_text, ["", "x"], [None, 1, b"x", ["x"], {"x": 1}]),
        (events.as_number, [0, -1.5, 10**18], [None, "1", True, float("nan"), 10**999]),
        (events.as_whole, [0, 3.0], [0.5, None, True, float("inf"), "0"]),
        (events.as_flag, [True, False], [0, 1, "true", None]),
        (events.as_table, [{}, {"x": 1}], [None, [], "x", 1]),
    ],
)
def test_values_are_told_apart(check, good, bad):
    for value in good:
        assert check(value, "it") == value
    for value in bad:
        with pytest.raises(SettingError, match="it must be"):
            check(value, "it")


# Uploads


def test_an_upload_needs_a_tab(running, photo):
    for token in ("", "x", "é"):
        kind, body = form(("a.png", photo.read_bytes()))
        headers = {"Content-Type": kind, "X-Studio-Tab": token.encode("latin-1")}
        assert running.fetch("/gradio_api/upload", body, headers)[0] == 404
        assert running.fetch("/mask", body, headers)[0] == 404


def receive(folder, limits, chunks, *, announced=None, ends=True, name="a.png"):
    """Let a form come in, as chunks of the file that is in it; gives what came of it."""
    from starlette.requests import Request

    taken = uploads.Uploads(folder / "uploads", limits)
    kind, body = form((name, b"FILE"))
    before, _, after = body.partition(b"FILE")
    parts = [before, *chunks, *([after] if ends else [])]
    headers = [(b"content-type", kind.encode())]
    if announced is not None:
        headers.append((b"content-length", str(announced).encode()))

    async def next_part():
        if not parts:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts or not ends)}

    async def run():
        scope = {"type": "http", "method": "POST", "headers": headers, "query_string": b""}
        try:
            path = await uploads.receive_upload(Request(scope, next_part), taken)
            assert path in taken
            content = Path(path).read_bytes()
        except uploads.UploadError as error:
            content = error
        await asyncio.sleep(0.3)
        return content

    found = asyncio.run(run())
    left = [path for path in folder.rglob("*") if path.is_file()]
    return found, left


def test_an_upload_is_kept_as_it_came(tmp_path):
    chunks = [os.urandom(70_000) for _ in range(5)]
    content, left = receive(tmp_path, uploads.UploadLimits(), chunks)
    assert content == b"".join(chunks)
    assert [mode(path) for path in left] == [0o600]
    assert [mode(path) for path in tmp_path.rglob("*") if path.is_dir()] == [0o700, 0o700]


@pytest.mark.parametrize("announced", [5_000_000, None], ids=["announced", "not announced"])
def test_an_upload_that_is_too_large_is_refused_and_gone(tmp_path, announced):
    limits = uploads.UploadLimits(size=1_000_000)
    error, left = receive(tmp_path, limits, [bytes(100_000)] * 50, announced=announced)
    assert "at most 0.001 GB" in str(error)
    assert error.status == 413
    assert left == []


def test_an_upload_never_fills_the_disk(tmp_path):
    limits = uploads.UploadLimits(spare=10**18)
    error, left = receive(tmp_path, limits, [b"x"], announced=100)
    assert "the disk has no room" in str(error)
    assert error.status == 507
    assert left == []


def test_an_upload_that_breaks_off_is_gone(tmp_path):
    error, left = receive(tmp_path, uploads.UploadLimits(), [bytes(100_000)] * 3, ends=False)
    assert isinstance(error, uploads.UploadError)
    assert left == []


def test_an_upload_that_nobody_opens_is_gone_after_a_while(tmp_path):
    content, left = receive(tmp_path, uploads.UploadLimits(seconds=0.05), [b"abc"])
    assert content == b"abc"
    assert left == []


@pytest.mark.parametrize(
    "body",
    [b"", b"xxx", b"--xxx--\r\n", form()[1], form(("a", b"1"), ("b", b"2"))[1],
     b'--xxx\r\nContent-Disposition: form-data; name="files"\r\n\r\ntext\r\n--xxx--\r\n',
     form(("a", b"1"))[1].replace(b'name="files"', b'name="other"'),
     b"--xxx\r\n" + b"A: b\r\n" * 100_000],
)  # fmt: skip
def test_what_is_no_form_with_one_file_is_refused_and_leaves_nothing(running, body):
    token = a_tab(running, f"t{time.monotonic_ns()}")
    before = running.files()
    for watched in ("", "?upload_id=abc"):
        headers = {"Content-Type": "multipart/form-data; boundary=xxx", "X-Studio-Tab": token}
        status, answer = running.fetch(f"/gradio_api/upload{watched}", body, headers)
        assert status == 400, answer
        assert b"form with one file" in answer
    assert running.fetch("/mask", b"x", {"X-Studio-Tab": token})[0] == 400
    assert set(running.files()) <= set(before), "other uploads may have ended meanwhile"


def test_a_tab_uploads_so_many_files_and_so_fast_and_no_more(running):
    limits = uploads.UploadLimits()
    token = a_tab(running, "eager")
    answers = [upload(running, token, ("a.png", b"1"))[0] for _ in range(limits.waiting + 1)]
    assert answers == [200] * limits.waiting + [429]
    fast = a_tab(running, "fast")
    answers = [
        upload(running, fast, ("a.png", b"1"), path="/mask")[0]
        for _ in range(limits.per_minute + 1)
    ]
    assert answers == [200] * limits.per_minute + [429]
    assert upload(running, a_tab(running, "another"), ("a.png", b"1"))[0] == 200


@pytest.mark.slow
def test_uploads_go_with_their_tab(tmp_path):
    with studio(tmp_path) as one:
        token = a_tab(one, "short")
        client = http.client.HTTPConnection("127.0.0.1", one.port)
        client.request(
            "GET", f"{inner(one)}/gradio_api/heartbeat/short",
            headers={"Cookie": "=".join(one.cookie)},
        )  # fmt: skip
        client.getresponse().read(5)
        assert upload(one, token, ("a.png", b"1"))[0] == 200
        assert one.files() != []
        client.sock.close()
        client.close()
        one.waits(lambda files: files == [], seconds=20)


@pytest.mark.parametrize(
    ("kind", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)],
)
def test_nothing_is_left_when_the_studio_is_stopped(tmp_path, kind, code):
    with studio(tmp_path) as one:
        assert upload(one, a_tab(one, "left"), ("a.png", b"1"))[0] == 200
        assert one.files() != []
        assert one.stop(kind) == code
        assert list(one.folder.iterdir()) == []
        assert "Traceback" not in one.said.read_text()


@pytest.mark.slow
def test_the_size_of_uploads_is_the_users_choice(browser, tmp_path, photo):
    large = tmp_path / "large.png"
    large.write_bytes(photo.read_bytes() + bytes(2_000_000))
    with studio(tmp_path, "--max-upload", "0.001") as one:
        page = browser.new_page()
        tab = Page(page, one)
        page.set_input_files("#source input[type=file]", str(large))
        page.get_by_text("a file can have at most 0.001 GB").wait_for()
        assert one.files() == []
        tab.open(photo)
        assert "my cat.png" in tab.says("my cat.png")
        page.close()


@pytest.mark.slow
def test_an_upload_that_cannot_be_read_does_not_block_the_next_one(browser, running, tmp_path):
    brackets = tmp_path / "brackets.toml"
    brackets.write_text("a = " + "[" * 100_000)
    good = tmp_path / "good.toml"
    good.write_text(QUICK)
    tab = Page(browser.new_page(), running)
    tab.sample("chelsea")
    tab.tab("Recipe")
    tab.page.set_input_files("#recipe-file input[type=file]", str(brackets))
    tab.says("nest|error|deep|should not")
    with tab.shows_anew():
        tab.page.set_input_files("#recipe-file input[type=file]", str(good))
    assert "seed = 3" in tab.recipe()
    tab.page.close()


# Other accounts of the machine


@pytest.mark.slow
def test_what_the_studio_writes_is_for_its_own_account_alone(browser, tmp_path, photo):
    before = os.umask(0)
    mask = tmp_path / "half.png"
    Image.fromarray(np.repeat([[0, 255]], 30, axis=0).astype(np.uint8)).save(mask)
    home = {"XDG_DATA_HOME": str(tmp_path / "data"), "GLITCH_GYM_CACHE": str(tmp_path / "cache")}
    try:
        with studio(tmp_path, env=home) as one:
            tab = Page(browser.new_page(), one)
            tab.open(photo)
            with tab.shows_anew():
                tab.write_recipe(QUICK)
            tab.export(tmp_path)
            status, answer = upload(one, tab.token(), ("m.png", mask.read_bytes()), path="/mask")
            assert status == 200
            upload(one, tab.token(), ("waiting.png", b"1"))
            kept = Path(json.loads(answer)["path"])
            (folder,) = one.folder.iterdir()
            written = [folder, *folder.rglob("*"), kept.parent, kept]
            assert len(written) > 6
            written += list((tmp_path / "cache").rglob("*"))
            assert [path for path in written if mode(path) & 0o077] == []
            tab.page.close()
    finally:
        os.umask(before)


def as_nobody(*command):
    return subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *map(str, command)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="needs to be another account",
)
def test_another_account_gets_neither_the_files_nor_in_with_the_token(running, photo):
    (path,) = json.loads(upload(running, a_tab(running, "own"), ("a.png", b"1"))[1])
    assert as_nobody("cat", path).returncode != 0
    (folder,) = running.folder.iterdir()
    assert as_nobody("ls", folder).returncode != 0
    knock = """if True:
        import http.client, sys
        port, path, *header = sys.argv[1:]
        client = http.client.HTTPConnection("127.0.0.1", int(port))
        client.request("GET", path, headers=dict([header]) if header else {})
        answer = client.getresponse()
        print(answer.status, answer.headers["Set-Cookie"])"""
    path = running.key.removeprefix(running.origin)
    # Who it is is asked of the system, and not of the request
    for header in ((), ("X-Forwarded-For", "192.0.2.1"), ("Forwarded", "for=192.0.2.1")):
        theirs = as_nobody("/usr/bin/env", "python3", "-c", knock, running.port, path, *header)
        assert theirs.stdout == "403 None\n", theirs
    status, headers, _ = ask(running, path)
    assert status == 303
    assert headers["Set-Cookie"]


def test_the_account_behind_a_connection_is_read_from_the_systems_table(tmp_path):
    table = tmp_path / "tcp"
    here = "0100007F" if sys.byteorder == "little" else "7F000001"
    line = (
        "   {}: {} {} 01 00000000:00000000 00:00000000 00000000 {}        0 1 1 0 20 4 30 10 -1\n"
    )
    table.write_text(
        "  sl  local_address rem_address   st ...\n"
        + line.format(0, f"{here}:1234", f"{here}:0050", " 1000")
        + line.format(1, f"{here}:0050", f"{here}:1234", "    0")
        + line.format(2, "09090909:1235", f"{here}:0050", " 1001")
    )
    behind = {
        port: locks.account_behind(("127.0.0.1", port), 0x50, [tmp_path / "none", table])
        for port in (0x1234, 0x1235, 0x1236)
    }
    assert behind == {0x1234: 1000, 0x1235: None, 0x1236: None}


# The foreign page

ATTACKS = """async (target) => {
  const got = {};
  const settled = (name, promise) => promise.then(
    (value) => { got[name] = value; }, () => { got[name] = "refused"; });
  const element = (tag, attributes) => new Promise((fine, failed) => {
    const made = document.createElement(tag);
    made.onload = () => fine("loaded");
    made.onerror = () => failed();
    Object.assign(made, attributes);
    document.body.append(made);
    setTimeout(failed, 4000);
  });
  const read = (path, options) => fetch(target + path, options).then((answer) => answer.text());
  const form = (name) => { const sent = new FormData();
    sent.append("files", new Blob(["x"]), "evil.png"); return sent; };
  await Promise.all([
    settled("read", read("/", {})),
    settled("read with cookies", read("/", { credentials: "include" })),
    settled("config", read("/config", { credentials: "include" })),
    settled("upload", read("/gradio_api/upload",
      { method: "POST", body: form(), credentials: "include" })),
    settled("upload with header", read("/gradio_api/upload", { method: "POST", body: form(),
      credentials: "include", headers: { "X-Studio-Tab": "x" } })),
    settled("event", read("/gradio_api/queue/join", { method: "POST", credentials: "include",
      headers: { "Content-Type": "application/json" },
      body: '{"data":[],"fn_index":0,"session_hash":"evil"}' })),
    settled("event as text", read("/gradio_api/queue/join", { method: "POST",
      credentials: "include", body: '{"data":[],"fn_index":0,"session_hash":"evil"}' })),
    settled("picture", element("img", { src: target + "/sample/balloon" })),
    settled("script", element("script", { src: target + "/static/js/x.js" })),
    settled("style", element("link", { rel: "stylesheet", href: target + "/theme.css" })),
    settled("events", new Promise((fine, failed) => {
      const stream = new EventSource(target + "/gradio_api/heartbeat/evil",
        { withCredentials: true });
      stream.onopen = () => fine("open");
      stream.onerror = failed;
    })),
    settled("blind", fetch(target + "/gradio_api/queue/join", { method: "POST", mode: "no-cors",
      credentials: "include", body: '{"data":[],"fn_index":0,"session_hash":"evil"}' })
      .then((answer) => answer.type)),
  ]);
  for (const path of ["/gradio_api/upload", "/mask", "/gradio_api/queue/join"]) {
    const frame = document.createElement("iframe");
    frame.name = "f" + path;
    const sent = document.createElement("form");
    Object.assign(sent, { method: "post", enctype: "multipart/form-data", target: frame.name,
      action: target + path });
    const file = document.createElement("input");
    Object.assign(file, { type: "file", name: "files" });
    const chosen = new DataTransfer();
    chosen.items.add(new File(["x"], "evil.png"));
    file.files = chosen.files;
    sent.append(file);
    document.body.append(frame, sent);
    sent.submit();
  }
  const framed = document.createElement("iframe");
  framed.src = target + "/";
  document.body.append(framed);
  await new Promise((fine) => setTimeout(fine, 1500));
  return got;
}"""


class Foreign(http.server.BaseHTTPRequestHandler):
    """A page of somebody else's, which notes what browsers send it."""

    def do_GET(self):
        self.server.seen.append(str(self.headers))
        content = b"<!doctype html><title>evil</title><body>evil"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def foreign():
    """A server on another port of this machine."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Foreign) as server:
        server.seen = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


MAPPED = [f"--host-resolver-rules=MAP {FOREIGN} 127.0.0.1"]


@pytest.mark.parametrize("browser", [MAPPED], indirect=True, ids=["chromium"])
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        pytest.param("localhost", marks=pytest.mark.slow),
        pytest.param(FOREIGN, marks=pytest.mark.slow),
    ],
)
def test_a_foreign_page_gets_nothing_even_if_it_knows_where_the_studio_lies(
    browser, running, foreign, host
):
    context = browser.new_context()
    tab = Page(context.new_page(), running)
    tab.sample("chelsea")
    before = running.files()
    evil = context.new_page()
    evil.goto(f"http://{host}:{foreign.server_port}{inner(running)}-not/")
    got = evil.evaluate(ATTACKS, running.address)
    assert got.pop("blind") in ("refused", "opaque"), "what is sent blindly is not read"
    assert set(got.values()) == {"refused"}, got
    for frame in evil.frames[1:]:
        assert not frame.locator("gradio-app").count()
        assert "glitch" not in frame.content()
    # A link is as good as no cookie, and a name that points here is not answered
    evil.evaluate("address => { location.href = address; }", f"{running.address}/")
    evil.wait_for_url(f"{running.address}/")
    assert "answers only the browser" in evil.content()
    rebound = context.new_page()
    rebound.goto(f"http://{FOREIGN}:{running.port}{inner(running)}/")
    assert "answers only the browser" in rebound.content()
    value = running.cookie[1]
    assert foreign.seen
    assert not [seen for seen in foreign.seen if value in seen], "no port but ours has the cookie"
    assert set(running.files()) <= set(before), "other uploads may have ended meanwhile"
    with tab.shows_anew():
        tab.page.click("#dice")
    assert tab.errors == []
    context.close()


def test_the_same_attempts_of_the_studios_own_page_do_something(browser, running):
    """What the test of the foreign page tries is not refused because it was tried wrongly."""
    tab = Page(browser.new_page(), running)
    got = tab.page.evaluate(ATTACKS, running.address)
    assert "gradio-app" in got["read"]
    assert got["event"] != "refused"
    assert got["picture"] == got["style"] == "loaded"
    assert got["events"] == "open"
    tab.page.close()


def test_the_address_that_is_opened_leads_to_one_without_the_token(browser, running, tmp_path):
    token = running.key.rpartition("=")[2]
    tab = Page(browser.new_page(), running)
    assert tab.page.url == f"{running.address}/"
    assert token not in tab.page.content()
    assert tab.page.evaluate("document.cookie") == ""
    tab.page.reload()
    tab.page.wait_for_selector("#presets button")
    link = tmp_path / "link.html"
    link.write_text(f'<a href="{running.key}">open</a>')
    other = browser.new_context().new_page()
    other.goto(link.as_uri())
    other.click("a")
    other.wait_for_selector("#presets button")
    assert other.url == f"{running.address}/"


def test_scripts_that_are_slipped_into_the_page_are_not_run(browser, running):
    tab = Page(browser.new_page(), running)
    ran = tab.page.evaluate(
        """async () => {
          const slip = (tag, attributes) => {
            const made = document.createElement(tag);
            Object.assign(made, attributes);
            document.body.append(made);
          };
          slip("script", { textContent: "window.slipped = 1" });
          slip("div", { innerHTML: "<img src=x onerror='window.slipped = 2'>" });
          slip("script", { src: "http://127.0.0.1:1/evil.js" });
          let sent = "sent";
          try { await fetch("http://127.0.0.1:1/"); } catch { sent = "refused"; }
          await new Promise((fine) => setTimeout(fine, 500));
          return [window.slipped ?? null, sent];
        }"""
    )
    assert ran == [None, "refused"]
    assert sum("Content Security Policy" in error for error in tab.errors) >= 3
    tab.page.close()
