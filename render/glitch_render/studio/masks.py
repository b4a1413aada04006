"""Masks that were uploaded: kept where a recipe finds them tomorrow."""

from __future__ import annotations

import tempfile
from pathlib import Path

from glitch_gym.errors import OutputError, PictureError
from glitch_gym.memory import content_digest
from glitch_gym.picture import read_picture
from glitch_render.media.pictures import write_picture

__all__ = ["keep_mask"]


def keep_mask(path: str) -> str:
    """Keep a picture that was uploaded as a mask, among the user's own files.

    A recipe names its masks by their paths, so they must outlive the page. The file's name depends
    on the pixels alone, and other accounts cannot read it.

    Args:
        path: path of the upload.

    Returns:
        the path of the mask.

    Raises:
        PictureError: it is not a picture or not an upload.
        OutputError: it cannot be kept.
    """
    from platformdirs import user_data_path

    uploaded = Path(path).resolve()
    if not uploaded.is_relative_to(Path(tempfile.gettempdir()).resolve()):
        raise PictureError("only a file that was uploaded can be kept as a mask")
    frame = read_picture(uploaded).frame
    folder = user_data_path("glitch-gym", appauthor=False) / "masks"
    kept = folder / f"{content_digest(frame)}.png"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        if not kept.exists():
            write_picture(kept, frame)
        kept.chmod(0o600)
    except OSError as error:
        raise OutputError(f"the mask cannot be kept: {error.strerror}") from error
    uploaded.unlink(missing_ok=True)
    return str(kept)
