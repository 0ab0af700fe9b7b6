"""What the gateway answers with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from keyhole.gateway import media


def no_images() -> int:
    """None, ever."""
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is sent: nothing of it names the archive, and nothing of it lies outside the reach.

    ``images`` tells how many have been passed on so far; ``foreign`` how much the archive answered besides, which a
    narrowed search should have kept it from.
    """

    body: AsyncIterator[bytes]
    content_type: str
    status: int = HTTPStatus.OK
    images: Callable[[], int] = no_images
    fields: Mapping[str, str] = field(default_factory=lambda: media.SAFETY)
    foreign: int = 0
