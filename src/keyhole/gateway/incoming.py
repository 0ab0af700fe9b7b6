"""A request as received: taken apart, not understood."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from keyhole.gateway.client import Client

MOUNT = re.compile(
    rb"""
    (?P<root> /v/(?P<visit>[a-z2-7]{16})/dicom-web
            | (?:/archives/(?P<archive>[a-z0-9-]{1,32}))? /(?:dicom-web | (?P<orthanc>orthanc)(?P<plugin>/dicom-web)?))
    (?P<below>(?:/.*)?)
    """,
    re.DOTALL | re.VERBOSE,
)
"""Where the archives are answered for. What is below is judged by the tables of routes alone."""


class Api(StrEnum):
    """Which table of routes is meant."""

    DICOMWEB = "dicom-web"
    ORTHANC = "orthanc"


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request to a root that an archive is answered for at. Header names are in lower case.

    ``root`` is None when the path only looks like one below such a root; ``visit`` and ``below`` say nothing then.
    ``archive`` is the name in the path, if there is one.
    """

    method: str
    root: str | None
    visit: str | None
    below: bytes
    raw_query: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    client: Client
    api: Api = Api.DICOMWEB
    archive: str | None = None

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
    root, visit, archive = (_text(mount and mount[name]) for name in ("root", "visit", "archive"))
    native = mount is not None and mount["orthanc"] is not None and mount["plugin"] is None
    return Incoming(
        method=scope["method"],
        root=root,
        visit=visit,
        below=mount["below"] if mount else b"",
        raw_query=scope["query_string"],
        headers=tuple((name.lower(), value) for name, value in scope["headers"]),
        client=client_of(scope),
        api=Api.ORTHANC if native else Api.DICOMWEB,
        archive=archive,
    )


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode("ascii")
