"""The operator's templates of mails: files ``NAME.html`` in one folder, and nothing outside it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from keyhole.errors import Refused

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9 ._-]{0,98}")
_SUFFIX = ".html"
_LONGEST = 1 << 20
CONTENT = "{email-content}"
"""What a template that is a layout has where the text goes."""


@dataclass(frozen=True, slots=True)
class Templates:
    """``folder`` None: there are none."""

    folder: Path | None

    def names(self) -> list[str]:
        """The names, in order."""
        if self.folder is None:
            return []
        try:
            found = sorted(path.name.removesuffix(_SUFFIX) for path in self.folder.glob("*" + _SUFFIX))
        except OSError:
            return []
        return [name for name in found if self._path(name) is not None]

    def text(self, name: str) -> str | None:
        """The template called *name*; None when there is none of that name in the folder itself."""
        path = self._path(name)
        try:
            return None if path is None else path.read_bytes()[:_LONGEST].decode()
        except (OSError, UnicodeDecodeError):
            return None

    def laid_out(self, name: str | None, content: str) -> str:
        """*content* within the layout called *name*, or by itself; Refused when there is no such layout."""
        if not name:
            return content
        layout = self.text(name)
        if layout is None or CONTENT not in layout:
            raise Refused(f"there is no layout {name!r}" if _NAME.fullmatch(name) else "there is no such layout")
        return layout.replace(CONTENT, content)

    def _path(self, name: str) -> Path | None:
        if self.folder is None or _NAME.fullmatch(name) is None or ".." in name:
            return None
        path = (self.folder / (name + _SUFFIX)).resolve()
        return path if path.parent == self.folder.resolve() and path.is_file() else None
