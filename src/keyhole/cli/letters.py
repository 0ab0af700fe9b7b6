"""Commands that put a link on paper: qr, letter."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from keyhole.cli import speech
from keyhole.cli.session import operator, session, share_id
from keyhole.cli.shares import ShareArgument
from keyhole.errors import Refused
from keyhole.gateway.desk import Desk
from keyhole.gateway.letter.content import Paper
from keyhole.gateway.letter.qr import Picture
from keyhole.gateway.letters import Letters

_PRIVATE = 0o600


def qr(
    context: typer.Context,
    share: ShareArgument,
    output: Annotated[Path, typer.Option(metavar="FILE", help="Where to write it: a name ending in .png or .svg.")],
) -> None:
    """Write the link of a share as a QR code.

    It shows the link: that it was made is on the trail.
    """
    name, picture = share_id(share), _picture(output)
    _write(context, output, lambda letters: letters.qr(operator(), name, picture))


def letter(
    context: typer.Context,
    share: ShareArgument,
    output: Annotated[Path, typer.Option(metavar="FILE", help="Where to write it, as PDF.")],
    paper: Annotated[Paper, typer.Option(help="The size of the paper.")] = Paper.A4,
    language: Annotated[
        str | None, typer.Option(metavar="TAG", help="en, fr, de or es, when not the share's own.")
    ] = None,
) -> None:
    """Write the letter to the recipient of a share.

    QR code, address, code and what to do with them, for a share that was made with --paper. It shows the link: that it
    was printed is on the trail.
    """
    name = share_id(share)
    _write(context, output, lambda letters: letters.letter(operator(), name, paper, language))


def _picture(output: Path) -> Picture:
    try:
        return Picture(output.suffix.removeprefix(".").lower())
    except ValueError:
        raise Refused(
            f"a QR code is PNG or SVG, not {output.suffix or 'a file without ending'}", "--output code.png"
        ) from None


def _write(context: typer.Context, output: Path, made: Callable[[Letters], Awaitable[bytes]]) -> None:
    from keyhole.wiring.paper import letterhead  # noqa: PLC0415 - as the session does, for --help's sake

    held = session(context)
    head = letterhead(held.settings())

    async def make(desk: Desk) -> bytes:
        return await made(Letters(desk, head))

    content = held.at_desk(make)
    try:
        output.touch(_PRIVATE)
        if output.is_file():  # no device
            output.chmod(_PRIVATE)  # of one that was there before as well
        output.write_bytes(content)
    except OSError as error:
        raise Refused(f"{output} cannot be written: {error.strerror}", "name another file with --output") from None
    speech.say(f"{output} is written; whoever sees it has the link")
