"""A site's colour on our pages: what is derived from it can be read, by light and by dark (WCAG 2.2, 1.4.3, 1.4.11)."""

from __future__ import annotations

import re
from collections.abc import Iterator

LEGIBLE = 4.5
"""Contrast that text needs against its ground (WCAG 2.2, 1.4.3)."""

_COLOUR = re.compile("#[0-9A-Fa-f]{6}")
_GROUNDS = {"light": ((255, 255, 255), (244, 246, 246)), "dark": ((24, 34, 37), (16, 23, 25))}
"""The grounds that the colour stands on as text: cards and the page around them, as in keyhole.css."""
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
_STEPS = 20

_Rgb = tuple[int, int, int]


def contrast(one: _Rgb, other: _Rgb) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2, "contrast ratio")."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def checked(text: str) -> str:
    """*text* as ``#rrggbb``; ValueError for what is no such colour, or too pale to be read on white."""
    if not _COLOUR.fullmatch(text):
        raise ValueError("is no colour such as #14606b")
    least = min(contrast(_rgb(text), ground) for ground in _GROUNDS["light"])
    if least < LEGIBLE:
        raise ValueError(f"is too pale to be read on white ({least:.1f}:1, and {LEGIBLE}:1 is needed): darken it")
    return text.lower()


def css(colour: str) -> str:
    """The style sheet of a site whose colour is *colour*: as it is by light, lighter by dark until it can be read."""
    light, dark = _rgb(colour), _legible(_rgb(colour), _GROUNDS["dark"])
    return f":root{{{_rules(light)}}}\n@media (prefers-color-scheme: dark) {{:root{{{_rules(dark)}}}}}\n"


def _rules(key: _Rgb) -> str:
    """The colour of buttons and links, that of text on it, and what it turns to under the pointer."""
    ink, away = sorted((_WHITE, _BLACK), key=lambda ink: contrast(ink, key), reverse=True)
    return f"--key:{_hex(key)};--key-ink:{_hex(ink)};--key-over:{_hex(_mixed(key, away, 0.2))}"


def _legible(colour: _Rgb, grounds: tuple[_Rgb, ...]) -> _Rgb:
    return next(each for each in _lighter(colour) if all(contrast(each, ground) >= LEGIBLE for ground in grounds))


def _lighter(colour: _Rgb) -> Iterator[_Rgb]:
    """*colour*, and it nearer and nearer to white."""
    for step in range(_STEPS + 1):
        yield _mixed(colour, _WHITE, step / _STEPS)


def _mixed(one: _Rgb, other: _Rgb, share: float) -> _Rgb:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _rgb(text: str) -> _Rgb:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def _hex(colour: _Rgb) -> str:
    return "#" + "".join(f"{part:02x}" for part in colour)


def _luminance(colour: _Rgb) -> float:
    """The relative luminance (WCAG 2.2)."""
    red, green, blue = (
        c / 12.92 if (c := part / 255) <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4  # noqa: PLR2004 - sRGB's own
        for part in colour
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
