"""How the command line speaks: times, sizes, tables, and what is wrong."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from keyhole.errors import Refused
from keyhole.web import when

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_AS_WIDE_AS_IT_IS = 10_000
_THOUSAND = 1000


def say(words: str, *, hint: str | None = None) -> None:
    """Tell the person at the terminal; standard output is for data."""
    sys.stderr.write(f"keyhole: {words}\n")
    if hint is not None:
        sys.stderr.write(f"keyhole: hint: {hint}\n")


def give(line: str) -> None:
    """Write one line of data."""
    sys.stdout.write(line + "\n")


def give_json(*values: object) -> None:
    """Write each of *values* as a line of JSON."""
    for value in values:
        content = value.model_dump(mode="json", exclude_none=False) if isinstance(value, BaseModel) else value
        give(json.dumps(content, ensure_ascii=False))


def console() -> Console:
    """Standard output: as wide as the terminal, or as wide as it needs to be when a program reads it."""
    return Console(file=sys.stdout, width=None if _is_terminal() else _AS_WIDE_AS_IT_IS, highlight=False, emoji=False)


def width() -> int:
    """How many characters a line of standard output has room for."""
    return console().width


def _is_terminal() -> bool:
    return sys.stdout.isatty() or "COLUMNS" in os.environ


def give_table(titles: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Write *rows* below *titles*; numbers in the columns named in *right* line up. Nothing in it is markup."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in titles:
        whole = title == titles[0]  # ids are to be copied
        table.add_column(title, overflow="fold", no_wrap=whole, justify="right" if title in right else "left")
    for row in rows:
        table.add_row(*map(plain, row))
    give_rich(table)


def give_rich(*parts: object) -> None:
    """Write *parts* without the blanks that fill lines up."""
    terminal = console()
    with terminal.capture() as capture:
        for part in parts:
            terminal.print(part)
    for line in capture.get().splitlines():
        give(line.rstrip())


def plain(text: str) -> Text:
    """*text* without what could steer a terminal: notes and agents come from strangers."""
    return Text(
        "".join(letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text)
    )


def time(moment: datetime | None, absent: str = "-") -> str:
    """*moment* to the minute, in UTC, which the titles of tables say."""
    return absent if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def size(count: int) -> str:
    """*count* bytes in decimal units."""
    units = iter(("kB", "MB", "GB", "TB"))
    number, unit = float(count), "B"
    while number >= _THOUSAND and unit != "TB":
        number, unit = number / _THOUSAND, next(units)
    return f"{count} B" if unit == "B" else f"{number:.1f} {unit}"


def plural(count: int, thing: str, things: str | None = None) -> str:
    """``1 study``, ``2 studies``."""
    return f"{count} {thing if count == 1 else things or thing + 's'}"


def duration(option: str, text: str) -> timedelta:
    """What *text*, given for *option*, lasts."""
    try:
        return when.duration(text)
    except ValueError:
        raise Refused(
            f"{option} is not a length of time: {text!r}", f"give days, hours or minutes: {option} 7d"
        ) from None


def instant(option: str, text: str) -> datetime:
    """The moment that *text*, given for *option*, names."""
    try:
        return when.instant(text)
    except ValueError:
        raise Refused(
            f"{option} is not a time with its zone: {text!r}", f"for example {option} 2026-03-01T12:00:00Z"
        ) from None


def past(option: str, text: str, now: datetime, *, end: bool = False) -> datetime:
    """A moment in the past: a time with its zone, a day in UTC (its *end* or its begin), or so long ago."""
    if _DAY.fullmatch(text):
        day = instant(option, f"{text}T00:00:00Z")
        return day + timedelta(days=1) if end else day
    try:
        return now - when.duration(text)
    except (ValueError, OverflowError):
        pass
    try:
        return when.instant(text)
    except ValueError:
        raise Refused(
            f"{option} is neither a day, nor a time with its zone, nor so long ago: {text!r}",
            f"for example {option} 2026-03-01, {option} 2026-03-01T12:00:00Z or {option} 7d",
        ) from None
