"""QR codes and letters in the staff API: what is asked for, and what goes out."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from pydantic import Field

from keyhole.gateway.letter.content import Paper
from keyhole.gateway.letter.qr import Picture
from keyhole.web.shapes import Taken
from keyhole.web.share_shapes import Language

QR_CODE: dict[int | str, Any] = {
    200: {
        "description": "the QR code. It shows the link: whoever sees it can open the share",
        "content": {picture.media_type: {"schema": {"type": "string", "format": "binary"}} for picture in Picture},
    }
}
LETTER: dict[int | str, Any] = {
    200: {
        "description": "the letter. It shows the link and a code that stands for it",
        "content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class QrQuery(Taken):
    """The form of a QR code."""

    format: Picture = Field(default=Picture.PNG, description="PNG for documents, SVG for print of any size")


class LetterQuery(Taken):
    """The form of a letter."""

    paper: Paper = Field(default=Paper.A4, description="the size of the paper: A4, or US Letter")
    language: Language | None = Field(
        default=None, description="en, fr, de or es; that of the share, or of the site, when left out"
    )


def picture(content: bytes, form: Picture) -> Response:
    """A QR code as an answer."""
    return Response(content, media_type=form.media_type)


def document(content: bytes) -> Response:
    """A letter as an answer, which browsers show and keep under a name that says nothing."""
    return Response(
        content, media_type="application/pdf", headers={"content-disposition": 'inline; filename="letter.pdf"'}
    )
