"""How often strangers may do something, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Bucket:
    """How often something may be done by somebody: *at_once*, and one more in each *every*.

    ``name`` holds no address in the clear: it is kept.
    """

    name: str
    at_once: int
    every: timedelta
