"""What commands can say of a link's conditions: the options, and what they come to."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Annotated

import typer

from keyhole.access.condition import ConditionName
from keyhole.access.secret import Secret
from keyhole.cli import speech
from keyhole.errors import Refused
from keyhole.gateway import passcode
from keyhole.gateway.order import Wishes

Passcode = Annotated[
    str | None,
    typer.Option(
        "--passcode",
        metavar="TEXT|-|generate",
        help="Ask for this passcode: - reads it from standard input, generate makes one.",
    ),
]
BirthDate = Annotated[bool, typer.Option("--birth-date", help="Ask for the patient's birth date, as archived.")]
MailCode = Annotated[bool, typer.Option("--mail-code", help="Ask for a code that is mailed to the recipient.")]
Terms = Annotated[bool, typer.Option("--terms", help="Ask to accept the site's terms.")]
Paper = Annotated[bool, typer.Option("--paper", help="Also open it by a code to type, as letters print it.")]
MailTo = Annotated[str | None, typer.Option("--mail-to", metavar="ADDRESS", help="The recipient's mail address.")]
Notify = Annotated[
    str | None, typer.Option("--notify", metavar="ADDRESS", help="Whom to mail when it is opened, locked or ends soon.")
]
Language = Annotated[str | None, typer.Option("--language", metavar="TAG", help="The recipient's: en, fr, de or es.")]

_LONGEST = 1024
_GENERATE = "generate"
_RECIPIENT = re.compile(r"(?P<name>[^<>]*?)\s*<(?P<address>[^<>]*)>")


@dataclass(frozen=True, slots=True)
class Asked:
    """The conditions that were named, before a passcode is made where one is to be."""

    wishes: Wishes
    generate: bool = False

    @classmethod
    def of(cls, said: str | None, *, birth_date: bool, mail_code: bool, terms: bool, paper: bool) -> Asked:
        """What the options say; *said* is that of the passcode."""
        named = Wishes(birth_date=birth_date, mail_code=mail_code, terms=terms, paper=paper)
        if said == _GENERATE:
            return cls(named, generate=True)
        return cls(named if said is None else replace(named, passcode=Secret(_read() if said == "-" else said)))

    @property
    def names(self) -> frozenset[ConditionName]:
        """The conditions that are named."""
        return self.wishes.names | ({ConditionName.PASSCODE} if self.generate else frozenset())

    def __bool__(self) -> bool:
        """Whether anything is named."""
        return bool(self.names) or self.wishes.paper

    def completed(self, lacking: Collection[ConditionName]) -> Asked:
        """With what is *lacking* and needs nothing said but its name; a passcode is made."""
        wishes = replace(
            self.wishes,
            birth_date=self.wishes.birth_date or ConditionName.BIRTH_DATE in lacking,
            mail_code=self.wishes.mail_code or ConditionName.MAIL_CODE in lacking,
            terms=self.wishes.terms or ConditionName.TERMS in lacking,
        )
        return Asked(wishes, self.generate or ConditionName.PASSCODE in lacking)

    def made(self) -> tuple[Wishes, Secret | None]:
        """The conditions, and the passcode that was made for them."""
        if not self.generate:
            return self.wishes, None
        made = passcode.generate()
        return replace(self.wishes, passcode=made), made


def _read() -> str:
    """The first line of standard input: what is typed as an option, the shell remembers."""
    line = sys.stdin.readline(_LONGEST)
    if not line.strip():
        raise Refused("standard input holds no passcode", "let one be made with: --passcode generate")
    return line.rstrip("\r\n")


def recipient(text: str) -> tuple[str, str | None]:
    """The name and the address in ``Name <address>``; any other text is a name."""
    found = _RECIPIENT.fullmatch(text.strip())
    if found is None:
        return text, None
    return found["name"] or found["address"], found["address"]


def tell(made: Secret | None, whose: str = "") -> None:
    """Tell a passcode that was *made*, apart from the link: it is told this once."""
    if made is not None:
        speech.say(f"passcode{whose} {made.reveal()}: tell it another way than the link, it is not shown again")
