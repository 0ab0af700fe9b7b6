"""From a token that Orthanc's plugin was shown to the share that it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from keyhole.access.decision import Reason
from keyhole.access.share import Origin, Share
from keyhole.gateway.plugin.caller import Caller
from keyhole.sharing.link import KeyRing, Ring, Secret
from keyhole.sharing.token import TYPES, USUAL, Opens, bare, parse_token, verify_token
from keyhole.sharing.visit import closed

_MOST_VERIFIED = 10_000


class TokenKind(Protocol):
    """Tokens of one form and making."""

    async def share(self, text: str, /) -> Share | Reason | None:
        """The share that the bare token *text* belongs to; whether that is open now is not asked here.

        A reason says why a token of this kind is no good; None: of another kind. Nothing is read of a token before it
        is verified. Raises StoreFailed.
        """


class Rows(Protocol):
    """Where shares are found (:class:`keyhole.gateway.current.Current`)."""

    def held_share(self, share_id: str, /) -> Share | None:
        """The share, where it is in memory and may be relied on."""

    async def share(self, share_id: str, /) -> Share | None:
        """The share, or None when there is none."""


@dataclass(frozen=True, slots=True)
class OwnTokens:
    """Tokens that Keyhole derives from its key ring: ``kht_…``. One per process."""

    rows: Rows
    ring: Ring
    _verified: dict[str, tuple[Share, KeyRing]] = field(default_factory=dict, repr=False)
    """Shares whose token was shown: the row and the keys that it was held to."""

    async def share(self, text: str) -> Share | Reason | None:
        """As :meth:`TokenKind.share`. An unknown share and a wrong value are one answer."""
        parsed = parse_token(text)
        if parsed is None:
            return None
        share = await self.rows.share(parsed[0])
        # Those of the service before end on a day of their own: there is no other token for their shares.
        if share is None or share.origin is Origin.LEGACY or not self._verify(share, parsed[1]):
            return Reason.WRONG_SECRET
        return share

    def stands(self, share: Share) -> bool:
        """Whether a token that was found to be that of *share* is so now, known without waiting.

        False where it has to be verified anew: another row, other keys, or not verified here.
        """
        verified = self._verified.get(share.id)
        if verified is None or verified[0] is not share or verified[1] is not self.ring.now:
            return False
        return self.rows.held_share(share.id) is share

    def _verify(self, share: Share, shown: Secret) -> bool:
        ring = self.ring.now
        if not verify_token(share, shown, ring):
            return False
        if len(self._verified) >= _MOST_VERIFIED:
            del self._verified[next(iter(self._verified))]
        self._verified[share.id] = share, ring
        return True


def _never(_: Share) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Tokens:
    """Every kind of token. ``types`` is the operator's table of what each type opens, as far as it is not the usual.

    ``verified`` tells of a share whose token was shown before whether that is its token still, without waiting.
    """

    kinds: Sequence[TokenKind]
    types: Mapping[str, Opens]
    verified: Callable[[Share], bool] = _never

    async def share(self, shown: str) -> Share | Reason:
        """The share that the token *shown*, with or without ``Bearer``, belongs to, or why there is none."""
        text = bare(shown)
        for kind in self.kinds:
            found = await kind.share(text)
            if found is not None:
                return found
        return Reason.BAD_CREDENTIAL

    def stands(self, share: Share) -> bool:
        """Whether a token that was found to be that of *share* is so now; False where it has to be verified anew."""
        return share.origin is not Origin.LEGACY and self.verified(share)

    def opens(self, token_type: str | None) -> Opens:
        """What tokens of a type lead to."""
        return self.types.get(token_type or "") or USUAL.get(token_type or "", Opens.OFF)

    def closed(self, share: Share, caller: Caller, now: datetime) -> Reason | None:
        """Why the token of *share* is of no use at *caller*'s; None when it opens the share, or leads to its page."""
        if share.archive != caller.archive:
            return Reason.NO_GRANT
        return closed(share, now)

    def is_bearer(self, share: Share) -> bool:
        """Whether the token itself opens *share* in Orthanc, beside the link.

        Tokens of the service before were all bearers, whatever their type is to open from now on; but a type that is
        switched off is off.
        """
        if not share.bearer or share.token_type not in TYPES:
            return False
        opens = self.opens(share.token_type)
        return opens is Opens.DIRECT or (share.origin is Origin.LEGACY and opens is not Opens.OFF)
