"""Transcripts of the command line: what is typed, what comes out, how it ends.

``$`` a command · ``<`` a line of its standard input · ``!`` a line of standard error · ``=`` the exit status, when
it is not 0 · ``#`` a remark · anything else: a line of standard output.

What differs each time is written ``<kind:NAME>`` where it comes up and ``<NAME>`` from then on, in commands too;
``<kind>`` when it does not come up again.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "transcripts"

KINDS = {
    "id": "[a-z2-7]{16}",
    "link": r"http://127\.0\.0\.1:[0-9]+/s/[a-z2-7]{16}#[a-z2-7]{35}",
    "key": "khk_[a-z2-7]{16}_[a-z2-7]{32}",
    "time": r"20[0-9]{2}-[01][0-9]-[0-3][0-9] [0-2][0-9]:[0-5][0-9]",
    "instant": r"20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?Z",
    "user": r"user:\S+",
    "passcode": "[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{2}",
    "version": r"[0-9]+\.[0-9]+\.[0-9]+\S*",
    "words": ".+",
    "more": ".*",
}

_PLACE = re.compile(r"<(?:([a-z]+)(?::([A-Z]+))?|([A-Z]+))>")
_BLANKS = re.compile(r"(?:\\ ){2,}")


@dataclass
class Step:
    command: str
    stdin: list[str] = field(default_factory=list)
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)
    status: int = 0


@dataclass(frozen=True)
class Result:
    status: int
    out: str
    err: str


Run = Callable[[Sequence[str], str], Result]


def steps(path: Path) -> Iterator[Step]:
    step: Step | None = None
    for line in path.read_text(encoding="utf-8").splitlines():
        mark, rest = line[:2], line[2:]
        if mark == "$ ":
            if step is not None:
                yield _ended(step)
            step = Step(rest)
        elif step is None or mark == "# ":
            continue
        elif mark in ("! ", "!"):
            step.err.append(rest)
        elif mark == "< ":
            step.stdin.append(rest)
        elif mark == "= ":
            step.status = int(rest)
        else:
            step.out.append(line)
    if step is not None:
        yield _ended(step)


def _ended(step: Step) -> Step:
    """Empty lines before the next command are for the reader."""
    while step.out and not step.out[-1]:
        step.out.pop()
    return step


def play(path: Path, run: Run) -> None:
    """Type what the transcript at *path* types, and find what it shows."""
    known: dict[str, str] = {}
    for step in steps(path):
        typed = shlex.split(_filled(step.command, known))
        assert typed[0] == "keyhole"
        result = run(typed[1:], "".join(_filled(line, known) + "\n" for line in step.stdin))
        _compare(f"$ {step.command}\nstandard error", step.err, result.err, known)
        _compare(f"$ {step.command}\nstandard output", step.out, result.out, known)
        assert result.status == step.status, f"$ {step.command}\n= {result.status}"


def _filled(text: str, known: dict[str, str]) -> str:
    return _PLACE.sub(lambda place: known[place[3]] if place[3] else place[0], text)


def _compare(what: str, wanted: list[str], found: str, known: dict[str, str]) -> None:
    lines = found.splitlines()
    for number, (line, pattern) in enumerate(zip(lines, wanted, strict=False), 1):
        match = re.fullmatch(_pattern(pattern, known), line)
        assert match, f"{what}, line {number}\n  wanted: {pattern}\n  found:  {line}"
        known.update({name: value for name, value in match.groupdict().items() if value})
    assert len(lines) == len(wanted), f"{what}\n  wanted {len(wanted)} lines, found:\n{found}"


def _pattern(text: str, known: dict[str, str]) -> str:
    """*text* as a regular expression. Columns may be further apart: names of users and such differ in length."""
    parts, end, here = [], 0, set()
    for place in _PLACE.finditer(text):
        kind, name, used = place.groups()
        parts.append(re.escape(text[end : place.start()]))
        if used:
            parts.append(f"(?P={used})" if used in here else re.escape(known[used]))
        else:
            parts.append(f"(?P<{name}>{KINDS[kind]})" if name else KINDS[kind])
            here.add(name)
        end = place.end()
    parts.append(re.escape(text[end:]))
    return _BLANKS.sub(r"\\ {2,}", "".join(parts))
