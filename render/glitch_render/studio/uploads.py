"""Uploads of a tab: limited, private, and removed if they are never opened."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from threading import Lock
from typing import TYPE_CHECKING

from glitch_gym.errors import GlitchError, PictureError

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["UploadError", "UploadLimits", "Uploads", "receive_upload", "suffix_of"]

_LONGEST_NAME = 150
_FULL = "the disk has no room for this file"
_LOOK_AGAIN = 32_000_000
"""Bytes after which the room on the disk is looked at again."""


class UploadError(GlitchError):
    """An upload is more than a tab may send.

    Args:
        message: what is too much.
        status: HTTP status of the answer.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class UploadLimits:
    """How much a tab may upload.

    Args:
        size: the most bytes of a file.
        spare: the bytes that are left free on the disk.
        at_once: the most uploads under way at a time.
        waiting: the most uploads that are complete and not yet opened.
        per_minute: the most uploads that begin within a minute.
        seconds: after which an upload that is not opened is thrown out.
    """

    size: int = 8_000_000_000
    spare: int = 100_000_000
    at_once: int = 2
    waiting: int = 8
    per_minute: int = 60
    seconds: float = 60.0


class Uploads:
    """The uploads of a tab that have not been opened yet.

    Args:
        folder: where they lie; made when it is needed.
        limits: how much the tab may upload.
    """

    def __init__(self, folder: Path, limits: UploadLimits) -> None:
        self.limits = limits
        self._folder = folder
        self._names: dict[str, str] = {}
        self._begun: deque[float] = deque()
        self._under_way = 0
        self._lock = Lock()

    def __contains__(self, path: object) -> bool:
        """Return whether a path is that of an upload."""
        with self._lock:
            return path in self._names

    @contextlib.contextmanager
    def receiving(self, length: int | None) -> Iterator[Path]:
        """Return a folder of its own to an upload that begins; it goes unless a file was added.

        Args:
            length: how many bytes are announced.

        Raises:
            UploadError: it is too large, or one too many.
        """
        self._begin(length)
        folder = self._folder / secrets.token_urlsafe(12)
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            folder.mkdir(mode=0o700)
            yield folder
        finally:
            with self._lock:
                self._under_way -= 1
                kept = any(Path(path).parent == folder for path in self._names)
            if not kept:
                shutil.rmtree(folder, ignore_errors=True)

    def _begin(self, length: int | None) -> None:
        limits, now = self.limits, time.monotonic()
        if length is not None and length > limits.size + 10_000:
            raise UploadError(f"a file can have at most {limits.size / 1e9:g} GB", 413)
        with contextlib.suppress(OSError):
            free = shutil.disk_usage(self._folder.parent).free
            if (length or 0) + limits.spare > free:
                raise UploadError(
                    f"the disk has no room for this file: {free / 1e6:.0f} MB are free", 507
                )
        with self._lock:
            while self._begun and self._begun[0] < now - 60:
                self._begun.popleft()
            if len(self._begun) >= limits.per_minute:
                raise UploadError("too many files at once: try again in a minute", 429)
            if self._under_way >= limits.at_once or len(self._names) >= limits.waiting:
                raise UploadError("too many files at once: one after another, please", 429)
            self._begun.append(now)
            self._under_way += 1

    def add(self, path: Path, name: str) -> str:
        """Note a file that is complete, under the name that the person gave it; returns its path.

        Args:
            path: path of the file, in a folder that ``receiving`` returned.
            name: as it came.
        """
        with self._lock:
            self._names[str(path)] = name
        return str(path)

    def claim(self, path: str) -> str:
        """Release an upload to be opened, once.

        Returns:
            the name that the person gave it.

        Raises:
            PictureError: it was not uploaded in this tab, or is gone.
        """
        with self._lock:
            name = self._names.pop(path, None)
        if name is None:
            raise PictureError("only a file that was uploaded in this tab can be opened")
        return name

    def forget(self, path: str) -> None:
        """Delete an upload that was never opened; one that was opened stays."""
        with self._lock:
            waited = self._names.pop(path, None) is not None
        if waited:
            shutil.rmtree(Path(path).parent, ignore_errors=True)


def plain_name(name: str) -> str:
    """Return the last part of a file's name as any system writes it, without what cannot be read.

    It is shown, and never made into a path.
    """
    last = PureWindowsPath(name).name
    return "".join(one for one in last if one.isprintable()).strip()[-_LONGEST_NAME:] or "file"


def suffix_of(name: str) -> str:
    """Return the suffix of a name, if it is a plain one."""
    suffix = PureWindowsPath(name).suffix.lower()
    return suffix if suffix[1:].isalnum() and suffix.isascii() and len(suffix) <= 6 else ""


async def receive_upload(request: Request, uploads: Uploads) -> str:
    """Take the one file of a form in, as it comes, and return its path.

    Args:
        request: whose body is the form.
        uploads: the uploads of the tab.

    Raises:
        UploadError: it is too large, one too many, or no form with a file.
    """
    from gradio.route_utils import GradioMultiPartParser, GradioUploadFile
    from gradio.routes import file_upload_statuses as progress
    from starlette.formparsers import MultiPartException

    announced = request.headers.get("content-length")
    watched = request.query_params.get("upload_id", "")[:64] or None
    limits, loop = uploads.limits, asyncio.get_running_loop()
    # The server has checked that it is a number of few digits
    with uploads.receiving(None if announced is None else int(announced)) as folder:
        if watched is not None:
            progress.track(watched)
        try:
            form = await GradioMultiPartParser(
                request.headers,
                _while_there_is_room(request, folder, limits.spare),
                max_files=1,
                max_fields=0,
                upload_dir=folder,
                upload_id=watched,
                upload_progress=None if watched is None else progress,
                max_file_size=limits.size,
            ).parse()
        except (MultiPartException, KeyError) as error:
            said = str(getattr(error, "message", ""))
            if said.startswith("File size exceeded"):
                raise UploadError(
                    f"a file can have at most {limits.size / 1e9:g} GB", 413
                ) from error
            if said == _FULL:
                raise UploadError(_FULL, 507) from error
            raise UploadError("an upload is a form with one file") from error
        except OSError as error:
            raise UploadError(f"the upload cannot be kept: {error.strerror}", 507) from error
        finally:
            if watched is not None:
                progress.set_done(watched)
                loop.call_later(limits.seconds, progress.stop_tracking, watched)
        files = [one for one in form.getlist("files") if isinstance(one, GradioUploadFile)]
        if len(files) != 1:
            raise UploadError("an upload is a form with one file")
        (file,) = files
        file.file.close()
        name = plain_name(file.filename or "")
        path = folder / f"upload{suffix_of(name)}"
        Path(file.file.name or "").replace(path)
        kept = uploads.add(path, name)
    loop.call_later(limits.seconds, uploads.forget, kept)
    return kept


async def _while_there_is_room(
    request: Request, folder: Path, spare: int
) -> AsyncGenerator[bytes, None]:
    """Yield the body of a request, and stop before it fills the disk."""
    from starlette.formparsers import MultiPartException
    from starlette.requests import ClientDisconnect

    since = _LOOK_AGAIN
    # Only an error of its own makes the parser close its file
    try:
        async for chunk in request.stream():
            since += len(chunk)
            if since > _LOOK_AGAIN:
                since = 0
                if shutil.disk_usage(folder).free < spare:
                    raise MultiPartException(_FULL)
            yield chunk
    except ClientDisconnect as error:
        raise MultiPartException("broken off") from error
