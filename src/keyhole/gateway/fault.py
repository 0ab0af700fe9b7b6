"""What breakage is called, and what the log is told of a fault of our own: one that nobody foresaw."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from types import MappingProxyType

from keyhole.access.decision import Reason
from keyhole.errors import ArchiveFailed, ArchiveTimeout, ForeignAnswer, ProviderFailed, StoreFailed

_NAMES: Mapping[type[BaseException], Reason] = MappingProxyType(
    {
        ArchiveTimeout: Reason.ARCHIVE_TIMEOUT,
        ForeignAnswer: Reason.FOREIGN_ANSWER,
        ArchiveFailed: Reason.ARCHIVE_FAILED,
        StoreFailed: Reason.STORE_FAILED,
        ProviderFailed: Reason.PROVIDER_FAILED,
    }
)
"""The narrower kinds first. Everything else is our fault."""

_log = logging.getLogger("keyhole")


def named(error: BaseException | None) -> Reason:
    """What *error* is called on the trail and to whoever asked. Of one that nobody foresaw the log is told as well."""
    for kind, reason in _NAMES.items():
        if isinstance(error, kind):
            return reason
    if error is not None:
        note(error, "answering")
    return Reason.FAULT


def note(error: BaseException, doing: str) -> None:
    """Log that *error* happened while *doing* something: its kind and its places in the code.

    Not its words: whoever raised it may have put a name, a UID or an address of the archive into them.
    """
    places = (f"{place.filename}:{place.lineno} {place.name}" for place in traceback.extract_tb(error.__traceback__))
    _log.error("a fault while %s: %s at %s", doing, type(error).__name__, ", ".join(places))
