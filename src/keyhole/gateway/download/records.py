"""What a DICOMDIR says about an instance (PS3.3 annex F.5): the type of its record, and its keys."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

Key = tuple[int, str]
"""Tag and value representation."""

CHARSET: Final = 0x00080005
CODE: Final = 0x0040A043
"""ConceptNameCodeSequence, the one key that is a sequence."""
OF_CODE: tuple[Key, ...] = ((0x00080100, "SH"), (0x00080102, "SH"), (0x00080103, "SH"), (0x00080104, "LO"))

_NUMBER: Key = (0x00200013, "IS")
_DAY: tuple[Key, ...] = ((0x00080023, "DA"), (0x00080033, "TM"))
_LABELS: tuple[Key, ...] = ((0x00700080, "CS"), (0x00700081, "LO"), (0x00700084, "PN"))

PATIENT: tuple[Key, ...] = ((0x00100010, "PN"), (0x00100020, "LO"))
STUDY: tuple[Key, ...] = (
    (0x00080020, "DA"),
    (0x00080030, "TM"),
    (0x00080050, "SH"),
    (0x00081030, "LO"),
    (0x0020000D, "UI"),
    (0x00200010, "SH"),
)
SERIES: tuple[Key, ...] = ((0x00080060, "CS"), (0x0008103E, "LO"), (0x0020000E, "UI"), (0x00200011, "IS"))

LEAVES: Mapping[str, tuple[Key, ...]] = MappingProxyType(
    {
        "IMAGE": (_NUMBER,),
        "SR DOCUMENT": (*_DAY, _NUMBER, (0x0040A030, "DT"), (CODE, "SQ"), (0x0040A491, "CS"), (0x0040A493, "CS")),
        "KEY OBJECT DOC": (*_DAY, _NUMBER, (CODE, "SQ")),
        "PRESENTATION": (_NUMBER, _LABELS[0], _LABELS[1], (0x00700082, "DA"), (0x00700083, "TM"), _LABELS[2]),
        "WAVEFORM": (*_DAY, _NUMBER),
        "RAW DATA": (*_DAY, _NUMBER),
        "ENCAP DOC": (*_DAY, _NUMBER, (CODE, "SQ"), (0x00420010, "ST"), (0x00420012, "LO")),
        "RT DOSE": (_NUMBER, (0x3004000A, "CS")),
        "RT STRUCTURE SET": (_NUMBER, (0x30060002, "SH"), (0x30060008, "DA"), (0x30060009, "TM")),
        "RT PLAN": (_NUMBER, (0x300A0002, "SH"), (0x300A0006, "DA"), (0x300A0007, "TM")),
        "RT TREAT RECORD": (_NUMBER, (0x30080250, "DA"), (0x30080251, "TM")),
        "REGISTRATION": (*_DAY, _NUMBER, *_LABELS),
        "FIDUCIAL": (*_DAY, _NUMBER, *_LABELS),
        "VALUE MAP": (*_DAY, _NUMBER, *_LABELS),
        "SURFACE": (*_DAY, _NUMBER, *_LABELS),
        "TRACT": (*_DAY, _NUMBER, *_LABELS),
        "MEASUREMENT": (*_DAY, _NUMBER, *_LABELS),
    }
)
"""The keys of each type of record that names a file, in the order of their tags."""

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "88.59": "KEY OBJECT DOC",
        "88": "SR DOCUMENT",
        "11": "PRESENTATION",
        "9": "WAVEFORM",
        "104": "ENCAP DOC",
        "481.2": "RT DOSE",
        "481.3": "RT STRUCTURE SET",
        "481.5": "RT PLAN",
        "481.8": "RT PLAN",
        "481.4": "RT TREAT RECORD",
        "481.6": "RT TREAT RECORD",
        "481.7": "RT TREAT RECORD",
        "481.9": "RT TREAT RECORD",
        "66": "RAW DATA",
        "66.1": "REGISTRATION",
        "66.3": "REGISTRATION",
        "66.2": "FIDUCIAL",
        "66.4": "IMAGE",
        "66.5": "SURFACE",
        "66.6": "TRACT",
        "67": "VALUE MAP",
        "78": "MEASUREMENT",
    }
)
"""By SOP class, below the root of those that are stored; by the longest beginning. Everything else is an image."""

DOCUMENTS: Mapping[str, bytes] = MappingProxyType(
    {
        _STORAGE + "104.1": b"application/pdf",
        _STORAGE + "104.2": b"text/XML",
        _STORAGE + "104.3": b"model/stl",
        _STORAGE + "104.4": b"model/obj",
        _STORAGE + "104.5": b"model/mtl",
    }
)
"""The media type of encapsulated documents, which stands behind the document itself."""

_FIRST_OF_NO_USE: Mapping[str, int] = MappingProxyType({"IMAGE": 0x00210000, "ENCAP DOC": 0x00420011})


def record_type(sop_class: str) -> str:
    """The type of the record of an instance of *sop_class*."""
    place = sop_class.removeprefix(_STORAGE)
    while place and place != sop_class:
        if place in _TYPES:
            return _TYPES[place]
        place = place.rpartition(".")[0]
    return "IMAGE"


def read_until(kind: str) -> int:
    """The first tag that no record of this type wants: what follows need not be read."""
    return _FIRST_OF_NO_USE.get(kind, 0x300B0000)
