"""Write ``multipart/related`` (RFC 2387, PS3.18 section 8.6.1.2.1): heads of parts and what closes the body."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field


def _boundary() -> str:
    return f"keyhole-{secrets.token_hex(16)}"


@dataclass(frozen=True, slots=True)
class Multipart:
    """One body: *part_type* is the media type of its root part. The boundary is random, so that no content has it."""

    part_type: str
    boundary: str = field(default_factory=_boundary)

    @property
    def content_type(self) -> str:
        """The value of the answer's Content-Type."""
        return f'multipart/related; type="{self.part_type}"; boundary={self.boundary}'

    def head(self, content_type: str, location: str, length: int, *, first: bool) -> bytes:
        """What precedes a part of *length* bytes that has the URL *location*."""
        lines = (
            f"--{self.boundary}" if first else f"\r\n--{self.boundary}",
            f"Content-Type: {content_type}",
            f"Content-Length: {length}",
            f"Content-Location: {location}",
            "\r\n",
        )
        return "\r\n".join(lines).encode()

    @property
    def tail(self) -> bytes:
        """What follows the last part."""
        return f"\r\n--{self.boundary}--\r\n".encode()
