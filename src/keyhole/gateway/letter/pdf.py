"""Letters as PDF: tagged for screen readers and with every font inside (PDF/UA-1, ISO 14289-1), on one page."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from keyhole.gateway.letter.content import Letter, Letterhead, Paper
from keyhole.gateway.letter.qr import Picture, qr_code

if TYPE_CHECKING:
    import typst

_COLOUR = "#14606b"
"""That of the recipients' pages."""


def pdf(letter: Letter, paper: Paper, head: Letterhead) -> bytes:
    """*letter* as a PDF, in some milliseconds.

    A name in a script that no font here can draw is left out: better nobody's name than boxes. Fonts of the machine
    are used for what those inside lack.
    """
    import typst  # noqa: PLC0415 - some MB that a process has no use for until it prints

    try:
        return _set(letter, paper, head)
    except typst.TypstError:
        if not letter.recipient:
            raise
    return _set(replace(letter, recipient=""), paper, head)


def _set(letter: Letter, paper: Paper, head: Letterhead) -> bytes:
    content = {
        **asdict(letter),
        "paper": {Paper.A4: "a4", Paper.LETTER: "us-letter"}[paper],
        "qr": qr_code(letter.link, Picture.SVG).decode(),
        "logo": list(head.logo or b""),
        "colour": head.colour or _COLOUR,
    }
    del content["link"]
    import typst  # noqa: PLC0415 - as above

    setting = {"letter": json.dumps(content)}
    template = resources.files("keyhole.gateway.letter").joinpath("letter.typ").read_bytes()
    drawn = typst.Compiler(template, font_paths=_fonts(), sys_inputs=setting).compile(
        format="pdf", pdf_standards="ua-1"
    )
    if not isinstance(drawn, bytes):
        raise TypeError("a letter is one document")
    return drawn


@cache
def _fonts() -> typst.Fonts:
    """Those of typst and of this machine, looked for once."""
    import typst  # noqa: PLC0415 - as above

    return typst.Fonts()
