"""From the conditions that a sender names to those that are kept with a share: hashes and keyed digests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from keyhole.access.condition import Conditions
from keyhole.access.decision import Scope
from keyhole.access.resource import Resource
from keyhole.access.secret import Secret
from keyhole.gateway.order import Wishes
from keyhole.gateway.patients import Patients
from keyhole.sharing.condition import birth_date_digest
from keyhole.sharing.link import Ring

Hash = Callable[[Secret], Awaitable[str]]
"""What is kept of a passcode (:meth:`keyhole.gateway.passcode.Passcodes.hashed`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose:
    """What the conditions of a share are made for: its id, its link's key, and what of the archive it holds."""

    share: str
    key_id: str
    resources: Sequence[Resource]
    reach: Scope
    """What its sender may search: there the birth date is looked up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditioning:
    """Raises Refused for what cannot be asked, in words for the sender, and ArchiveFailed."""

    patients: Patients
    ring: Ring
    hashed: Hash

    async def kept(self, wishes: Wishes, before: Conditions, purpose: Purpose, today: date) -> Conditions:
        """The conditions *before* with those that are wished for; the last passcode counts."""
        after = replace(before, mail_code=before.mail_code or wishes.mail_code, terms=before.terms or wishes.terms)
        if wishes.birth_date:
            after = replace(after, birth_date=await self._birth_date(purpose, today))
        if wishes.passcode is not None:
            after = replace(after, passcode=await self.hashed(wishes.passcode))
        return after

    async def _birth_date(self, purpose: Purpose, today: date) -> bytes:
        archive, studies = purpose.resources[0].archive, [resource.path[0] for resource in purpose.resources]
        day = await self.patients.birth_date(archive, purpose.reach, studies, today)
        return birth_date_digest(self.ring, purpose.key_id, purpose.share, day)
