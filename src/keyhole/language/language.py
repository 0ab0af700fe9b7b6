"""One language: its texts and its dates. What is loaded for it is loaded when somebody reads it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from types import MappingProxyType

from keyhole.language import catalogue

NAMES = MappingProxyType({"en": "English", "fr": "Français", "de": "Deutsch", "es": "Español"})
"""What each language calls itself, by BCP 47 tag."""

LANGUAGES = tuple(NAMES)
"""The tags of all languages, English first."""

_DATES = {"en": "en_GB"}
"""Whose way of writing dates is taken where a language has several: no reader mistakes 1 March 2026."""


def later(text: str) -> str:
    """*text* as it is, marked for the catalogues: it is translated when it is shown. Imported as ``_``."""
    return text


@dataclass(frozen=True, slots=True)
class Language:
    """A language by its tag, one of :data:`LANGUAGES`."""

    tag: str

    def __post_init__(self) -> None:
        """Refuse a language that there is none."""
        if self.tag not in NAMES:
            raise ValueError(f"no texts in {self.tag!r}")

    @property
    def name(self) -> str:
        """What the language calls itself."""
        return NAMES[self.tag]

    def gettext(self, text: str) -> str:
        """*text*, which is English, in this language; as it is where nobody has translated it."""
        return catalogue.of(self.tag).gettext(text) if text else ""

    def ngettext(self, one: str, many: str, count: int) -> str:
        """What is said of *count* things; *one* and *many* are English."""
        return catalogue.of(self.tag).ngettext(one, many, count)

    def day(self, day: date) -> str:
        """*day* with its month by name."""
        from babel.dates import format_date  # noqa: PLC0415 - some MB that an idle process has no use for

        return format_date(day, "long", locale=self._dates)

    def moment(self, moment: datetime) -> str:
        """An aware *moment* to the minute, in UTC, which it names: nobody can tell the reader's own zone."""
        from babel.dates import format_time  # noqa: PLC0415 - the same

        utc = moment.astimezone(UTC)
        return f"{self.day(utc)}, {format_time(utc, 'HH:mm', locale=self._dates)} UTC"

    def months(self) -> tuple[str, ...]:
        """The names of the months, January first, as they stand alone."""
        from babel.dates import get_month_names  # noqa: PLC0415 - the same

        names = get_month_names("wide", context="stand-alone", locale=self._dates)
        return tuple(names[number] for number in range(1, 13))

    @property
    def _dates(self) -> str:
        return _DATES.get(self.tag, self.tag)


ENGLISH = Language("en")


def language(tag: str | None) -> Language:
    """The language that a BCP 47 *tag* names (``de-AT`` is German); English for none, and for one that there is not."""
    primary = (tag or "").strip().partition("-")[0].lower()
    return Language(primary) if primary in NAMES else ENGLISH
