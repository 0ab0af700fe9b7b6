"""Does a dataset match a key? The rules of PS3.4 C.2.2.2 as QIDO-RS spells them (PS3.18 section 8.3.4.1)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from keyhole.access.resource import is_uid
from keyhole.archive.attributes import TagPath, vr_of
from keyhole.archive.metadata import DicomJson, Element

Test = Callable[[Any], bool]
"""Whether one value of an element matches."""

WILDCARDS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_NUMBERS = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})
_DATE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")
_TIME = re.compile(r"([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:\.([0-9]{1,6}))?)?)?")
_MOMENT = re.compile(
    r"([0-9]{4}(?:[0-9]{2}(?:[0-9]{2}(?:[0-9]{2}(?:[0-9]{2}(?:[0-9]{2}(?:\.[0-9]{1,6})?)?)?)?)?)?)([+-][0-9]{4})?"
)
_FIRST = "00000101000000.000000"
_LAST = "99991231235959.999999"


class BadValue(ValueError):
    """A key's value is none of what its attribute can have."""


def universal(vr: str, value: str) -> bool:
    """Whether *value* matches everything (PS3.4 C.2.2.2.3, and a lone ``*``, C.2.2.2.4)."""
    return not value.strip() or (vr in WILDCARDS and not value.strip().strip("*"))


def compile_test(vr: str, value: str) -> Test:
    """The test that *value*, which is not universal, puts to values of *vr*; raises BadValue."""
    value = value.strip()
    if vr == "UI":
        return _one_of(uid_list(value))
    if vr in ("DA", "TM", "DT"):
        return _range(vr, value)
    if vr == "PN":
        return _name(value)
    if vr in _NUMBERS:
        return _number(value)
    return _text(value) if vr in WILDCARDS else _exact(value)


def uid_list(value: str) -> frozenset[str]:
    """The UIDs of a list; raises BadValue when one is none. Commas separate, as do backslashes (DIMSE's way)."""
    uids = [uid.strip() for uid in value.replace("\\", ",").split(",")]
    if not all(map(is_uid, uids)):
        raise BadValue("not a UID")
    return frozenset(uids)


def matches(dataset: DicomJson, path: TagPath, test: Test) -> bool:
    """Whether some value at *path* passes *test*; in a sequence any item may."""
    element: Element = dataset.get(path[0], {})
    values = element.get("Value") or ()
    if len(path) == 1:
        return any(value is not None and test(value) for value in values)
    return any(isinstance(item, dict) and matches(item, path[1:], test) for item in values)


def test_for(path: TagPath, value: str) -> Test | None:
    """The test of a key; None when it matches everything."""
    vr = vr_of(path[-1])
    return None if universal(vr, value) else compile_test(vr, value)


def _one_of(values: frozenset[str]) -> Test:
    return lambda value: value in values


def _exact(wanted: str) -> Test:
    return lambda value: str(value).strip() == wanted


def _pattern(wanted: str) -> re.Pattern[str]:
    """What *wanted* means. What lies between two stars is looked for once, where it comes first.

    To try all its places would find nothing else, and take longer than anybody waits: a dozen stars are enough.
    """
    first, *others = ("".join("." if sign == "?" else re.escape(sign) for sign in part) for part in wanted.split("*"))
    if not others:
        return re.compile(first, re.DOTALL)
    *between, last = others
    found = "".join(f"(?>.*?{part})" for part in between if part)
    return re.compile(f"{first}{found}.*{last}", re.DOTALL)


def _text(wanted: str) -> Test:
    if "*" not in wanted and "?" not in wanted:
        return _exact(wanted)
    pattern = _pattern(wanted)
    return lambda value: pattern.fullmatch(str(value).strip()) is not None


def _plain_name(name: str) -> str:
    """Names are compared without case, and without the carets that end them (PS3.5 section 6.2.1)."""
    return "=".join(group.strip().rstrip("^ ") for group in name.casefold().split("=")).rstrip("=")


def _name(wanted: str) -> Test:
    pattern = _pattern(_plain_name(wanted))

    def test(value: dict[str, str]) -> bool:
        groups = [_plain_name(group) for group in value.values()]
        return any(pattern.fullmatch(name) for name in (*groups, "=".join(groups)))

    return test


def _number(wanted: str) -> Test:
    try:
        number = float(wanted)
    except ValueError:
        raise BadValue("not a number") from None
    return lambda value: isinstance(value, int | float) and value == number


def _range(vr: str, wanted: str) -> Test:
    """A single moment or a range; a moment that is not precise means all of what it names."""
    low, high = bounds(vr, wanted)

    def test(value: object) -> bool:
        stored = earliest(vr, str(value))
        return stored is not None and low <= stored <= high

    return test


def bounds(vr: str, wanted: str) -> tuple[str, str]:
    """The first and last moment that *wanted* means, as digits that sort; raises BadValue."""
    for at in [-1, *(place for place, character in enumerate(wanted) if character == "-")]:
        first, last = (wanted, wanted) if at < 0 else (wanted[:at].strip(), wanted[at + 1 :].strip())
        low = earliest(vr, first) if first else _span(vr)[0]
        high = _latest(vr, last) if last else _span(vr)[1]
        if (first or last) and low is not None and high is not None:
            return low, high
    raise BadValue("neither a moment nor a range")


def _span(vr: str) -> tuple[str, str]:
    cut = {"DA": slice(0, 8), "TM": slice(8, None), "DT": slice(None)}[vr]
    return _FIRST[cut], _LAST[cut]


def _digits(vr: str, text: str) -> str | None:
    """The digits of a moment without its zone; None when it is none. Dots and colons of old files are dropped."""
    text = text.strip()
    if vr == "DA":
        match = _DATE.fullmatch(text.replace(".", ""))
    elif vr == "TM":
        match = _TIME.fullmatch(text.replace(":", ""))
    else:
        match = _MOMENT.fullmatch(text)
    if match is None:
        return None
    return match[1] if vr == "DT" else match[0]


def earliest(vr: str, text: str) -> str | None:
    """The first moment that *text* can mean, as digits that sort; None when it is no moment of *vr*."""
    digits = _digits(vr, text)
    return None if digits is None else digits + _span(vr)[0][len(digits) :]


def _latest(vr: str, text: str) -> str | None:
    digits = _digits(vr, text)
    return None if digits is None else digits + _span(vr)[1][len(digits) :]
