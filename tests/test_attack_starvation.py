"""However many workers there are, one link cannot take all connections to the archive."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyhole.settings import Settings
from keyhole.wiring.archives import at_once, connections, seats


def settings(archive: str, data: Path, **more: int) -> Settings:
    return Settings(archive=archive, data=data, public_url="http://127.0.0.1:8000", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [1, 2, 4, 8, 64])
@pytest.mark.parametrize("asked", [1, 32, 1000])
def test_some_are_left_for_others(tmp_path: Path, workers: int, asked: int) -> None:
    given = settings("https://archive.example/dicom-web", tmp_path, workers=workers, requests_per_visit=asked)
    assert 0 < at_once(given) < connections(given)
    assert at_once(given) <= asked


def test_a_folder_has_no_connections_to_share_out(tmp_path: Path) -> None:
    assert at_once(settings(str(tmp_path), tmp_path, workers=8)) == 32


@pytest.mark.parametrize("workers", [1, 2, 4, 8, 64])
def test_one_link_has_not_all_seats_and_readers_not_all_connections(tmp_path: Path, workers: int) -> None:
    given = settings("https://archive.example/dicom-web", tmp_path, workers=workers, requests_per_visit=1000)
    assert at_once(given) < seats(given) < connections(given)
