"""What was found: how bad it is, what is, what it means, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is, from best to worst."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


RANK = {severity: rank for rank, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``check`` is its name for programs and for the documentation, and stays.

    No field holds a secret, nor what a server has said of itself unless it was judged harmless.
    """

    check: str
    severity: Severity
    fact: str
    meaning: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Chapter:
    """The findings about one thing, in the order in which they are told."""

    title: str
    findings: tuple[Finding, ...]


def ok(check: str, fact: str) -> Finding:
    """As it should be."""
    return Finding(check, Severity.OK, fact)


def note(check: str, fact: str, meaning: str, advice: str = "") -> Finding:
    """Nothing wrong, and good to know."""
    return Finding(check, Severity.NOTE, fact, meaning, advice)


def warning(check: str, fact: str, meaning: str, advice: str) -> Finding:
    """Something that should be changed."""
    return Finding(check, Severity.WARNING, fact, meaning, advice)


def error(check: str, fact: str, meaning: str, advice: str) -> Finding:
    """Something that is broken, or open to strangers."""
    return Finding(check, Severity.ERROR, fact, meaning, advice)


def worst(chapters: Iterable[Chapter]) -> Severity:
    """The worst severity in *chapters*; OK when there is nothing."""
    found = (finding.severity for chapter in chapters for finding in chapter.findings)
    return max(found, key=RANK.__getitem__, default=Severity.OK)


def many(count: int, thing: str, things: str | None = None) -> str:
    """``1 former key``, ``2 former keys``."""
    return f"{count} {thing if count == 1 else things or thing + 's'}"
