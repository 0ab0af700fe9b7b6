"""From a token that Orthanc's plugin was shown to the share that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from keyhole.access.decision import Reason
from keyhole.access.share import Origin, Share
from keyhole.gateway.plugin.caller import Caller
from keyhole.sharing.link import KeyRing, Ring, Secret
from keyhole.sharing.token import TYPES, USUAL, Opens, bare, parse_token, token_of
from keyhole.sharing.visit import closed

_MOST_DERIVED = 10_000


class TokenKind(Protocol):
    """Tokens of one form and making."""

    async def share(self, text: str, /) -> Share | Reason | None:
        """The share that the bare token *text* belongs to; whether that is open now is not asked here.

        A reason says why a token of this kind is no good; None: of another kind. Nothing is read of a token before it
        is verified. Raises StoreFailed.
        """

    def held(self, text: str, /) -> Share | None:
        """The same share, where that is known without waiting; None where :meth:`share` has to be asked."""


class Rows(Protocol):
    """Where shares are found (:class:`keyhole.gateway.current.Current`)."""

    def held_share(self, share_id: str, /) -> Share | None:
        """The share, where it is in memory and may be relied on."""

    async def share(self, share_id: str, /) -> Share | None:
        """The share, or None when there is none."""


_Derived = tuple[Share, KeyRing, Secret | None]


@dataclass(frozen=True, slots=True)
class OwnTokens:
    """Tokens that Keyhole derives from its key ring: ``kht_…``. One per process.

    What was derived is held for as long as the share is that very row and the ring that very ring; what is shown is
    compared with it each time.
    """

    rows: Rows
    ring: Ring
    _derived: dict[str, _Derived] = field(default_factory=dict, repr=False)

    async def share(self, text: str) -> Share | Reason | None:
        """As :meth:`TokenKind.share`. An unknown share and a wrong value are one answer."""
        parsed = parse_token(text)
        if parsed is None:
            return None
        share = await self.rows.share(parsed[0])
        return share if share is not None and self._verified(share, parsed[1]) else Reason.WRONG_SECRET

    def held(self, text: str) -> Share | None:
        """As :meth:`TokenKind.held`."""
        parsed = parse_token(text)
        share = None if parsed is None else self.rows.held_share(parsed[0])
        return share if share is not None and parsed is not None and self._verified(share, parsed[1]) else None

    def _verified(self, share: Share, shown: Secret) -> bool:
        token = self._token(share)
        return token is not None and token.matches(shown)

    def _token(self, share: Share) -> Secret | None:
        """The token of *share*; None when its key has left the ring."""
        ring = self.ring.now
        held = self._derived.get(share.id)
        if held is None or held[0] is not share or held[1] is not ring:
            if len(self._derived) >= _MOST_DERIVED:
                del self._derived[next(iter(self._derived))]
            held = self._derived[share.id] = share, ring, _derive(share, ring)
        return held[2]


def _derive(share: Share, ring: KeyRing) -> Secret | None:
    try:
        return token_of(share, ring)
    except KeyError:
        return None


@dataclass(frozen=True, slots=True)
class Tokens:
    """Every kind of token. ``types`` is the operator's table of what each type opens, as far as it is not the usual."""

    kinds: Sequence[TokenKind]
    types: Mapping[str, Opens]

    async def share(self, shown: str) -> Share | Reason:
        """The share that the token *shown*, with or without ``Bearer``, belongs to, or why there is none."""
        text = bare(shown)
        for kind in self.kinds:
            found = await kind.share(text)
            if found is not None:
                return found
        return Reason.BAD_CREDENTIAL

    def held(self, shown: str) -> Share | None:
        """The same share, where one is known without waiting; None where :meth:`share` has to be asked."""
        text = bare(shown)
        for kind in self.kinds:
            found = kind.held(text)
            if found is not None:
                return found
        return None

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
