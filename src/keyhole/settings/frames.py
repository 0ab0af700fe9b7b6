"""The setting of whose pages may show links inside a frame of theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from keyhole.settings import values
from keyhole.settings.values import Conflict

_Origin = Annotated[str, AfterValidator(values.origin)]


class FrameSettings(BaseModel):
    """Inside which pages recipients may look."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    frame_ancestors: Annotated[tuple[_Origin, ...], BeforeValidator(values.names)] = Field(
        (),
        description="origins of the pages that may show links and images in a frame, such as"
        " `https://portal.example.org`, separated by commas; none without",
    )


def check_frames(others: Mapping[str, Any], *, forced: bool) -> None:
    """Refuse a page that came without https, unless that is *forced*: whoever changed it on the way frames as it."""
    for origin in others.get("frame_ancestors", ()):
        if origin.startswith("http:") and not values.is_loopback(values.host_of(origin)) and not forced:
            words = f"names {origin}, and anybody on the way could put links into a page of their own"
            raise Conflict(f"{words}: use https; KEYHOLE_INSECURE_HTTP=yes forces it", "frame_ancestors")


def check_not_ours(public_url: str, others: Mapping[str, Any]) -> None:
    """Refuse our own pages: the viewer's script, which is somebody else's, could frame another visit and read it."""
    if public_url in others.get("frame_ancestors", ()):
        raise Conflict("names KEYHOLE_PUBLIC_URL: the viewer could show and read other visits", "frame_ancestors")
