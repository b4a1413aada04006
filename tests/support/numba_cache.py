"""Where Numba keeps what it compiled: a folder for each state of the code that is compiled.

Numba notices that a file has changed, not that one whose functions it inlined has. As a program,
this prints the folder.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

_ROOT = Path(__file__).parent.parent.parent
_COMPILED = re.compile(r"^from glitch_gym\.compilation import|^def (?:compiled|inlined)\b", re.M)


def numba_cache(root: Path = _ROOT) -> Path:
    """Return the folder for the code below ``root``, named by a digest of all compiled modules."""
    digest = hashlib.blake2b(digest_size=8)
    for package in ("glitch_gym", "agents/glitch_agents", "render/glitch_render"):
        for path in sorted((root / package).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            if _COMPILED.search(text):
                digest.update(f"{path.relative_to(root).as_posix()}\n{text}".encode())
    return root / ".numba_cache" / digest.hexdigest()


if __name__ == "__main__":
    print(numba_cache())
