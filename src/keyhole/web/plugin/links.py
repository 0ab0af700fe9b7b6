"""``PUT tokens/{type}`` and ``POST tokens/decode``."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from keyhole.access.resource import Resource
from keyhole.gateway.plugin.link_desk import LinkDesk, LinkOrder
from keyhole.gateway.plugin.reader import Reader, Told
from keyhole.web.plugin.call import Answer, Call, Route

_LONGEST_ORDER = 256 * 1024


class Shown(msgspec.Struct, rename="kebab", frozen=True):
    """The body of ``tokens/decode``; there is no server-id in it."""

    token_value: str | None = None


_ORDER = msgspec.json.Decoder(LinkOrder)
_SHOWN = msgspec.json.Decoder(Shown)


@dataclass(frozen=True, slots=True)
class Create:
    """The handler that makes links."""

    desk: LinkDesk

    async def __call__(self, call: Call) -> Answer:
        """A new link of the type that the path ends in."""
        made = await self.desk.create(call.caller, call.name, call.read(_ORDER), call.client)
        return Answer(msgspec.json.encode(made))


@dataclass(frozen=True, slots=True)
class Decode:
    """The handler that tells what a token is."""

    reader: Reader

    async def __call__(self, call: Call) -> Answer:
        """What the Explorer's landing page, and Orthanc's search, need to know."""
        shown = call.read(_SHOWN).token_value or ""
        return _told(await self.reader.read(call.caller, shown))


def _told(told: Told) -> Answer:
    content = {
        "token-type": told.token_type,
        "error-code": told.error,
        "redirect-url": told.address,
        "resources": [_resource(resource, name) for resource, name in told.resources],
    }
    return Answer(msgspec.json.encode(content))


def _resource(resource: Resource, name: str) -> dict[str, str | None]:
    level = resource.level.name.lower()
    return {"dicom-uid": resource.path[-1], "orthanc-id": name, "url": None, "level": level}


_NOTHING_KNOWN = Answer(
    msgspec.json.encode({"token-type": None, "error-code": "unknown", "redirect-url": None, "resources": []})
)


def routes(desk: LinkDesk, reader: Reader) -> tuple[Route, ...]:
    """Where they are mounted. What a token is, is always told: Orthanc would break off towards the browser."""
    return (
        Route(method="PUT", path="tokens/{name}", handler=Create(desk), longest=_LONGEST_ORDER),
        Route(method="POST", path="tokens/decode", handler=Decode(reader), safe=_NOTHING_KNOWN),
    )
