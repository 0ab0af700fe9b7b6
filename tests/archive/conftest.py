from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from keyhole.archive.folder import FolderArchive


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder whose name has a space."""
    path = tmp_path / "the images"
    path.mkdir()
    return path


@pytest.fixture
async def serve(folder: Path, tmp_path: Path) -> AsyncIterator[Callable[[], Awaitable[FolderArchive]]]:
    """Index the folder as it is now; every call gives the same archive."""
    archive = FolderArchive("demo", folder, tmp_path / "index" / "folder.sqlite")

    async def serving() -> FolderArchive:
        assert await archive.rescan() is not None
        return archive

    yield serving
    await archive.close()
