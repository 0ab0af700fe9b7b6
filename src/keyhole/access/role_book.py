"""What roles may do in Orthanc Explorer 2, as the store keeps it. What the document says is read in ``identity``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleBook:
    """One version of the roles. ``document`` is JSON; versions count from 1, and the highest is in force."""

    version: int
    document: str
    changed_at: datetime
    changed_by: str
