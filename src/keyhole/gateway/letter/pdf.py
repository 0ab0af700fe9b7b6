"""Letters as PDF: tagged for screen readers and with every font inside (PDF/UA-1, ISO 14289-1), on one page."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from keyhole.errors import Refused
from keyhole.gateway.letter.content import Letter, Letterhead, Paper
from keyhole.gateway.letter.qr import Picture, qr_code

if TYPE_CHECKING:
    import typst

_COLOUR = "#14606b"
"""That of the recipients' pages."""


def pdf(letter: Letter, paper: Paper, head: Letterhead) -> bytes:
    """*letter* as a PDF, in some tens of milliseconds.

    A name in a script that no font here can draw is left out, and so is a logo that cannot be drawn: better none than
    boxes. Fonts of the machine are used for what those inside lack. Refused when it is the rest that has none.
    """
    import typst  # noqa: PLC0415 - some MB that a process has no use for until it prints

    plain, bare = replace(letter, recipient=""), replace(head, logo=None)
    for text, above in ((letter, head), (plain, head), (letter, bare), (plain, bare)):
        try:
            return _set(text, paper, above)
        except typst.TypstError:
            continue
    raise Refused("no font on this machine can draw this letter", "install one for the script of the site's name")


def _set(letter: Letter, paper: Paper, head: Letterhead) -> bytes:
    import typst  # noqa: PLC0415 - as above

    content = {
        **asdict(letter),
        "paper": {Paper.A4: "a4", Paper.LETTER: "us-letter"}[paper],
        "qr": qr_code(letter.link, Picture.SVG).decode(),
        "logo": list(head.logo or b""),
        "colour": head.colour or _COLOUR,
    }
    del content["link"]
    template = resources.files("keyhole.gateway.letter").joinpath("letter.typ").read_bytes()
    setter = typst.Compiler(template, font_paths=_fonts(), sys_inputs={"letter": json.dumps(content)})
    drawn = setter.compile(format="pdf", pdf_standards="ua-1")
    if not isinstance(drawn, bytes):
        raise TypeError("a letter is one document")
    return drawn


@cache
def _fonts() -> typst.Fonts:
    """Those of typst and of this machine, looked for once."""
    import typst  # noqa: PLC0415 - as above

    return typst.Fonts()
