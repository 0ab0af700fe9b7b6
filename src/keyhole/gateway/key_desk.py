"""Administration of API keys: made, listed, revoked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from keyhole.access.decision import Event, Record
from keyhole.access.resource import Action
from keyhole.access.secret import is_id
from keyhole.access.share import ApiKey
from keyhole.access.subject import MAY_EVER, Kind, Subject
from keyhole.errors import Refused
from keyhole.gateway.client import LOCAL, Client
from keyhole.gateway.office import NotFound, Office
from keyhole.gateway.order import WORDS_LONGEST
from keyhole.identity import apikey
from keyhole.identity.role import ROLES


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDesk(Office):
    """For whoever may administer everything."""

    async def create_key(
        self,
        subject: Subject,
        name: str,
        roles: frozenset[str],
        ceiling: frozenset[Action],
        expires_at: datetime | None,
        client: Client = LOCAL,
    ) -> tuple[ApiKey, str]:
        """A new API key and the text that a program shows; that text is not kept and cannot be shown again."""
        now = self.now()
        self._demand_everywhere(subject, Action.ADMINISTER, client)
        _check(name, roles, ceiling, expires_at, now)
        key, shown = apikey.mint(
            name=name, roles=roles, ceiling=ceiling, creator=subject.name, created_at=now, expires_at=expires_at
        )
        await self.store.add_key(key, self._key_record(Event.KEY_CREATED, subject, client, key))
        return key, shown

    async def keys(self, subject: Subject, client: Client = LOCAL) -> Sequence[ApiKey]:
        """All keys, oldest first."""
        self._demand_everywhere(subject, Action.ADMINISTER, client)
        return await self.store.keys()

    async def revoke_key(self, subject: Subject, key_id: str, client: Client = LOCAL) -> ApiKey:
        """End a key and the visits it made; done twice, the first end stands."""
        now = self.now()
        self._demand_everywhere(subject, Action.ADMINISTER, client)
        key = await self.store.key(key_id) if is_id(key_id) else None
        if key is None:
            raise NotFound(f"there is no key {key_id}", "list them with: keyhole key list")
        ended = await self.store.revoke_key(key_id, now, self._key_record(Event.KEY_REVOKED, subject, client, key))
        return ended or key

    def _key_record(self, event: Event, subject: Subject, client: Client, key: ApiKey) -> Record:
        return Record(
            at=self.now(),
            event=event,
            subject=subject.name,
            action=Action.ADMINISTER,
            detail={"key": key.id, "name": key.name, "roles": " ".join(sorted(key.roles))},
            personal=client.personal(),
        )


def _check(
    name: str, roles: frozenset[str], ceiling: frozenset[Action], expires_at: datetime | None, now: datetime
) -> None:
    unknown = sorted(roles - set(ROLES))
    if unknown or not roles:
        problem = f"there is no role {unknown[0]}" if unknown else "a key needs a role"
        raise Refused(problem, f"roles are {', '.join(sorted(ROLES))}")
    if not name.strip() or len(name) > WORDS_LONGEST:
        raise Refused("a key needs a name", "say what the key is for, for example: worklist")
    if not any(ROLES[role] & ceiling & MAY_EVER[Kind.API_KEY] for role in roles):
        raise Refused("such a key could do nothing", "let it do at least one thing that its roles may do")
    if expires_at is not None and expires_at.utcoffset() is None:
        raise Refused("a time needs its zone", "for example 2026-03-01T12:00:00Z")
    if expires_at is not None and expires_at <= now:
        raise Refused("a key cannot end before it begins")
