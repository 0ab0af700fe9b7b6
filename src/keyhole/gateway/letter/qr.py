"""QR codes of links (ISO/IEC 18004): for letters, and for reports that others write. A QR code shows its link."""

from __future__ import annotations

from enum import StrEnum
from io import BytesIO

import segno

_QUIET = 4
"""Modules of white around it (ISO/IEC 18004 section 9.1)."""

_PIXELS = 10
"""Pixels of a module: some 4 cm at 300 dots to the inch, for the link of a host with a name of usual length."""


class Picture(StrEnum):
    """The forms in which a QR code is given."""

    PNG = "png"
    SVG = "svg"

    @property
    def media_type(self) -> str:
        """As RFC 6838 registers it."""
        return {Picture.PNG: "image/png", Picture.SVG: "image/svg+xml"}[self]


def qr_code(link: str, picture: Picture) -> bytes:
    """The QR code of *link*, with error correction M: up to 15 % of it may be dirty."""
    code = segno.make_qr(link, error="m", boost_error=False)
    drawn = BytesIO()
    if picture is Picture.PNG:
        code.save(drawn, kind="png", scale=_PIXELS, border=_QUIET)
    else:
        code.save(drawn, kind="svg", border=_QUIET, scale=_PIXELS, light="#fff", nl=False)
    return drawn.getvalue()
