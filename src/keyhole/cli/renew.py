"""Commands that change a share: renew, revoke."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from keyhole.access.secret import Secret
from keyhole.access.share import Share, ShareChange
from keyhole.cli import asking, speech
from keyhole.cli.asking import Asked
from keyhole.cli.session import operator, session, share_id
from keyhole.cli.shares import For, ShareArgument
from keyhole.errors import Refused
from keyhole.gateway.desk import Desk

_MORE = re.compile(r"\+?([1-9][0-9]{0,3})")


def renew(  # noqa: PLR0913, PLR0917 - what can be changed of a share
    context: typer.Context,
    share: ShareArgument,
    lasts: For = None,
    visits: Annotated[str | None, typer.Option(metavar="+N", help="Allow so many more openings: +1.")] = None,
    passcode: asking.Passcode = None,
    mail_to: asking.MailTo = None,
    notify: asking.Notify = None,
    language: asking.Language = None,
    *,
    birth_date: asking.BirthDate = False,
    mail_code: asking.MailCode = False,
    terms: asking.Terms = False,
    paper: asking.Paper = False,
    new_link: Annotated[
        bool, typer.Option("--new-link", help="End the present link, locked or not, and print another.")
    ] = False,
) -> None:
    """Renew a share, or replace its link.

    It may last longer or shorter, be opened more often, ask more of its recipient, or get another link, which is
    printed. Visits that have begun go on.
    """
    asked = Asked.of(passcode, birth_date=birth_date, mail_code=mail_code, terms=terms, paper=paper)
    name, length, more = share_id(share), lasts and speech.duration("--for", lasts), _more(visits)
    if not any((length, more, new_link, asked, mail_to, notify, language)):
        raise Refused("there is nothing to change", "add --for 7d, --visits +1, --passcode generate or --new-link")

    async def change(desk: Desk) -> tuple[Share, str, Secret | None]:
        wishes, made = asked.made()
        wanted = ShareChange(
            expires_at=desk.now() + length if length else None,
            more_visits=more,
            new_link_key=desk.new_link().new_link_key if new_link else None,
            mail_to=mail_to,
            notify=notify,
            language=language,
        )
        changed = await desk.change_share(operator(), name, wanted, wishes=wishes)
        return changed, desk.link(changed) if new_link else "", made

    changed, link, made = session(context).at_desk(change)
    if link:
        speech.give(link)
    asking.tell(made)
    left = (
        "" if changed.max_visits is None else f", {speech.plural(changed.max_visits - changed.visits, 'opening')} left"
    )
    speech.say(f"share {changed.id} ends {speech.time(changed.expires_at)} UTC{left}")
    if changed.locked_at is not None:
        speech.say(
            "its link is locked after too many wrong answers", hint=f"make another: keyhole renew {name} --new-link"
        )


def _more(text: str | None) -> int:
    found = None if text is None else _MORE.fullmatch(text)
    if text is not None and found is None:
        raise Refused(f"--visits is not a number of further openings: {text!r}", "for example --visits +1")
    return 0 if found is None else int(found[1])


def revoke(context: typer.Context, share: ShareArgument) -> None:
    """Withdraw a share for good.

    Its link opens nothing more, and running visits end within a second.
    """
    name = share_id(share)

    async def end(desk: Desk) -> bool:
        held = await desk.share(operator(), name)
        if held.withdrawn_at is None:
            await desk.change_share(operator(), name, ShareChange(withdrawn_at=desk.now()))
        return held.withdrawn_at is None

    ended = session(context).at_desk(end)
    speech.say(f"share {name} is withdrawn" if ended else f"share {name} was withdrawn before")
