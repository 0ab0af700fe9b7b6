"""A Keyhole to operate: the command line in this process, over a data folder of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import environment, here, sample
from tests.postgres import postgres, postgresql_url
from tests.servers.keyhole import Keyhole, keyhole

__all__ = ["environment", "here", "postgres", "postgresql_url", "sample"]

STUDY = "1.2.826.0.1.3680043.8.498.7245.1"


@pytest.fixture
def archive(sample: Path) -> Mapping[str, str]:
    """The settings of a folder of invented studies."""
    return {"KEYHOLE_ARCHIVE": str(sample), "KEYHOLE_ARCHIVE_NAME": "main"}


@contextmanager
def node(folder: Path, archive: Mapping[str, str], database: str, keys: str | None = None) -> Iterator[Keyhole]:
    """A node over a database that others use too, with a ring that was copied to it, or its own."""
    (folder / "data").mkdir(parents=True)
    if keys is not None:
        (folder / "data" / "keys.json").touch(mode=0o600)
        (folder / "data" / "keys.json").write_text(keys)
    with keyhole(folder, archive, database=database) as running:
        yield running
