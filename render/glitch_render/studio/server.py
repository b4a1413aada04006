"""The studio's server: on this machine only, with one folder that is removed when it stops."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glitch_gym.errors import GlitchError, Hint, MissingExtraError, OutputError
from glitch_render.cache import Cache
from glitch_render.studio.events import accept_event, checked
from glitch_render.studio.locks import Locks, lock
from glitch_render.studio.source import open_source
from glitch_render.studio.uploads import UploadError, UploadLimits, receive_upload

if TYPE_CHECKING:
    from glitch_render.studio.session import Session, Sessions

__all__ = ["DEFAULT_PORT", "open_studio"]

DEFAULT_PORT = 7860
_HOST = "127.0.0.1"
_GRACE = 1


class PortError(GlitchError):
    """The port is not available."""


def _listen(port: int) -> socket.socket:
    """Bind the port, before anything slow.

    Raises:
        PortError: the port is taken.
    """
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # On Windows the usual option would let another program have the same port
    alone = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
    taken.setsockopt(socket.SOL_SOCKET, alone, 1)
    try:
        taken.bind((_HOST, port))
        taken.listen(64)
    except OSError as error:
        taken.close()
        raise PortError(
            f"port {port} is taken: is a studio open already?", hint=Hint.OTHER_PORT
        ) from error
    return taken


def open_studio(
    *,
    port: int = DEFAULT_PORT,
    browser: bool = True,
    opening: str | None = None,
    cache: Cache | None = None,
    learners: Mapping[str, Any] | None = None,
    largest_upload: int = UploadLimits.size,
) -> None:
    """Serve the studio until it is stopped.

    Args:
        port: port on 127.0.0.1.
        browser: whether to open the page in the user's browser.
        opening: a picture or clip that a new tab opens.
        cache: the cache of activations, rewards and tables.
        learners: custom learners by the names that recipes use.
        largest_upload: size limit of an uploaded file in bytes.

    Raises:
        PortError: the port is taken.
        GlitchError: ``opening`` cannot be opened.
        MissingExtraError: gradio is not installed.
        KeyboardInterrupt: Ctrl-C; nothing is left behind.
    """
    if opening is not None:
        open_source(opening, opening)
    taken = _listen(port)
    try:
        folder = Path(tempfile.mkdtemp(prefix="glitch-gym-studio-"))
    except OSError as error:
        taken.close()
        raise OutputError(f"no folder for temporary files: {error.strerror}") from error
    # Where Gradio and every library put their temporary files
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    from glitch_render.studio.session import Sessions

    sessions = Sessions(folder, cache, learners, UploadLimits(size=largest_upload))
    # Nothing that is written meanwhile, for whatever library, is for other accounts to read
    mask = os.umask(0o077)
    # uvicorn gives a signal back once it has stopped: this one must come by the clean-up below
    usual = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        _serve(taken, sessions, browser, opening)
    finally:
        signal.signal(signal.SIGTERM, usual)
        taken.close()
        sessions.close()
        tempfile.tempdir = before
        os.umask(mask)
        shutil.rmtree(folder, ignore_errors=True)


def _serve(taken: socket.socket, sessions: Sessions, browser: bool, opening: str | None) -> None:
    try:
        import gradio as gr
        import uvicorn
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "the studio needs gradio: pip install 'glitch-gym[studio]'"
        ) from error
    from fastapi import FastAPI

    from glitch_render.studio.layout import page_css, page_theme
    from glitch_render.studio.wiring import build_page

    locks = Locks(taken.getsockname()[1])
    page = build_page(sessions, opening)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _add_routes(app, locks.root, sessions)
    app = gr.mount_gradio_app(
        app, page, locks.root, theme=page_theme(), css=page_css(), server_name=_HOST,
        server_port=locks.port, footer_links=[], ssr_mode=False, mcp_server=False,
        pwa=False, enable_monitoring=False, run_history=False, show_error=True,
    )  # fmt: skip
    # Or gradio leaves its own check of paths out, since the page is mounted and not launched
    page.has_launched = True
    events = f"{locks.root}/gradio_api/queue/join"
    account = os.geteuid() if hasattr(os, "geteuid") else None
    locked = lock(
        checked(app, events, lambda body: accept_event(body, sessions.uploads_of)), locks, account
    )
    logging.getLogger("uvicorn.error").addFilter(_not_cut_short)
    # With the headers of a proxy, a client could say that it is another
    config = uvicorn.Config(
        locked, log_level="warning", timeout_graceful_shutdown=_GRACE, ws="none", lifespan="on",
        proxy_headers=False,
    )  # fmt: skip
    server = uvicorn.Server(config)
    print(f"the studio is open at {locks.address} (Ctrl-C closes it)", file=sys.stderr, flush=True)
    if browser:
        opened = threading.Timer(0.5, webbrowser.open, [locks.address])
        opened.daemon = True
        opened.start()
    server.run(sockets=[taken])
    if server.started:
        # Only a signal ends it; one that the shell has told it to ignore is lost on the way
        raise KeyboardInterrupt


def _not_cut_short(record: logging.LogRecord) -> bool:
    """Drop ``CancelledError`` records, which are logged during shutdown."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def _add_routes(app: Any, root: str, sessions: Sessions) -> None:
    """Add the routes for pictures, recipes, downloads and uploads; none of them takes a path."""
    from fastapi import HTTPException

    def session(token: str) -> Session:
        found = sessions.by_token(token)
        if found is None:
            raise HTTPException(404, "this tab is closed")
        return found

    _add_reads(app, root, session)
    _add_uploads(app, root, session)


