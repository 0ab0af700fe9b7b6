"""Bulk data: the value that a tag path names in a file (PS3.18 section 10.4.1.1.5), read in pieces."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset

from keyhole.archive.content import Content
from keyhole.archive.header import UNDEFINED, Header, raw_element
from keyhole.archive.media import OCTETS
from keyhole.archive.metadata import ALWAYS_BY_URI, BINARY, PALETTES, declared_vr, little_endian

TAG_PATH = r"[0-9A-F]{8}(?:/[1-9][0-9]{0,8}/[0-9A-F]{8}){0,31}"
"""Tags and item numbers, from 1, in turn."""

_DOCUMENT, _DOCUMENT_TYPE, _DOCUMENT_LENGTH = 0x00420011, 0x00420012, 0x00420015
_SAFE_DOCUMENTS = frozenset({"application/pdf", "model/stl", "model/obj"})


class NoSuchBulk(Exception):
    """The file has no binary value there."""


@dataclass(frozen=True, slots=True)
class Bulk:
    """A binary value and the media type it may be answered with besides ``application/octet-stream``."""

    content: Content
    media_type: str


def find_bulk(header: Header, path: str) -> Bulk:
    """The value that *path* (of the form TAG_PATH) names; raises NoSuchBulk. Pixel data is none: it has frames."""
    *above, last = path.split("/")
    dataset = header.dataset
    for tag, number in zip(above[::2], above[1::2], strict=True):
        dataset = _item(header, dataset, int(tag, 16), int(number))
    element = _get(dataset, int(last, 16))
    vr = declared_vr(element)
    if vr not in BINARY and element.tag not in ALWAYS_BY_URI:
        raise NoSuchBulk
    content = _on_disk(header, element) if not above else None
    return _document(header, content or _in_memory(header, element, vr), last)


def _on_disk(header: Header, element: RawDataElement | DataElement) -> Content | None:
    """A large value as the place where it lies in the file, when it can be handed out from there as it is."""
    if not isinstance(element, RawDataElement) or element.value is not None or not header.little or header.inflated:
        return None
    return None if element.length in (0, UNDEFINED) else Content.of_spans(((element.value_tell, element.length),))


def _in_memory(header: Header, element: RawDataElement | DataElement, vr: str) -> Content:
    value = (header.loaded(element) if isinstance(element, RawDataElement) else element).value
    if not isinstance(value, bytes) or not value:
        raise NoSuchBulk
    word = "OW" if element.tag in PALETTES else vr
    return Content.of_bytes(little_endian(value, word, little=header.little))


def _get(dataset: Dataset, tag: int) -> RawDataElement | DataElement:
    if tag not in dataset:
        raise NoSuchBulk
    return raw_element(dataset, tag)


def _item(header: Header, dataset: Dataset, tag: int, number: int) -> Dataset:
    raw = _get(dataset, tag)
    if isinstance(raw, RawDataElement):
        dataset[tag] = header.loaded(raw)
    element = dataset[tag]
    if element.VR != "SQ" or not 1 <= number <= len(element.value):
        raise NoSuchBulk
    item: Dataset = element.value[number - 1]
    return item


def _document(header: Header, content: Content, tag: str) -> Bulk:
    """*content* with the type of the document it is, when that type may be shown, and without its padding byte."""
    if int(tag, 16) != _DOCUMENT:
        return Bulk(content, OCTETS)
    declared = str(getattr(header.dataset.get(_DOCUMENT_TYPE), "value", "")).strip().lower()
    media_type = declared if declared in _SAFE_DOCUMENTS else OCTETS
    if getattr(header.dataset.get(_DOCUMENT_LENGTH), "value", None) == content.length - 1:
        content = _without_padding(content)
    return Bulk(content, media_type)


def _without_padding(content: Content) -> Content:
    if content.load is None:
        ((offset, length),) = content.spans
        return Content.of_spans(((offset, length - 1),))
    load = content.load
    return Content(content.length - 1, load=lambda file: load(file)[:-1])
