"""Versions of the Explorer's roles are values."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from keyhole.access.role_book import RoleBook
from tests.access.world import NOW


def test_a_version_of_the_roles_never_changes() -> None:
    book = RoleBook(version=1, document="{}", changed_at=NOW, changed_by="user:anna")
    with pytest.raises(FrozenInstanceError):
        book.version = 2  # type: ignore[misc]