def _add_reads(app: Any, root: str, session: Callable[[str], Session]) -> None:
    """Add the routes by which the page fetches what a session has."""
    from fastapi import HTTPException
    from fastapi.responses import FileResponse, Response

    from glitch_gym.picture import read_picture
    from glitch_gym.samples import SAMPLES
    from glitch_render.media.pictures import encode_picture, preview_size, resized

    def shown(token: str, name: str) -> Response:
        found = session(token).album.find(name)
        if found is None:
            raise HTTPException(404, "this picture is no longer kept")
        content, kind = found
        return Response(content, media_type=kind, headers={"Cache-Control": "max-age=3600"})

    def sample(name: str) -> Response:
        if name not in SAMPLES:
            raise HTTPException(404, "no such sample")
        try:
            frame = read_picture(f"sample:{name}").frame
        except GlitchError as error:
            raise HTTPException(404, str(error)) from error
        height, width = frame.shape[:2]
        small = resized(frame, *preview_size(height, width, longest=200))
        return Response(encode_picture(small, ".jpg"), media_type="image/jpeg")

    def recipe(token: str) -> Response:
        draft = session(token).draft
        name = f"{draft.preset or 'recipe'}.toml"
        return Response(
            draft.text,
            media_type="application/toml",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    def download(token: str, number: int) -> Response:
        exported = session(token).exported
        if exported is None or not exported.path.exists():
            raise HTTPException(404, "this export is no longer kept")
        return FileResponse(exported.path, filename=exported.name)

    app.add_api_route(f"{root}/shown/{{token}}/{{name}}", shown)
    app.add_api_route(f"{root}/sample/{{name}}", sample)
    app.add_api_route(f"{root}/recipe/{{token}}", recipe)
    app.add_api_route(f"{root}/download/{{token}}/{{number}}", download)


def _add_uploads(app: Any, root: str, session: Callable[[str], Session]) -> None:
    """Add the routes by which the page sends files."""
    from fastapi.responses import JSONResponse, PlainTextResponse, Response
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request

    from glitch_render.studio.masks import keep_mask
    from glitch_render.studio.status import error_message

    async def upload(request: Request) -> Response:
        # A header of its own, which no page elsewhere can send: the tab, whose limits apply
        uploads = session(request.headers.get("x-studio-tab", "")).uploads
        try:
            return JSONResponse([await receive_upload(request, uploads)])
        except UploadError as error:
            return PlainTextResponse(str(error), error.status)

    async def mask(request: Request) -> Response:
        uploads = session(request.headers.get("x-studio-tab", "")).uploads
        try:
            path = await receive_upload(request, uploads)
            name = uploads.claim(path)
        except UploadError as error:
            return JSONResponse({"error": str(error)}, error.status)
        try:
            return JSONResponse({"path": await run_in_threadpool(keep_mask, path)})
        except GlitchError as error:
            return JSONResponse(
                {"error": error_message(error, {path: name, str(Path(path).resolve()): name})}
            )
        finally:
            shutil.rmtree(Path(path).parent, ignore_errors=True)

    def no_file(_: Request) -> Response:
        # The webcam's part of the page asks for what it has just sent: no file is given by a path
        return Response(status_code=204)

    app.add_route(f"{root}/gradio_api/file={{path:path}}", no_file)
    # In front of gradio's, which would take in anything from anybody
    app.add_route(f"{root}/gradio_api/upload", upload, methods=["POST"])
    app.add_route(f"{root}/mask", mask, methods=["POST"])
