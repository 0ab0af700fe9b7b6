"""What became of each variable, and what is to be written."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Fate(StrEnum):
    """What became of a variable."""

    CARRIED = "carried"
    CHANGED = "changed"
    """Carried, and means something else here."""
    LEFT = "left"
    """Not carried."""
    PROBLEM = "problem"
    """Cannot be carried, and has to be put right first."""


@dataclass(frozen=True, slots=True)
class Told:
    """One variable, and what to know or do about it. No words hold a value: many are secret."""

    variable: str
    fate: Fate
    words: str


@dataclass(frozen=True, slots=True)
class CallerTable:
    """A table ``[plugin_callers.NAME]``."""

    user: str
    password: str = field(repr=False)
    server_id: str | None = None


@dataclass(slots=True)
class Outcome:
    """All of it, as far as it is worked out. ``secrets`` by the setting's name, to be written to files of their own."""

    settings: dict[str, str | int] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    callers: dict[str, CallerTable] = field(default_factory=dict)
    roles: str | None = None
    told: list[Told] = field(default_factory=list)

    def tell(self, variable: str, fate: Fate, words: str) -> None:
        """Say what became of *variable*, unless that is told already."""
        if all(each.variable != variable for each in self.told):
            self.told.append(Told(variable, fate, words))

    def carry(self, variable: str, setting: str, value: str | int, words: str = "") -> None:
        """Carry *variable* over as *setting*."""
        self.settings[setting] = value
        self.tell(variable, Fate.CHANGED if words else Fate.CARRIED, _as(setting, words))

    def carry_secret(self, variable: str, setting: str, value: str, words: str = "") -> None:
        """The same, in a file of its own."""
        self.secrets[setting] = value
        self.tell(variable, Fate.CHANGED if words else Fate.CARRIED, _as(f"{setting}_file", words))

    @property
    def problems(self) -> list[Told]:
        """What has to be put right before anything is written."""
        return [each for each in self.told if each.fate is Fate.PROBLEM]


def _as(setting: str, words: str) -> str:
    return f"as {setting}" + (f"; {words}" if words else "")
