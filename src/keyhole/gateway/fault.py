"""A fault of our own: what nobody foresaw, told to the log in a form that may be read by anybody."""

from __future__ import annotations

import logging
import traceback

_log = logging.getLogger("keyhole")


def note(error: BaseException, doing: str) -> None:
    """Log that *error* happened while *doing* something: its kind and its places in the code.

    Not its words: whoever raised it may have put a name, a UID or an address of the archive into them.
    """
    places = (f"{place.filename}:{place.lineno} {place.name}" for place in traceback.extract_tb(error.__traceback__))
    _log.error("a fault while %s: %s at %s", doing, type(error).__name__, ", ".join(places))
