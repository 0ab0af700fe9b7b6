"""Searches in plain names: to QIDO-RS (PS3.18 section 10.6) and back from DICOM JSON (PS3.18 annex F)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any
from urllib.parse import quote

from keyhole.web.shapes import FoundStudy, StudySearch

_KEYS = {
    "patient_name": "00100010",
    "patient_id": "00100020",
    "accession_number": "00080050",
    "description": "00081030",
    "modality": "00080061",
}
_MORE = ("00080090", "00081030", "00201206", "00201208")
"""Attributes that not every archive returns unasked."""


def query(wanted: StudySearch) -> bytes:
    """The raw query for a search of studies."""
    pairs = [("includefield", tag) for tag in _MORE]
    pairs += [(tag, value) for name, tag in _KEYS.items() if (value := getattr(wanted, name)) is not None]
    if wanted.since or wanted.until:
        pairs.append(("00080020", "-".join(f"{day:%Y%m%d}" if day else "" for day in (wanted.since, wanted.until))))
    if wanted.study:
        pairs.append(("0020000D", ",".join(wanted.study)))
    pairs += [("limit", str(wanted.limit)), ("offset", str(wanted.offset))]
    return "&".join(f"{name}={quote(value, safe='*,')}" for name, value in pairs).encode("ascii")


def plain(item: Mapping[str, Any]) -> FoundStudy:
    """A study of DICOM JSON in plain names."""
    return FoundStudy(
        study=_text(item, "0020000D") or "",
        date=_date(_text(item, "00080020")),
        time=_time(_text(item, "00080030")),
        description=_text(item, "00081030"),
        modalities=tuple(str(value) for value in _values(item, "00080061") if value),
        accession_number=_text(item, "00080050"),
        patient_name=_text(item, "00100010"),
        patient_id=_text(item, "00100020"),
        birth_date=_date(_text(item, "00100030")),
        sex=_text(item, "00100040"),
        referring_physician=_text(item, "00080090"),
        series=_number(_text(item, "00201206")),
        images=_number(_text(item, "00201208")),
    )


def _values(item: Mapping[str, Any], tag: str) -> list[Any]:
    element = item.get(tag)
    values = element.get("Value") if isinstance(element, Mapping) else None
    return values if isinstance(values, list) else []


def _text(item: Mapping[str, Any], tag: str) -> str | None:
    """The first value as text; of a person's name the alphabetic group (PS3.18 section F.2.2)."""
    value = next(iter(_values(item, tag)), None)
    if isinstance(value, Mapping):
        value = value.get("Alphabetic")
    return None if value in (None, "") else str(value)


def _date(text: str | None) -> date | None:
    try:
        return datetime.strptime(text or "", "%Y%m%d").date()  # noqa: DTZ007 - DICOM's dates have no zone
    except ValueError:
        return None


def _time(text: str | None) -> time | None:
    """The time to the second; DICOM's may be as short as the hour."""
    digits = (text or "").partition(".")[0]
    try:
        return time.fromisoformat(digits)
    except ValueError:
        return None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None
