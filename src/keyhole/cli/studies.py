"""``keyhole studies``: find the study to share, by what people know of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from keyhole.cli import speech
from keyhole.cli.session import operator, session
from keyhole.cli.shares import Json
from keyhole.errors import Refused
from keyhole.gateway.desk import Desk

MOST = 200
_ROOM_FOR_LINES = 120
"""Characters in which a study's longest UID (PS3.5 section 9.1) and what is known of it stand beside each other."""
_DATE = re.compile(r"[0-9]{8}(?:-(?:[0-9]{8})?)?|-[0-9]{8}")
_UID, _DAY, _NAME, _ID, _WORDS, _MODALITIES = (
    "0020000D",
    "00080020",
    "00100010",
    "00100020",
    "00081030",
    "00080061",
)
_SHOWN = (_DAY, _NAME, _ID, _WORDS, _MODALITIES)


def studies(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Part of the patient's name, as the archive has it.")
    ] = None,
    patient: Annotated[str | None, typer.Option(metavar="ID", help="PatientID, exactly.")] = None,
    date: Annotated[str | None, typer.Option(metavar="DATE", help="20260301, or 20260301-20260331.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", help="How many at most.", min=1, max=MOST)] = 20,
    archive: Annotated[str | None, typer.Option(metavar="NAME", help="The archive, if not the default one.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Find studies in the archive, to share them.

    What is printed is patient data. That it was searched for is on the trail.
    """
    query = _query(name, patient, date, limit)

    async def search(desk: Desk) -> Sequence[Mapping[str, Any]]:
        return await desk.find_studies(operator(), archive or desk.archives[0], query)

    found = session(context).at_desk(search)
    if as_json:
        speech.give_json(*map(_content, found))
    elif found:
        _give(found)
        if len(found) == limit:
            speech.say(f"there may be more than these {limit}", hint="ask more narrowly, or with --limit")
    else:
        speech.say("the archive has no such study", hint="names are often kept as FAMILY^GIVEN; try a part of one")


def _query(name: str | None, patient: str | None, date: str | None, limit: int) -> bytes:
    """The question in the words of QIDO-RS (PS3.18 section 8.3.4)."""
    if date is not None and _DATE.fullmatch(date) is None:
        raise Refused(f"not a date: {date!r}", "for example 20260301, or 20260301-20260331")
    wanted = [("includefield", field) for field in _SHOWN] + [("limit", str(limit))]
    if name is not None:
        wanted.append(("PatientName", f"*{name.strip('*')}*"))
    if patient is not None:
        wanted.append(("PatientID", patient))
    if date is not None:
        wanted.append(("StudyDate", date))
    return urlencode(wanted).encode()


def _give(found: Sequence[Mapping[str, Any]]) -> None:
    """Write *found*: a line for each where there is room, so that UIDs can be copied from any terminal."""
    if speech.width() >= _ROOM_FOR_LINES:
        speech.give_table(("STUDY", "DATE", "PATIENT", "ID", "WHAT", "MODALITY"), map(_row, found))
    else:
        speech.give_table(("STUDY, AND MORE",), ((_block(item),) for item in found))


def _block(item: Mapping[str, Any]) -> str:
    study, *known = _row(item)
    return f"{study}\n  {', '.join(filter(None, known))}"


def _row(item: Mapping[str, Any]) -> tuple[str, ...]:
    return (_value(item, _UID), *(_value(item, field) for field in _SHOWN))


def _content(item: Mapping[str, Any]) -> dict[str, str]:
    names = ("study", "date", "patient", "patient_id", "description", "modalities")
    return dict(zip(names, _row(item), strict=True))


def _value(item: Mapping[str, Any], tag: str) -> str:
    """An attribute in one line; a person's name as it is written first (PS3.18 F.2.2)."""
    values = item.get(tag, {}).get("Value") or []
    return ", ".join(str(next(iter(value.values()), "")) if isinstance(value, dict) else str(value) for value in values)
