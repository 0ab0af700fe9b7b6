"""Rendered and thumbnail (PS3.18 sections 10.4.1.1.3 and 10.4.1.1.4): what a request for a picture asks for."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from keyhole.archive import media
from keyhole.archive.answers import Problem, not_acceptable, not_found
from keyhole.archive.index import Index, InstanceRow
from keyhole.archive.order import MediaType, Order, Viewport, Window

STILLS: tuple[MediaType, ...] = ("image/jpeg", "image/png", "image/gif")
_LARGEST = 4096
_THUMBNAIL = Viewport(256, 256, enlarge=False)
_SHAPES = ("linear", "linear-exact", "sigmoid")
_INSTANCE = 3

_REPRESENTATIVE = (
    "SELECT study, series, uid FROM instances WHERE {where} AND frames IS NOT NULL ORDER BY series, number, uid "
    "LIMIT 1 OFFSET (SELECT count(*) / 2 FROM instances WHERE (study, series) = ("
    "SELECT study, series FROM instances WHERE {where} AND frames IS NOT NULL ORDER BY series, number, uid LIMIT 1"
    ") AND frames IS NOT NULL)"
)


@dataclass(frozen=True, slots=True)
class Pictures:
    """Takes requests for pictures apart; a decoder makes them."""

    index: Index
    folder: bytes

    def rendered(self, uids: tuple[str, ...], frames: str | None, query: str, accept: str) -> Order:
        """The picture of one instance, or of one of its frames.

        Of a multi-frame instance it is the representative frame. Series, studies and lists of frames are many pictures
        and are left out: one is asked for at a time.
        """
        if len(uids) != _INSTANCE or (frames is not None and "," in frames):
            raise Problem(406, "Pictures are rendered one at a time: ask for those of an instance or a frame.")
        asked = dict(parse_qsl(query))
        return self._order(
            self._row(uids), frames, accept, _viewport(asked), quality=_quality(asked), window=_window(asked)
        )

    def thumbnail(self, uids: tuple[str, ...], frames: str | None, query: str, accept: str) -> Order:
        """A small picture of an instance, a frame, or the middle instance of a series, or of a study's first one."""
        if frames is not None and "," in frames:
            raise Problem(406, "There is a thumbnail of each frame: ask for one.")
        row = self._row(uids if len(uids) == _INSTANCE else self._representative(uids))
        return self._order(row, frames, accept, _viewport(dict(parse_qsl(query))) or _THUMBNAIL)

    def _representative(self, uids: tuple[str, ...]) -> tuple[str, ...]:
        where = " AND ".join(f"{name} = ?{at}" for at, name in enumerate(("study", "series")[: len(uids)], 1))
        found = self.index.rows(_REPRESENTATIVE.format(where=where), uids)
        if not found:
            raise not_found()
        return tuple(found[0])

    def _row(self, uids: tuple[str, ...]) -> InstanceRow:
        rows = self.index.instances(*uids)
        if not rows:
            raise not_found()
        if rows[0].layout is None:
            raise not_acceptable("What is no image")
        return rows[0]

    def _order(
        self,
        row: InstanceRow,
        frames: str | None,
        accept: str,
        viewport: Viewport | None,
        *,
        quality: int = 90,
        window: Window | None = None,
    ) -> Order:
        frame = None if frames is None else int(frames)
        if row.layout is None or (frame or 1) > row.layout.frames:
            raise not_found()
        return Order(
            path=os.path.join(self.folder, row.path),  # noqa: PTH118 - bytes
            mtime_ns=row.mtime_ns,
            size=row.size,
            frame=frame,
            media_type=_media_type(accept),
            quality=quality,
            window=window,
            viewport=viewport,
        )


def _media_type(accept: str) -> MediaType:
    for one in media.parse_accept(accept):
        for still in STILLS:
            if one.media_type in ("*/*", "image/*", still):
                return still
    raise not_acceptable("A picture")


def _bad(what: str) -> Problem:
    return Problem(400, f"{what} is not as PS3.18 section 8.3.5.1 has it.")


def _numbers(text: str, what: str) -> list[float]:
    try:
        found = [float(number) if number else 0.0 for number in text.split(",")]
    except ValueError:
        raise _bad(what) from None
    if not all(map(math.isfinite, found)):
        raise _bad(what)
    return found


def _quality(asked: Mapping[str, str]) -> int:
    text = asked.get("quality", "90")
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 100:  # noqa: PLR2004 - per cent
        raise _bad("quality")
    return int(text)


def _window(asked: Mapping[str, str]) -> Window | None:
    if "window" not in asked:
        return None
    text, _, shape = asked["window"].rpartition(",")
    numbers = _numbers(text, "window")
    if len(numbers) != 2 or numbers[1] <= 0 or shape not in _SHAPES:  # noqa: PLR2004 - centre and width
        raise _bad("window")
    return Window(numbers[0], numbers[1], _SHAPES[_SHAPES.index(shape)])  # type: ignore[arg-type]


def _viewport(asked: Mapping[str, str]) -> Viewport | None:
    if "viewport" not in asked:
        return None
    match _numbers(asked["viewport"], "viewport"):
        case [width, height] if min(width, height) >= 1:
            region = None
        case [width, height, x, y, across, down] if min(width, height) >= 1:
            region = (x, y, across, down)
        case _:
            raise _bad("viewport")
    return Viewport(min(int(width), _LARGEST), min(int(height), _LARGEST), region)
