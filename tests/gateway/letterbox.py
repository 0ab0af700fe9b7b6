"""The gate, and the way in with a code from paper."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from keyhole.access.condition import Conditions
from keyhole.access.secret import Secret
from keyhole.access.share import Share
from keyhole.gateway.client import Client
from keyhole.gateway.paper import PaperOpenings
from keyhole.sharing.condition import Answers, birth_date_digest
from keyhole.sharing.link import new_id
from keyhole.sharing.paper import paper_code, paper_digest
from tests.gateway.gate import HERE, Gate

BORN = Answers(birth_date="19600417")


@dataclass
class Paper:
    """The gate, and the way in with a code."""

    gate: Gate = field(default_factory=Gate)
    noted: list[str] = field(default_factory=list)
    paused: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.openings = PaperOpenings(
            store=self.gate.store,
            found=self.gate.openings,
            ledger=self.gate.ledger,
            ring=self.gate.ring,
            now=self.gate.clock,
            noted=self.noted.append,
            pause=self.pause,
        )

    async def pause(self, seconds: float) -> None:
        self.paused.append(seconds)

    async def share(self, **more: Any) -> tuple[Share, Secret]:
        """A share with a code, and the code; it asks the birth date unless *more* says otherwise."""
        ring, name = self.gate.ring, new_id()
        digest = birth_date_digest(ring, ring.current, name, BORN.birth_date or "")
        values = {"conditions": Conditions(birth_date=digest), "paper": paper_digest(ring, ring.current, name, 1)}
        share = await self.gate.share(id=name, **{**values, **more})
        return share, self.code(share)

    def code(self, share: Share) -> Secret:
        return paper_code(self.gate.ring, share.key_id, share.id, share.generation)

    async def scan(self, count: int, client: Client = HERE) -> list[object]:
        """Codes that nobody has given out, slowly enough for the limit on codes as such."""
        answers: list[object] = []
        for number in range(count):
            answers.append(await self.openings.look(Secret(f"{number:010}"), client))
            self.gate.after(timedelta(seconds=6))
        return answers
