"""The command that shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer

from keyhole.access.secret import Secret
from keyhole.access.share import Priors, Share, ShareKind
from keyhole.cli import asking, mails, speech
from keyhole.cli.asking import Asked
from keyhole.cli.session import operator, session
from keyhole.cli.shares import For, Json
from keyhole.errors import Refused
from keyhole.gateway.desk import Desk, ShareOrder
from keyhole.gateway.identify import roles_of
from keyhole.gateway.order import AskedPatient
from keyhole.web.share_shapes import SentShare


class Others(StrEnum):
    """Which other studies of the patient are shared."""

    ALL = "all"
    FUTURE = "future"


_PRIORS = {None: Priors.NONE, Others.ALL: Priors.PRESENT, Others.FUTURE: Priors.FUTURE}


@dataclass(frozen=True, slots=True)
class Made:
    """A share that was made, its link, and the passcode that was made for it."""

    share: Share
    link: str = field(repr=False)
    passcode: Secret | None
    at: datetime


def share(  # noqa: PLR0913, PLR0917 - what can be said about a share
    context: typer.Context,
    studies: Annotated[list[str] | None, typer.Argument(metavar="STUDY", help="StudyInstanceUIDs.")] = None,
    lasts: For = None,
    series: Annotated[str | None, typer.Option(metavar="UID", help="Only this series of the one study.")] = None,
    patient: Annotated[
        str | None, typer.Option(metavar="ID", help="All studies of this patient, in place of STUDY.")
    ] = None,
    issuer: Annotated[str | None, typer.Option(metavar="ISSUER", help="The issuer of that PatientID.")] = None,
    priors: Annotated[
        Others | None, typer.Option(help="Also the patient's other studies: all there are, or future ones as well.")
    ] = None,
    visits: Annotated[int | None, typer.Option(metavar="N", help="How often it can be opened.")] = None,
    not_before: Annotated[
        str | None, typer.Option(metavar="TIME", help="When it can be opened first: 2026-03-01T12:00:00Z.")
    ] = None,
    passcode: asking.Passcode = None,
    mail_to: asking.MailTo = None,
    notify: asking.Notify = None,
    language: asking.Language = None,
    note: Annotated[str | None, typer.Option(metavar="TEXT", help="For your own eyes.")] = None,
    recipient: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Whom the link is for: Name, or Name <address>; each gets a link."),
    ] = None,
    archive: Annotated[str | None, typer.Option(metavar="NAME", help="The archive, if not the default one.")] = None,
    *,
    future: Annotated[bool, typer.Option("--future", help="With --patient: also the studies that come later.")] = False,
    birth_date: asking.BirthDate = False,
    mail_code: asking.MailCode = False,
    terms: asking.Terms = False,
    paper: asking.Paper = False,
    pictures: Annotated[bool, typer.Option("--pictures", help="Pictures only, in the built-in viewer.")] = False,
    mail: Annotated[bool, typer.Option("--mail", help="Mail each link to its recipient.")] = False,
    download: Annotated[bool, typer.Option("--download", help="The files may be downloaded, too.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Count openings although nothing is asked.")] = False,
    as_json: Json = False,
) -> None:
    """Share studies, and print the link.

    The link is all that is printed: whoever has it, and what it asks, can open the studies until the share ends. A
    passcode that is made is told apart from it.
    """
    asked = Asked.of(passcode, birth_date=birth_date, mail_code=mail_code, terms=terms, paper=paper)
    length = None if lasts is None else speech.duration("--for", lasts)
    names = _recipients(recipient or [], mail_to)
    whose = _patient(studies or [], patient, issuer)
    if mail and not all(address for _, address in names):
        raise Refused("a link is mailed to somebody", "say to whom: --mail-to ADDRESS")
    if visits is not None and visits < 1:
        raise Refused("a share needs at least one visit", "leave --visits out for no limit")

    def order(desk: Desk) -> ShareOrder:
        return ShareOrder(
            archive=archive or desk.archives[0],
            resources=_resources(studies or [], series),
            expires_at=_end(desk, length),
            kind=_kind(pictures=pictures, download=download),
            not_before=None if not_before is None else speech.instant("--not-before", not_before),
            max_visits=visits,
            note=note,
            forced=force,
            priors=_priors(priors, of_patient=whose is not None, future=future),
            patient=whose,
            notify=notify,
            language=language,
        )

    async def make(desk: Desk) -> None:
        wanted = order(desk)
        for name, address in names:
            made = await _made(desk, replace(wanted, recipient=name, mail_to=address), asked)
            _tell(made, as_json=as_json, several=len(names) > 1)
            if mail:
                await mails.post(desk, made.share.id)

    session(context).at_desk(make)


async def _made(desk: Desk, order: ShareOrder, asked: Asked) -> Made:
    """One share: with a passcode of its own, when links need a condition here and none was named."""
    lacking = desk.policy.required_of(roles_of(operator())).lacking(asked.names)
    wishes, made = asked.completed(lacking).made()
    share = await desk.create_share(operator(), replace(order, wishes=wishes))
    return Made(share, desk.link(share), made, desk.now())


def _tell(made: Made, *, as_json: bool, several: bool) -> None:
    if as_json:
        speech.give_json(SentShare.sent(made.share, made.at, made.link, made.passcode))
        return
    name, share = made.share.recipient or "", made.share
    speech.give(f"{_in_a_column(name)}\t{made.link}" if several else made.link)
    ends = speech.time(share.expires_at)
    speech.say(f"share {share.id} ends {ends} UTC; end it earlier with: keyhole revoke {share.id}")
    asking.tell(made.passcode, f" for {name}" if several else "")


def _in_a_column(name: str) -> str:
    return " ".join(str(speech.plain(name)).split())


def _end(desk: Desk, length: timedelta | None) -> datetime:
    return desk.policy.end(desk.now()) if length is None else desk.now() + length


def _recipients(said: Sequence[str], mail_to: str | None) -> list[tuple[str | None, str | None]]:
    """Name and address of each recipient; one without either when nobody is named."""
    named = [asking.recipient(each) for each in said]
    if mail_to is not None and (len(named) > 1 or any(address is not None for _, address in named)):
        raise Refused("each recipient has an address of their own", "for example --recipient 'Name <address>'")
    return [(name, mail_to if address is None else address) for name, address in named] or [(None, mail_to)]


def _patient(studies: Sequence[str], patient: str | None, issuer: str | None) -> AskedPatient | None:
    if bool(studies) is (patient is not None):
        raise Refused("a share is of studies or of a patient", "name a STUDY, or a patient with --patient ID")
    if patient is None and issuer is not None:
        raise Refused("an issuer is that of a patient", "name the patient with --patient ID")
    return None if patient is None else AskedPatient(patient, issuer)


def _resources(studies: Sequence[str], series: str | None) -> tuple[tuple[str, ...], ...]:
    if series is None:
        return tuple((study,) for study in studies)
    if len(studies) != 1:
        raise Refused("a series is of one study", "name that study alone")
    return ((studies[0], series),)


def _kind(*, pictures: bool, download: bool) -> ShareKind:
    if pictures and download:
        raise Refused("pictures only are no files to download", "leave out --pictures or --download")
    return ShareKind.VIEW_RENDERED if pictures else ShareKind.DOWNLOAD if download else ShareKind.VIEW


def _priors(others: Others | None, *, of_patient: bool, future: bool) -> Priors:
    if not of_patient and future:
        raise Refused("--future goes with --patient", "with a STUDY, say --priors future")
    if not of_patient:
        return _PRIORS[others]
    return Priors.FUTURE if future or others is Others.FUTURE else Priors.PRESENT
