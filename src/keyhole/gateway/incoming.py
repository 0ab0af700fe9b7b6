"""A request as received: taken apart, not understood."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from keyhole.gateway.client import Client

MOUNT = re.compile(rb"(?P<root>(?:/v/(?P<visit>[a-z2-7]{16}))?/dicom-web)(?P<below>(?:/.*)?)", re.DOTALL)
"""Where DICOMweb is answered. What is below is judged by the table of routes alone."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request to a DICOMweb root. Header names are in lower case.

    ``root`` is None when the path only looks like one below such a root; ``visit`` and ``below`` say nothing then.
    """

    method: str
    root: str | None
    visit: str | None
    below: bytes
    raw_query: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    client: Client

    def field(self, name: bytes) -> str | None:
        """A header's value, repetitions joined (RFC 9110 section 5.3); None when it is not there."""
        values = [value for key, value in self.headers if key == name]
        return b", ".join(values).decode("latin-1") if values else None

    @property
    def has_body(self) -> bool:
        """Whether more follows the head."""
        return self.field(b"transfer-encoding") is not None or self.field(b"content-length") not in (None, "0")


def incoming(scope: Mapping[str, Any], client_of: Callable[[Mapping[str, Any]], Client]) -> Incoming:
    """The request in an ASGI *scope*. Any raw path gives one: who asks is judged before what is asked."""
    mount = MOUNT.fullmatch(scope["raw_path"])
    root, visit = mount.group("root", "visit") if mount else (None, None)
    return Incoming(
        method=scope["method"],
        root=None if root is None else root.decode("ascii"),
        visit=None if visit is None else visit.decode("ascii"),
        below=mount["below"] if mount else b"",
        raw_query=scope["query_string"],
        headers=tuple((name.lower(), value) for name, value in scope["headers"]),
        client=client_of(scope),
    )
