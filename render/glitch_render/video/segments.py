"""Segments of a clip, painted and encoded one after another, each into a part of its own."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from glitch_render.media.codecs import Encoding
from glitch_render.media.writer import PartWriter
from glitch_render.video.painter import Painter

__all__ = ["UNFINISHED", "Segment", "write_segments"]

UNFINISHED = "unfinished-"
"""First letters of the name of a part that is being written."""

_AHEAD = 2
"""Frames that may wait for the encoder."""


@dataclass(frozen=True)
class Segment:
    """Frames that are encoded together.

    Args:
        first: number of the first frame.
        last: number of the frame after the last.
        path: path of the part: a file, or a folder of pictures.
    """

    first: int
    last: int
    path: Path


def write_segments(
    painter: Painter,
    encoding: Encoding,
    segments: Sequence[Segment],
    painted: Callable[[], None],
    *,
    mark: str = "",
) -> None:
    """Paint segments, and move each part into place when it is whole.

    Args:
        painter: painter of the frames.
        encoding: how they are encoded.
        segments: segments to paint, in order.
        painted: called after each frame.
        mark: text in the names of unfinished parts that sets them apart from those of others.

    Raises:
        GlitchError: a frame cannot be read, painted or written; its part is not there.
    """
    # The encoder has a thread of its own, so that painting does not wait for it
    with ThreadPoolExecutor(1) as encoder:
        ahead: deque[Future[None]] = deque()

        def later(call: Callable[..., None], *arguments: object) -> None:
            ahead.append(encoder.submit(call, *arguments))
            if len(ahead) > _AHEAD:
                ahead.popleft().result()

        for segment in segments:
            unfinished = segment.path.with_name(f"{UNFINISHED}{mark}{segment.path.name}")
            if encoding.kind == "pictures":
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.mkdir()
            writer = PartWriter(unfinished, encoding, segment.first)
            try:
                for pixels, alpha in painter.frames(
                    segment.first, segment.last, deep=encoding.deep
                ):
                    later(writer.write, pixels, alpha)
                    painted()
                later(_finish, writer, unfinished, segment.path)
                if segment is segments[-1]:
                    while ahead:
                        ahead.popleft().result()
            except BaseException:
                encoder.shutdown()
                writer.abandon()
                raise


def _finish(writer: PartWriter, unfinished: Path, path: Path) -> None:
    writer.finish()
    if path.is_dir():
        # Another worker was quicker with the same pictures
        shutil.rmtree(unfinished, ignore_errors=True)
        return
    unfinished.replace(path)
