"""What is asked of a decoder process, and what it answers: messages, without a codec or a picture library."""

from __future__ import annotations

from typing import Literal

import msgspec

Shape = Literal["linear", "linear-exact", "sigmoid"]
MediaType = Literal["image/jpeg", "image/png", "image/gif"]


class Window(msgspec.Struct, frozen=True):
    """The values to show (PS3.3 section C.11.2)."""

    center: float
    width: float
    shape: Shape = "linear"


class Viewport(msgspec.Struct, frozen=True):
    """The size that a picture fits into, and the region of the image to show (PS3.18 section 8.3.5.1.3).

    ``region`` is x, y, width and height in pixels of the image; a negative width or height mirrors. ``enlarge`` is
    whether a small image becomes as large as the viewport.
    """

    width: int
    height: int
    region: tuple[float, float, float, float] | None = None
    enlarge: bool = True


class Order(msgspec.Struct, frozen=True):
    """One picture: of frame *frame* of the file *path*, which has to be the one that was indexed."""

    path: bytes
    mtime_ns: int
    size: int
    frame: int | None
    """From 1; None for the representative frame."""
    media_type: MediaType
    quality: int = 90
    window: Window | None = None
    viewport: Viewport | None = None


class Rendered(msgspec.Struct, frozen=True, tag=True):
    """A picture."""

    content: bytes


class Unable(msgspec.Struct, frozen=True, tag=True):
    """There is no picture: ``gone`` the file, ``changed`` since it was indexed, or ``undecodable`` as it is."""

    why: Literal["gone", "changed", "undecodable"]


Reply = Rendered | Unable
SECONDS = 20
"""The longest that one picture may take."""
