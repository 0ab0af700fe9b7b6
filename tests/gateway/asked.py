"""Links that ask something, and people who answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from argon2 import PasswordHasher

from keyhole.access.condition import Conditions
from keyhole.access.secret import new_id
from keyhole.access.share import Share
from keyhole.gateway.attempts import Asking
from keyhole.gateway.client import Client
from keyhole.gateway.opening import CodeSent
from keyhole.sharing import condition
from keyhole.sharing.condition import Answers, Terms
from tests.gateway.gate import HERE, Gate

PASSCODE = "correct horse"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""Hashes as argon2id makes them, in no time: what is checked is read from the hash."""

HASH = CHEAP.hash(PASSCODE)
BORN = "19800229"
TERMS = Terms({"en": "Tell nobody.", "de": "Niemandem erzählen."})
MAIL_TO = "maria@example.org"
NOTIFY = "anna@clinic.example"
EVERYTHING = ("passcode", "birth-date", "mail-code", "terms")


def asking(**more: Any) -> Asking:
    return replace(Asking(terms=TERMS, mail=True), **more)


async def share(gate: Gate, *names: str, **more: Any) -> Share:
    """A share that asks for all of *names*."""
    share_id = new_id()
    born = condition.birth_date_digest(gate.ring, gate.ring.current, share_id, BORN)
    asked = Conditions(
        passcode=HASH if "passcode" in names else None,
        birth_date=born if "birth-date" in names else None,
        mail_code="mail-code" in names,
        terms="terms" in names,
    )
    return await gate.share(**({"id": share_id, "conditions": asked, "mail_to": MAIL_TO, "notify": NOTIFY} | more))


@dataclass
class Person:
    """Somebody with a link, in a browser of their own."""

    gate: Gate
    link: Share
    client: Client = HERE
    ticket: str | None = None
    digits: str = ""

    async def ask_for_code(self) -> Any:
        sent = await self.gate.openings.send_code(self.link.id, self.gate.secret(self.link), self.client)
        if isinstance(sent, CodeSent):
            self.ticket = sent.ticket.reveal()
            await self.mailed()
        return sent

    async def mailed(self) -> str:
        """What the newest mail said."""
        code = await self.gate.store.code(self.link.id)
        if code is not None:
            self.digits = condition.mail_code(self.gate.ring, self.link.key_id, code.share, code.generation, code.nonce)
        return self.digits

    async def right(self, **more: Any) -> Answers:
        """What is right, but for *more*."""
        code = await self.mailed() if self.ticket else None
        answers = Answers(passcode=PASSCODE, birth_date=BORN, mail_code=code, ticket=self.ticket, terms=TERMS.version)
        return replace(answers, **more)

    async def answer(self, **more: Any) -> Any:
        return await self.gate.openings.begin(
            self.link.id, self.gate.secret(self.link), await self.right(**more), self.client
        )

    async def looks(self) -> Any:
        return await self.gate.openings.look(self.link.id, self.gate.secret(self.link), self.client)


def other(digits: str) -> str:
    """Six digits that are not these."""
    return f"{(int(digits) + 1) % 10**6:06}"


async def kept(gate: Gate, link: Share) -> Share:
    """The share as it is kept now."""
    found = await gate.store.share(link.id)
    assert found is not None
    return found


async def somebody(gate: Gate, *names: str, **more: Any) -> Person:
    """Somebody with a link that asks for *names*, who has a code where one is needed."""
    person = Person(gate, await share(gate, *names, **more))
    if "mail-code" in names:
        assert isinstance(await person.ask_for_code(), CodeSent)
    return person
