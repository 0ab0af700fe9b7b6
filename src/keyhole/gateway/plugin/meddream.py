"""MedDream opens studies with tokens of its own token service, which is asked for one each time.

The request is that of published set-ups of the token service, version 3: a POST of the studies as JSON, answered by the
bare token. A real MedDream could not be had to try it with.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol
from urllib.parse import quote

from keyhole.errors import ProviderFailed

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{8,8192}")


class TokenService(Protocol):
    """Where tokens come from. Raises ProviderFailed."""

    async def token(self, studies: Sequence[str], /) -> str:
        """A token that opens *studies* in MedDream, and nothing else."""

    async def address(self, studies: Sequence[str], /) -> str:
        """The address at which people see *studies*, with such a token in it."""


class Posts(Protocol):
    """What sends JSON (:class:`keyhole.gateway.upstream.JsonServer`)."""

    async def post_json(
        self, url: str, content: object, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes | None]:
        """The status and the bytes of the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MedDream:
    """One per process. ``root`` is where people reach MedDream; ``service`` makes tokens, and is shown ``headers``."""

    posts: Posts
    service: str
    root: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    async def token(self, studies: Sequence[str]) -> str:
        """As :meth:`TokenService.token`."""
        order = {"items": [{"studies": {"study": uid}} for uid in studies]}
        try:
            status, content = await self.posts.post_json(self.service, order, self.headers)
        except ProviderFailed:  # its words are about users
            raise ProviderFailed("MedDream's token service does not answer as it should") from None
        if content is None:
            raise ProviderFailed(f"MedDream's token service refused to make a token (status {status})")
        token = content.decode("ascii", "replace").strip()
        if status == HTTPStatus.NO_CONTENT or _TOKEN.fullmatch(token) is None:
            raise ProviderFailed("MedDream's token service answered with something else than a token")
        return token

    async def address(self, studies: Sequence[str]) -> str:
        """As :meth:`TokenService.address`."""
        token = await self.token(studies)
        return f"{self.root}/?token={quote(token, safe='')}"
