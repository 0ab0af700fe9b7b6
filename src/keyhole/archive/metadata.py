"""A dataset as DICOM JSON (PS3.18 annex F), with large binary values by URI. One bad value costs only itself."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydicom.charset import default_encoding
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filewriter import correct_ambiguous_vr_element
from pydicom.valuerep import AMBIGUOUS_VR

from keyhole.archive.attributes import CHARSET, vr_of
from keyhole.archive.header import UNDEFINED, Header, raw_element

Element = dict[str, Any]
DicomJson = dict[str, Element]

INLINE_MOST = 1024
"""Binary values of more bytes than this are answered by URI."""
_LOADED_MOST = 32 * 1024 * 1024
BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
"""The value representations that bulk data has."""
PALETTES = frozenset({0x00281201, 0x00281202, 0x00281203, 0x00281221, 0x00281222, 0x00281223})
_DOCUMENT = 0x00420011
ALWAYS_BY_URI = PALETTES | {_DOCUMENT}
"""Viewers expect these by URI, however small they are."""
_WORD = {"OW": 2, "US": 2, "SS": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
_NUMBERS = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})
_WHOLE = _NUMBERS - {"DS", "FD", "FL"}
_NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_DEEPEST = 32


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an element is: in which file, under which path of tags and item numbers, how deep."""

    header: Header
    bulk: str
    depth: int = 0

    def item(self, tag: int, number: int) -> _Place:
        return _Place(self.header, f"{self.bulk}/{tag:08X}/{number}", self.depth + 1)


def little_endian(value: bytes, vr: str, *, little: bool) -> bytes:
    """*value* with the bytes of each word in little-endian order, as every binary value of DICOMweb has them."""
    width = _WORD.get(vr, 1)
    if little or width == 1:
        return value
    swapped = bytearray(value)
    whole = len(value) - len(value) % width
    for byte in range(width):
        swapped[byte:whole:width] = value[width - 1 - byte : whole : width]
    return bytes(swapped)


def dicom_json(header: Header, instance: str) -> DicomJson:
    """The dataset of *header* without its pixel data.

    ``BulkDataURI`` values are paths below the DICOMweb root; *instance* is the path of the instance there. All text
    is Unicode, so the character set is said to be UTF-8 (annex F.2.4). Numbers that are not finite are null.
    """
    return _dataset(header.dataset, _Place(header, f"{instance}/bulk"))


def _dataset(dataset: Dataset, place: _Place) -> DicomJson:
    return dict(_elements(dataset, place))


def _elements(dataset: Dataset, place: _Place) -> Iterator[tuple[str, Element]]:
    for tag in sorted(dataset.keys()):
        if tag.element == 0 or tag.group in (0x0000, 0x0002, 0xFFFC):
            continue
        try:
            element = _element(dataset, tag, place)
        except Exception:  # noqa: BLE001 - a value that cannot be read costs only itself
            element = {"vr": declared_vr(raw_element(dataset, tag))}
        if f"{tag:08X}" == CHARSET:
            element = {"vr": "CS", "Value": ["ISO_IR 192"]}
        yield f"{tag:08X}", element


def declared_vr(raw: RawDataElement | DataElement) -> str:
    """The value representation that the file or else the dictionary gives an element; ``UN`` when neither does."""
    declared = raw.VR or _in_dictionary(raw.tag)
    if declared in AMBIGUOUS_VR:
        return "OW" if "OW" in declared else "US"
    return declared if len(declared) == 2 and declared.isupper() else "UN"  # noqa: PLR2004


def _in_dictionary(tag: int) -> str:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN"


def _element(dataset: Dataset, tag: int, place: _Place) -> Element:
    raw = raw_element(dataset, tag)
    if isinstance(raw, RawDataElement):
        if (by_uri := _by_uri(raw, place)) is not None:
            return by_uri
        if raw.value is None and raw.length:
            if raw.length > _LOADED_MOST:
                return {"vr": declared_vr(raw)}
            dataset[tag] = place.header.loaded(raw)
    element = dataset[tag]
    if element.VR in AMBIGUOUS_VR:
        correct_ambiguous_vr_element(element, dataset, place.header.little)
    return _value(dataset[tag], place)


def _by_uri(raw: RawDataElement, place: _Place) -> Element | None:
    """The element as a URI, when it is large and binary; nothing of it is read for that."""
    vr = declared_vr(raw)
    length = 0 if raw.length == UNDEFINED else raw.length
    if raw.tag in ALWAYS_BY_URI and length:
        return {"vr": "OB" if raw.tag == _DOCUMENT else "OW", "BulkDataURI": f"{place.bulk}/{raw.tag:08X}"}
    if vr in BINARY and length > INLINE_MOST and not _becomes_other(raw):
        return {"vr": vr, "BulkDataURI": f"{place.bulk}/{raw.tag:08X}"}
    return None


def _becomes_other(raw: RawDataElement) -> bool:
    """Whether an element marked UN is known to the dictionary as something that is not binary (PS3.5 6.2.2)."""
    return raw.VR == "UN" and vr_of(f"{raw.tag:08X}") not in BINARY and raw.length <= _LOADED_MOST


def _value(element: DataElement, place: _Place) -> Element:
    vr = str(element.VR)
    if vr == "SQ":
        return _sequence(element, place)
    if vr in BINARY or isinstance(element.value, bytes):
        return _binary(element, vr if vr in BINARY else "UN", place)
    values = _listed(element)
    if not values:
        return {"vr": vr}
    return {"vr": vr, "Value": [_single(value, vr) for value in values]}


def _single(value: object, vr: str) -> str | float | dict[str, str] | None:
    """One value as JSON has it; None when it is empty (annex F.2.5)."""
    if vr in _NUMBERS:
        return _number(value, vr)
    if vr == "PN":
        return _name(_text(value))
    return f"{value:08X}" if isinstance(value, int) else _text(value) or None


def _listed(element: DataElement) -> list[Any]:
    if element.value is None or element.is_empty:
        return []
    return list(element.value) if element.VM > 1 else [element.value]


def _sequence(element: DataElement, place: _Place) -> Element:
    if place.depth >= _DEEPEST:
        return {"vr": "SQ"}
    items = [_dataset(item, place.item(element.tag, number)) for number, item in enumerate(element.value, 1)]
    return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}


def _binary(element: DataElement, vr: str, place: _Place) -> Element:
    value = element.value
    if not value:
        return {"vr": vr}
    if len(value) > INLINE_MOST:
        return {"vr": vr, "BulkDataURI": f"{place.bulk}/{element.tag:08X}"}
    plain = little_endian(bytes(value), vr, little=place.header.little)
    return {"vr": vr, "InlineBinary": base64.b64encode(plain).decode()}


def _text(value: object) -> str:
    """*value* as text that can be written as UTF-8, without padding."""
    text = value.decode(default_encoding, "replace") if isinstance(value, bytes) else str(value)
    text = text.strip("\0")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _name(text: str) -> dict[str, str] | None:
    """A person name by its groups (annex F.2.2); None when it is empty."""
    groups = dict(zip(_NAME_GROUPS, (group.strip() for group in text.split("=")), strict=False))
    return {key: group for key, group in groups.items() if group} or None


def _number(value: object, vr: str) -> int | float | None:
    if value is None or value == "":
        return None
    if vr in _WHOLE:
        return int(str(value))
    number = float(str(value))
    return number if math.isfinite(number) else None
