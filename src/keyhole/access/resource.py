"""What may be asked for: a node of the DICOM tree, and what may be done to it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum, StrEnum

_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_UID_LONGEST = 64


def is_uid(text: str) -> bool:
    """Whether *text* is a UID (PS3.5 section 9.1). Components with leading zeros occur in real data and pass."""
    return len(text) <= _UID_LONGEST and _UID.fullmatch(text) is not None


class Action(StrEnum):
    """Everything that can be done to a resource. What is not here cannot be granted."""

    SEARCH = "search"
    RETRIEVE = "retrieve"
    RENDER = "render"
    DOWNLOAD = "download"
    STORE = "store"
    DELETE = "delete"
    MODIFY = "modify"
    ANONYMISE = "anonymise"
    SEND = "send"
    LABEL = "label"
    SHARE = "share"
    ASK = "ask"
    """Ask whether others may do something: for applications that enforce what is decided here."""
    AUDIT = "audit"
    """See who can reach something, and through what."""
    ADMINISTER = "administer"


class Level(IntEnum):
    """Levels of the DICOM tree (PS3.3 section 7), with the archive that holds the tree as its root."""

    ARCHIVE = 0
    PATIENT = 1
    STUDY = 2
    SERIES = 3
    INSTANCE = 4


_ARCHIVE, _PATIENT = Level.ARCHIVE, Level.PATIENT  # looked up once: the comparisons are on the way of every image
_NAMES_IN_PATH = {Level.ARCHIVE: 0, Level.PATIENT: 2, Level.STUDY: 1, Level.SERIES: 2, Level.INSTANCE: 3}


@dataclass(frozen=True, slots=True, order=True)
class Resource:
    """A node of the tree in one archive.

    ``path`` names it: ``()`` for the archive, ``(PatientID, issuer)`` for a patient (the issuer may be empty), and the
    UIDs from the study down for the rest. A study's patient is not part of its name: it is its lineage.
    """

    archive: str
    level: Level
    path: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what names nothing, so that nobody downstream has to check again."""
        if not self.archive:
            raise ValueError("a resource needs the name of its archive")
        if len(self.path) != _NAMES_IN_PATH[self.level]:
            raise ValueError(f"a {self.level.name.lower()} is not named by {len(self.path)} parts")
        if self.level is Level.PATIENT and not self.path[0]:
            raise ValueError("a patient without PatientID is nobody: name the study instead")
        if self.level >= Level.STUDY and not all(map(is_uid, self.path)):
            raise ValueError(f"a {self.level.name.lower()} is named by UIDs")

    def __hash__(self) -> int:
        """Of the path alone: the generated one hashes the level's name anew each time, on the way of every image."""
        return hash(self.path)

    @classmethod
    def whole(cls, archive: str) -> Resource:
        """The archive itself."""
        return cls(archive, Level.ARCHIVE)

    @classmethod
    def patient(cls, archive: str, patient_id: str, issuer: str = "") -> Resource:
        """The patient whom *issuer* calls *patient_id*."""
        return cls(archive, Level.PATIENT, (patient_id, issuer))

    @classmethod
    def of(cls, archive: str, *uids: str) -> Resource:
        """The study, series or instance that one, two or three *uids* name; the archive for none."""
        if not uids:
            return cls.whole(archive)
        return cls(archive, Level(Level.PATIENT + len(uids)), uids)

    @property
    def study(self) -> str | None:
        """The StudyInstanceUID of the study that this is, or is part of; None above studies."""
        return self.path[0] if self.level >= Level.STUDY else None

    @property
    def series(self) -> str | None:
        """The SeriesInstanceUID of the series that this is, or is part of; None above series."""
        return self.path[1] if self.level >= Level.SERIES else None

    def contains(self, other: Resource) -> bool:
        """Whether *other* is this resource or lies below it, as far as names alone tell.

        Which studies a patient has is not in their names: see :class:`keyhole.access.decision.Lineage`.
        """
        path = self.path
        if self.archive != other.archive or len(path) > len(other.path):
            return False
        if self.level is _ARCHIVE:
            return True
        if self.level is _PATIENT or other.level is _PATIENT:
            return self == other
        return other.path[: len(path)] == path

    def __str__(self) -> str:
        """The resource as the trail and the command line write it; a patient's id is not written."""
        if self.level is Level.PATIENT:
            return f"{self.archive}:patient"
        return f"{self.archive}:{'/'.join(self.path)}"
