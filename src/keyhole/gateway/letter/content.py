"""What a letter says, in its reader's language. Pure.

It names the recipient if the sender did, and nobody else; no study, and nothing that is asked besides the code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from keyhole.access.condition import ConditionName
from keyhole.access.share import Share
from keyhole.language import ENGLISH, Language

_NAME_LONGEST = 120
"""Characters of a recipient's name that have room."""
_LONG_WORD = re.compile(r"\S{31,}")
_PIECE = re.compile(r"(.{8})(?=.)")
_MAY_BREAK = "\N{ZERO WIDTH SPACE}"


class Paper(StrEnum):
    """The sizes of paper that letters are printed on."""

    A4 = "a4"
    LETTER = "letter"


@dataclass(frozen=True, slots=True)
class Letterhead:
    """Who sends letters: name, logo (PNG or SVG) and colour (``#rrggbb``) of the site, and whom readers can ask.

    ``language`` is that of recipients of whom nothing is known.
    """

    name: str = ""
    logo: bytes | None = field(default=None, repr=False)
    colour: str | None = None
    contact: str = ""
    language: Language = ENGLISH


PLAIN = Letterhead()
"""That of a site that has set nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """The texts of a letter, ready to be set. ``code`` and ``link`` are secrets."""

    language: str
    site: str
    title: str
    recipient: str
    intro: str
    scan_title: str
    scan: str
    picture_of: str
    type_title: str
    type_address: str
    address: str
    type_code: str
    code: str = field(repr=False)
    type_hint: str
    asked_title: str
    asked: tuple[str, ...]
    until: tuple[str, ...]
    care: tuple[str, ...]
    contact: str
    link: str = field(repr=False)


def letter(share: Share, *, link: str, code: str, address: str, head: Letterhead, speech: Language) -> Letter:
    """The letter for the recipient of *share*, who reads *speech*; *code* in groups, *address* to be typed."""
    _ = speech.gettext
    return Letter(
        language=speech.tag,
        site=head.name,
        title=_("Medical images for you"),
        recipient=_name(share.recipient),
        intro=_("You can look at them on a phone, a tablet or a computer. You need no account."),
        scan_title=_("With a phone or a tablet"),
        scan=_("Point the camera at this square, and tap the address that appears."),
        picture_of=_("QR code that opens the images"),
        type_title=_("With a computer"),
        type_address=_("Type this address into the address bar of a browser:"),
        address=address,
        type_code=_("Then type this code:"),
        code=code,
        type_hint=_("Capital and small letters are the same, and the dashes can be left out."),
        asked_title=_("Have this at hand"),
        asked=tuple(_asked(share, speech)),
        until=tuple(_until(share, speech)),
        care=(
            _("Please keep this letter safe. Together with what you are asked for, it opens the images."),
            _("If it is not meant for you, please destroy it and tell whoever sent it."),
        ),
        contact=_("Questions? %(contact)s") % {"contact": head.contact} if head.contact else "",
        link=link,
    )


def _name(recipient: str | None) -> str:
    """One text that has room; what no name is long enough to be in one word may be broken."""
    name = " ".join((recipient or "").split())
    short = name if len(name) <= _NAME_LONGEST else name[: _NAME_LONGEST - 1].rstrip() + "…"
    return _LONG_WORD.sub(lambda word: _PIECE.sub(rf"\1{_MAY_BREAK}", word[0]), short)


def _asked(share: Share, speech: Language) -> list[str]:
    _ = speech.gettext
    said = {
        ConditionName.PASSCODE: _("the passcode, which you were told in another way: it is not in this letter"),
        ConditionName.BIRTH_DATE: _("the birth date of the patient"),
        ConditionName.MAIL_CODE: _("your e-mail: a code is sent to you when you ask for it"),
        ConditionName.TERMS: _("a moment to read and accept the terms of use"),
    }
    return [said[name] for name in share.conditions.names]


def _until(share: Share, speech: Language) -> list[str]:
    _ = speech.gettext
    times = {"start": speech.moment(share.not_before or share.created_at), "end": speech.moment(share.expires_at)}
    said = [
        _("This works from %(start)s until %(end)s.") % times
        if share.not_before is not None and share.not_before > share.created_at
        else _("This works until %(end)s.") % times
    ]
    if share.max_visits is not None:
        count = share.max_visits
        said.append(
            speech.ngettext(
                "The images can be opened once. Please use the device that you want to look at them with.",
                "The images can be opened %(count)d times.",
                count,
            )
            % {"count": count}
        )
    return said
