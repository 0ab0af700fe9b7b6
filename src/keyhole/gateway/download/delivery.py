"""How whole instances are delivered (PS3.18 table 10.4.4-1): one bare, all in parts, or all in a ZIP file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Self

from keyhole.archive.answer import ArchiveAnswer
from keyhole.dicom.route import Kind, Match
from keyhole.errors import ArchiveFailed
from keyhole.gateway import media
from keyhole.gateway.answer import Answer
from keyhole.gateway.download.instances import Begun, Instances, alone, checked
from keyhole.gateway.download.package import Package, package_length, packed
from keyhole.gateway.multipart import Written, part_heads
from keyhole.gateway.rewrite import Links

_PACKAGE = {
    **media.SAFETY,
    "content-disposition": 'attachment; filename="dicom.zip"',
    "accept-ranges": "none",
}
"""A retry begins anew: what was sent before is not kept anywhere."""


@dataclass(frozen=True, slots=True)
class Form:
    """The media type to deliver, and what to ask the archive for, which is always the same: parts."""

    media_type: str
    upstream: str

    @classmethod
    def of(cls, accept: str, asked: Match) -> Self | None:
        """The form that *accept* (:func:`keyhole.gateway.media.accepted`) names; None for several where one fits."""
        (wanted,) = media.ranges(accept) or [media.Range(media.MULTIPART)]
        if wanted.kind == media.DICOM and "instance" not in asked.ids:
            return None
        # As stored unless another syntax is named: not every archive has a decoder for the standard's default, and
        # what was compressed with losses must not be unpacked anyway (PS3.18 section 8.7.3).
        syntax = wanted.syntax or media.ANY_SYNTAX
        return cls(wanted.kind, str(media.Range(media.MULTIPART, media.DICOM, syntax)))


def delivered(answer: ArchiveAnswer, form: Form, links: Links, asked: Match) -> Answer:
    """What *answer* becomes; ArchiveFailed when it has no parts.

    Nothing of an instance goes on before it is known to belong to what was *asked*.
    """
    passing = media.passing(Kind.INSTANCES, answer)
    if passing.boundary is None:
        raise ArchiveFailed("the archive answered with another media type than asked")
    instances = Instances(passing.boundary, asked)
    if form.media_type == media.ZIP:
        return _package(answer, instances)
    if form.media_type == media.DICOM:
        fields = {**passing.fields, **_length(None if answer.parts is None else sum(answer.parts))}
        return Answer(
            body=alone(answer.body, instances), content_type=media.DICOM, images=lambda: instances.count, fields=fields
        )
    written = Written(passing.boundary, part_heads(links, asked, media.part_type(Kind.INSTANCES)))
    body = _related(answer.body, instances, written)
    return Answer(body=body, content_type=passing.content_type, images=lambda: instances.count, fields=passing.fields)


def _package(answer: ArchiveAnswer, instances: Instances) -> Answer:
    known = None if answer.parts is None else package_length(answer.parts)
    return Answer(
        body=packed(answer.body, instances, Package(answer.parts)),
        content_type=media.ZIP,
        images=lambda: instances.count,
        fields={**_PACKAGE, **_length(known)},
    )


def _length(known: int | None) -> Mapping[str, str]:
    return {} if known is None else {"content-length": str(known)}


async def _related(body: AsyncIterator[bytes], instances: Instances, written: Written) -> AsyncIterator[bytes]:
    """The instances in parts, as they came, under heads of ours."""
    async for pieces in checked(body, instances):
        for piece in pieces:
            if isinstance(piece, Begun):
                yield written.head(piece.fields)
                yield piece.start
            else:
                yield piece
    yield written.close()
