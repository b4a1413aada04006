"""The server of the studio: this machine only, one folder for all files, gone when it stops."""

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
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glitch_gym.errors import GlitchError, MissingExtraError, OutputError
from glitch_render.store import Store
from glitch_render.studio.source import open_source

if TYPE_CHECKING:
    from glitch_render.studio.session import Session, Sessions

__all__ = ["DEFAULT_PORT", "open_studio"]

DEFAULT_PORT = 7860
_HOST = "127.0.0.1"
_GRACE = 1


class PortError(GlitchError):
    """The port cannot be listened on."""


def _listen(port: int) -> socket.socket:
    """Take the port, before anything that takes time.

    Raises:
        PortError: somebody has it.
    """
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((_HOST, port))
        taken.listen(64)
    except OSError as error:
        taken.close()
        raise PortError(
            f"port {port} is taken: is a studio open already, at http://{_HOST}:{port}? "
            f"Another can have another port: --port {port + 1}"
        ) from error
    return taken


def open_studio(
    *,
    port: int = DEFAULT_PORT,
    browser: bool = True,
    opening: str | None = None,
    store: Store | None = None,
    learners: Mapping[str, Any] | None = None,
) -> None:
    """Serve the studio until it is stopped.

    Args:
        port: on 127.0.0.1.
        browser: open the page in the user's browser.
        opening: a picture or clip that a new tab opens.
        store: where activations, rewards and tables are kept, and recalled from.
        learners: those that were given by hand, by the names that recipes have for them.

    Raises:
        PortError: the port is taken.
        GlitchError: what is to be opened cannot be.
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
    # Where gradio, and whoever else asks for a temporary file, puts it
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "uploads")
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    from glitch_render.studio.session import Sessions

    sessions = Sessions(folder, store, learners)
    # uvicorn gives a signal back once it has stopped: this one must come by the clean-up below
    usual = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        _serve(taken, sessions, browser, opening)
    finally:
        signal.signal(signal.SIGTERM, usual)
        taken.close()
        sessions.close()
        tempfile.tempdir = before
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
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from glitch_render.studio.page import build_page, page_css, page_theme

    page = build_page(sessions, opening)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    # Another site that has its name point here is not answered
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[_HOST, "localhost"])
    _add_files(app, sessions)
    app = gr.mount_gradio_app(
        app, page, "/", theme=page_theme(), css=page_css(), server_name=_HOST,
        server_port=taken.getsockname()[1], footer_links=[], ssr_mode=False, mcp_server=False,
        pwa=False, enable_monitoring=False, run_history=False, show_error=True,
    )  # fmt: skip
    logging.getLogger("uvicorn.error").addFilter(_not_cut_short)
    config = uvicorn.Config(
        app, log_level="warning", timeout_graceful_shutdown=_GRACE, ws="none", lifespan="on"
    )
    server = uvicorn.Server(config)
    address = f"http://{_HOST}:{taken.getsockname()[1]}"
    print(f"the studio is open at {address} (Ctrl-C closes it)", file=sys.stderr, flush=True)
    if browser:
        opened = threading.Timer(0.5, webbrowser.open, [address])
        opened.daemon = True
        opened.start()
    server.run(sockets=[taken])
    if server.started:
        # Only a signal ends it; one that the shell has told it to ignore is lost on the way
        raise KeyboardInterrupt


def _not_cut_short(record: logging.LogRecord) -> bool:
    """Leave out that a page's connection was cut short, which is how a stop looks from inside."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def _add_files(app: Any, sessions: Sessions) -> None:
    """Let the page fetch its pictures, its recipe and what it exported: never by a path."""
    from fastapi import HTTPException
    from fastapi.responses import FileResponse, Response

    from glitch_gym.picture import SAMPLES, read_picture
    from glitch_render.media import encode_picture
    from glitch_render.still import preview_size, resized

    def session(token: str) -> Session:
        found = sessions.by_token(token)
        if found is None:
            raise HTTPException(404, "this tab is closed")
        return found

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

    app.add_api_route("/shown/{token}/{name}", shown)
    app.add_api_route("/sample/{name}", sample)
    app.add_api_route("/recipe/{token}", recipe)
    app.add_api_route("/download/{token}/{number}", download)
