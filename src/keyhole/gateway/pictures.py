"""What leaves for whoever may look at pictures only: pictures, and the lists that it takes to find them.

The decision point has refused everything else by then. What is left to see to is what an allowed answer may hold:
attributes of the patient in a list, a document or a whole file where a picture was asked for, a name burnt into it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import replace

from keyhole.access.decision import Reason
from keyhole.archive.answer import ArchiveAnswer
from keyhole.dicom.attribute import TO_LOOK_AT
from keyhole.dicom.query import RetrieveQuery, SearchQuery
from keyhole.dicom.route import Kind, Refusal
from keyhole.errors import ArchiveFailed
from keyhole.gateway import media
from keyhole.gateway.dicomjson import Item
from keyhole.gateway.multipart import parameters

_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8")
"""Of JPEG, PNG and GIF."""
_TELLS = max(map(len, _BEGINNINGS))


def searched(query: SearchQuery) -> SearchQuery:
    """*query*, asking for and matching by nothing but what a list of pictures takes (PS3.18 section 8.3.4)."""
    narrowed = query.within(TO_LOOK_AT)
    return replace(narrowed, includefield=tuple(name for name in narrowed.includefield if name != "all"))


def listed(items: Iterable[Item]) -> list[Item]:
    """*items* with those attributes alone, and of these nothing that lies elsewhere or is bytes."""
    return [{tag: element for tag, element in item.items() if _tells(tag, element)} for item in items]


def _tells(tag: str, element: object) -> bool:
    return tag in TO_LOOK_AT and isinstance(element, dict) and element.keys() <= {"vr", "Value"}


def rendered(query: RetrieveQuery) -> RetrieveQuery:
    """*query* for a picture without annotations: those are the patient's name (PS3.18 section 8.3.5.1.1)."""
    return replace(query, annotation=None)


def judged(kind: Kind, answer: ArchiveAnswer) -> Refusal | ArchiveAnswer:
    """*answer*, its body held to what it says it is; NOT_ACCEPTABLE for what is no still picture.

    Archives answer with a whole document, or a film, when they are asked to render one.
    """
    if parameters(answer.content_type)[0] not in media.SINGLE[kind]:
        return Refusal(Reason.NOT_ACCEPTABLE, "this is no picture")
    return replace(answer, body=_pixels(answer.body))


async def _pixels(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """*body*, which begins as pictures do; ArchiveFailed, before anything of it has left, when it does not."""
    held = b""
    async for piece in body:
        if len(held) >= _TELLS:
            yield piece
            continue
        held += piece
        if len(held) >= _TELLS:
            _check(held)
            yield held
    if len(held) < _TELLS:
        _check(held)


def _check(beginning: bytes) -> None:
    if not beginning.startswith(_BEGINNINGS):
        raise ArchiveFailed("the archive answered with something that is no picture")
