"""Media types: which one a client accepts of what is stored (PS3.18 section 8.7.3). Nothing is transcoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

OCTETS = "application/octet-stream"
DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"
RELATED = "multipart/related"

_JPEG = ("4.50", "4.51", "4.57", "4.70")
_IMAGES = {
    "image/dicom-rle": ("5",),
    "image/jpeg": _JPEG,
    "image/jls": ("4.80", "4.81"),
    "image/jp2": ("4.90", "4.91"),
    "image/jpx": ("4.92", "4.93"),
    "image/jphc": ("4.201", "4.202", "4.203"),
    "image/jxl": ("4.110", "4.111", "4.112"),
    "video/mpeg": ("4.100", "4.100.1", "4.101", "4.101.1"),
    "video/mp4": tuple(f"4.{number}{cut}" for number in (102, 103, 104, 105, 106, 107, 108) for cut in ("", ".1")),
}
MEDIA_TYPE = {f"1.2.840.10008.1.2.{end}": media for media, ends in _IMAGES.items() for end in ends}
"""The media type of compressed frames by transfer syntax (PS3.18 tables 8.7.3-2 and 8.7.3-3)."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """One media range of an Accept header; names and types in lower case."""

    media_type: str
    parameters: dict[str, str]
    quality: float = 1.0

    @property
    def inner(self) -> str:
        """The type of the parts, ``*/*`` when it is not said; the type itself when it is no multipart."""
        if self.media_type in ("*/*", "multipart/*", RELATED):
            return self.parameters.get("type", "*/*").lower()
        return self.media_type

    @property
    def multipart(self) -> bool:
        """Whether parts are accepted."""
        return self.media_type in ("*/*", "multipart/*", RELATED)

    def takes(self, transfer_syntax: str) -> bool:
        """Whether the syntax is the one named, or any or none is named."""
        return self.parameters.get("transfer-syntax", "*") in ("*", transfer_syntax)


def parse_accept(header: str) -> list[Accepted]:
    """The media ranges of *header*, best first; anything when it is empty. What is malformed is left out."""
    ranges = [accepted for part in _split(header, ",") if (accepted := _parse_range(part)) is not None]
    if not header.strip():
        return [Accepted("*/*", {})]
    return sorted((one for one in ranges if one.quality > 0), key=lambda one: -one.quality)


def _split(text: str, at: str) -> Iterator[str]:
    """The parts of *text* between *at*, but for those inside quotes."""
    part, quoted = "", False
    for character in text:
        quoted ^= character == '"'
        if character == at and not quoted:
            yield part
            part = ""
        else:
            part += character
    yield part


def _parse_range(text: str) -> Accepted | None:
    media_type, *rest = (part.strip() for part in _split(text, ";"))
    if "/" not in media_type:
        return None
    pairs = (part.partition("=") for part in rest if part)
    parameters = {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
    try:
        quality = float(parameters.pop("q", "1"))
    except ValueError:
        return None
    return Accepted(media_type.lower(), parameters, quality)


def accepts_json(header: str) -> bool:
    """Whether DICOM JSON may be answered."""
    usual = {"*/*", "application/*", DICOM_JSON, "application/json"}
    return any(one.media_type in usual for one in parse_accept(header))


def choose_frame_type(header: str, transfer_syntax: str, *, compressed: bool) -> str | None:
    """The media type to answer frames stored as *transfer_syntax* with; None when none of them is accepted.

    ``application/octet-stream`` without a transfer syntax means Explicit VR Little Endian (table 8.7.3-2), so it does
    not take compressed frames; with ``transfer-syntax=*`` it takes all. An image type without a transfer syntax takes
    every syntax of that type.
    """
    image = MEDIA_TYPE.get(transfer_syntax, OCTETS)
    for one in parse_accept(header):
        if not one.multipart or not one.takes(transfer_syntax):
            continue
        if one.inner in (image, "*/*") or _fits(one.inner, image):
            return image
        if one.inner == OCTETS and (not compressed or "transfer-syntax" in one.parameters):
            return OCTETS
    return None


def _fits(pattern: str, media_type: str) -> bool:
    return pattern.endswith("/*") and media_type.startswith(pattern[:-1])


@dataclass(frozen=True, slots=True)
class Choice:
    """What to answer with: the media type, in parts or on its own."""

    media_type: str
    multipart: bool


def choose(
    header: str, offered: tuple[str, ...], *, syntaxes: tuple[str, ...] = (), alone: bool = True
) -> Choice | None:
    """The first of the *offered* types that fits the best range; None when nothing fits.

    Each of *syntaxes* must be taken. Unless *alone*, only parts will do.
    """
    for one in parse_accept(header):
        if not all(one.takes(syntax) for syntax in syntaxes) or not (one.multipart or alone):
            continue
        for media_type in offered:
            if one.inner in (media_type, "*/*") or _fits(one.inner, media_type):
                return Choice(media_type, one.multipart)
    return None
