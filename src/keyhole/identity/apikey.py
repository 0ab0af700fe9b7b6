"""API keys: ``khk_<key>_<value>``. The id is public; of the value only a digest is kept."""

from __future__ import annotations

import hmac
from datetime import datetime

from keyhole.access.decision import Reason
from keyhole.access.resource import Action
from keyhole.access.secret import Secret, new_id, new_secret
from keyhole.access.share import ApiKey
from keyhole.access.subject import Subject


def mint(
    *,
    name: str,
    roles: frozenset[str],
    ceiling: frozenset[Action],
    creator: str,
    created_at: datetime,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """A new key, and the text that its program shows. That text is in no row: say it once, to whoever asked for it."""
    value = new_secret()
    key = ApiKey(
        id=new_id(),
        name=name,
        digest=value.digest(),
        roles=roles,
        ceiling=ceiling,
        creator=creator,
        created_at=created_at,
        expires_at=expires_at,
    )
    return key, f"khk_{key.id}_{value.reveal()}"


def verify(key: ApiKey, shown: Secret, now: datetime) -> Subject | Reason:
    """Who shows *shown* as the value of *key*, or why it opens nothing.

    The value is compared in constant time and first: only its holder learns that a key has ended.
    """
    if not hmac.compare_digest(shown.digest(), key.digest):
        return Reason.BAD_CREDENTIAL
    if key.live(now):
        return key.as_subject()
    return Reason.WITHDRAWN if key.revoked_at is not None else Reason.EXPIRED
