"""Commands about mail: mail, mails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from keyhole.access.mail import Mail
from keyhole.cli import speech
from keyhole.cli.session import operator, session, share_id
from keyhole.cli.shares import Json, ShareArgument
from keyhole.errors import Refused
from keyhole.gateway.desk import Desk
from keyhole.gateway.mailroom import Mailroom, NoMail
from keyhole.gateway.post.fate import MailState, plain_problem, state
from keyhole.web.share_shapes import SentMail


def mail(
    context: typer.Context,
    share: ShareArgument,
    to: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Whom to mail it to, if not the share's recipient.")
    ] = None,
    *,
    copy: Annotated[
        bool, typer.Option("--copy", help="Print the mail's text with the link, and mail nothing.")
    ] = False,
) -> None:
    """Mail the link of a share to its recipient, or print the text to send it in another way.

    A running server sends it; see how far it has come with `keyhole mails SHARE`. Without a mail server the text is
    printed.
    """
    name = share_id(share)
    if copy:
        speech.give(session(context).at_desk(lambda desk: _text(desk, name)))
        return

    async def send(desk: Desk) -> Mail | str:
        try:
            return await Mailroom(desk).send_link(operator(), name, to)
        except NoMail as problem:
            speech.say(problem.problem)
            return await _text(desk, name)

    sent = session(context).at_desk(send)
    if isinstance(sent, str):
        speech.say("the text to send in another way:")
        speech.give(sent)
        raise typer.Exit(1)
    _say(sent)


async def post(desk: Desk, name: str) -> None:
    """Mail the link of a share whose link was printed, and say so, or why it was not mailed."""
    try:
        _say(await Mailroom(desk).send_link(operator(), name))
    except Refused as problem:  # the share is made: the others that were ordered with it are to be made as well
        speech.say(problem.problem, hint=f"send the link in another way; a text for it: keyhole mail {name} --copy")


def _say(sent: Mail) -> None:
    speech.say(f"the link of share {sent.share} waits to be mailed to {sent.to}; see: keyhole mails {sent.share}")


async def _text(desk: Desk, name: str) -> str:
    return (await Mailroom(desk).link_text(operator(), name)).rstrip("\n")


def mails(
    context: typer.Context,
    share: Annotated[
        str | None, typer.Argument(metavar="SHARE", help="Id of a share; without, --failed is meant, of all shares.")
    ] = None,
    *,
    failed: Annotated[bool, typer.Option("--failed", help="Only mails that could not be sent.")] = False,
    as_json: Json = False,
) -> None:
    """List the mails about a share, oldest first, or those of all shares that could not be sent, newest first."""
    name, failed = None if share is None else share_id(share), failed or share is None

    async def find(desk: Desk) -> Sequence[Mail]:
        return await (Mailroom(desk).failed(operator()) if name is None else desk.mails(operator(), name))

    found = [one for one in session(context).at_desk(find) if not failed or state(one) is MailState.FAILED]
    if as_json:
        speech.give_json(*map(SentMail.of, found))
        return
    if not found:
        speech.say("no mail has failed" if failed else "nothing was mailed about this share")
        return
    titles = ("SHARE", "STATE", "KIND", "TO", "MADE (UTC)", "SENT, OR NEXT (UTC)", "TRIES", "PROBLEM")
    speech.give_table(titles, map(_row, found), right=("TRIES",))


def _row(one: Mail) -> tuple[str, ...]:
    when = one.sent_at or (None if one.failed_at else one.due_at)
    made = speech.time(one.created_at)
    return one.share, state(one), one.kind, one.to, made, speech.time(when), str(one.tries), plain_problem(one)
