"""Rows of the trail as a person reads them: counts beside the access they belong to, codes in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from keyhole.access.decision import Event, Record
from keyhole.access.resource import Action
from keyhole.cli import speech
from keyhole.web.shapes import TrailRow

_ROOM_FOR_LINES = 160
_COUNTED = (Event.ACCESS, Event.SEARCH, Event.EXPORT, Event.COUNT)
_SUMMED = (Event.REFUSAL, Event.ASKED)
_SAID = {Event.REFUSAL: "refused"}


@dataclass
class Happening:
    """A row, with what was counted after it until ``last``."""

    record: Record
    last: datetime
    erased: bool
    images: int = 0
    bytes: int = 0


def summed(rows: Iterable[TrailRow]) -> list[Happening]:
    """*rows* with their counts added to the access that they continue.

    An access is what one subject did with one study on one day; the trail has a row for each kind of request.
    """
    happenings: list[Happening] = []
    running: dict[tuple[object, ...], Happening] = {}
    for row in rows:
        record = row.record
        place = running.get(_access(record)) if _counted(record) else None
        if place is None:
            place = running[_access(record)] = Happening(record, record.at, row.erased)
            happenings.append(place)
        place.last = record.at
        place.images += record.images
        place.bytes += record.bytes
    return happenings


def _counted(record: Record) -> bool:
    """Whether COUNT rows may continue *record*: what was refused is summed up in its own row."""
    return record.event in _COUNTED or (record.event is Event.ASKED and record.reason is None)


def _access(record: Record) -> tuple[object, ...]:
    done = _done(record) if _counted(record) else None
    asked = record.detail.get("about"), record.detail.get("asked")
    return (done, record.subject, record.archive, record.study, record.at.date(), *asked)


def _done(record: Record) -> str:
    """What a counted *record* is about, in a word."""
    if record.action in (Action.SEARCH, Action.ASK):
        return "searched" if record.action is Action.SEARCH else "asked"
    # Who only asks how long a download would be has not made one: that is an ACCESS.
    return "downloaded" if record.action is Action.DOWNLOAD and record.event is not Event.ACCESS else "saw"


def give(rows: Iterable[TrailRow]) -> None:
    """Write *rows*: a line for each where there is room, else what it is about below what it is."""
    happenings = summed(rows)
    if speech.width() >= _ROOM_FOR_LINES:
        speech.give_table(("WHEN (UTC)", "WHAT", "WHO", "WHICH", "MORE"), map(_line, happenings))
    else:
        speech.give_table(("WHEN (UTC)", "WHAT", "WHO, AND WHICH"), map(_block, happenings))


def _line(one: Happening) -> tuple[str, ...]:
    return (
        " ".join(_when(one)),
        ": ".join(_what(one)),
        " ".join(_who(one)),
        " ".join(_which(one.record)),
        ", ".join(_more(one)),
    )


def _block(one: Happening) -> tuple[str, ...]:
    about = (" ".join(_who(one)), *_which(one.record), ", ".join(_more(one)))
    return "\n".join(_when(one)), "\n".join(_what(one)), "\n".join(filter(None, about))


def _when(one: Happening) -> list[str]:
    begun, ended = speech.time(one.record.at), speech.time(one.last)
    return [begun] if begun == ended else [begun, f"to {ended.partition(' ')[2]}"]


def _what(one: Happening) -> list[str]:
    record = one.record
    said = _SAID.get(record.event, record.event.value.replace("-", " "))
    if record.event in _COUNTED:
        said = _done(record)
    return [said] if record.reason is None else [said, record.reason.value]


def _who(one: Happening) -> list[str]:
    address = one.record.personal.get("address") or ("an erased address" if one.erased else "local")
    name = one.record.personal.get("name")
    who = [one.record.subject] if name is None else [one.record.subject, f"({name})"]
    return who if address == "local" else [*who, f"from {address}"]


def _which(record: Record) -> list[str]:
    """The share, and the studies; without the name of the archive that the row is about anyway."""
    share = f"share:{record.share}" if record.share and record.subject != f"share:{record.share}" else ""
    named = record.study or record.detail.get("resources", "").replace(f"{record.archive}:", "")
    series = f"series {record.series}" if record.series else ""
    return list(filter(None, (share, *named.split(), series)))


def _more(one: Happening) -> list[str]:
    """How much, how often, and what is different now."""
    record = one.record
    counted = (
        speech.plural(one.images, "image") if one.images else "",
        speech.size(one.bytes) if one.bytes else "",
        f"{record.times} times" if record.event in _SUMMED and record.times > 1 else "",
    )
    details = (_detail(record.event, name, text) for name, text in record.detail.items())
    return list(filter(None, (*counted, *details)))


def _time_in(text: str) -> str:
    return speech.time(datetime.fromisoformat(text))


_DETAILS: Mapping[str, Callable[[str], str]] = {
    "resources": lambda _: "",
    "asked": lambda text: f"may {text}",
    "expires_at": lambda text: f"ends {_time_in(text)}",
    "not_before": lambda text: f"not before {_time_in(text)}",
    "max_visits": lambda text: "" if text == "unlimited" else speech.plural(int(text), "opening"),
    "more_visits": lambda text: speech.plural(int(text), "more opening", "more openings"),
    "new_link": lambda _: "a new link",
    "conditions": lambda text: f"asks {', '.join(text.split())}",
    "paper": lambda _: "a code for paper",
    "priors": lambda text: "all of the patient" if text == "present" else "all of the patient, later ones as well",
    "added": lambda text: f"{speech.plural(int(text), 'study', 'studies')} added",
    "left_out": lambda text: f"{speech.plural(int(text), 'study', 'studies')} left out",
    "server_id": lambda text: f"asked for by {text}" if text else "",
    "made_at": lambda text: f"backup of {_time_in(text)}",
    "rows": lambda text: speech.plural(int(text), "row"),
    "rows_before": lambda text: f"{text} before",
    "visits_ended": lambda text: f"{speech.plural(int(text), 'visit')} ended",
    "mail": lambda text: f"{text} mail",
    "try": lambda text: "" if text == "1" else f"try {text}",
    "what": lambda text: text,
    "given_up": lambda _: "given up",
    "mails_stopped": lambda text: f"{speech.plural(int(text), 'mail')} not sent",
    "live_again": lambda text: f"{speech.plural(int(text), 'share')} live again",
    "stricter": lambda text: f"what came after it is {text}",
}


def _detail(event: Event, name: str, text: str) -> str:
    """What a row says in its details; what is not known here is shown as it is."""
    if event is Event.VISIT_BEGUN and name == "conditions":
        return f"answered {', '.join(text.split())}"
    words = _DETAILS.get(name)
    return f"{name} {text}" if words is None else words(text)
