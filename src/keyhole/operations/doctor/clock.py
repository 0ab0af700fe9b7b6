"""This machine's clock beside others': links end, and the trail is dated, by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime

from keyhole.operations.doctor.asking import Heard
from keyhole.operations.doctor.finding import Finding, error, ok, warning

_WARN = 2.0
_WRONG = 60.0
_ADVICE = "have both keep time by NTP: timedatectl status"


def behind(theirs: float, before: float, after: float, step: float = 0.0) -> float:
    """How many seconds our clock is certainly ahead (or, below 0, behind) of one that showed *theirs*.

    It was read between *before* and *after* of ours, and shows nothing finer than *step*.
    """
    if after < theirs:
        return after - theirs
    return max(0.0, before - theirs - step)


def of_answer(heard: Heard) -> float | None:
    """The same for the Date of an answer (RFC 9110 section 6.6.1), which has whole seconds; None without one."""
    try:
        date = parsedate_to_datetime(heard.headers["date"]).timestamp()
    except (KeyError, ValueError, OverflowError):
        return None
    return behind(date, heard.asked_at, heard.heard_at, 1.0)


def clocks(ahead: Mapping[str, float]) -> Iterator[Finding]:
    """What our clock is *ahead* of each other one, by whose it is."""
    for whose, seconds in ahead.items():
        size = abs(seconds)
        told = f"this machine's clock is {size:.0f} s {'ahead of' if seconds > 0 else 'behind'} that of {whose}"
        meaning = "links end too early or too late, and the trail tells a wrong time"
        if size > _WRONG:
            yield error("clock", told, meaning, _ADVICE)
        elif size > _WARN:
            yield warning("clock", told, meaning, _ADVICE)
        else:
            yield ok("clock", f"this machine's clock agrees with that of {whose}")
