"""One process indexes, the others read; when it dies another one takes over."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from keyhole.archive.election import Election
from keyhole.archive.folder import FolderArchive
from keyhole.errors import ArchiveFailed
from tests.archive.makers import found, image, save

OTHER_PROCESS = """
import asyncio, sys
from pathlib import Path
from keyhole.archive.folder import FolderArchive

async def main():
    archive = FolderArchive("demo", Path(sys.argv[1]), Path(sys.argv[2]), every=0.05)
    await archive.rescan()
    print("elected" if archive.elected else "reads", flush=True)
    await archive.start()
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def _until(archive: FolderArchive, studies: list[str]) -> None:
    for _ in range(2000):
        if sorted(await found(archive, "/studies")) == studies:
            return
        await asyncio.sleep(0.01)
    pytest.fail("the change was not noticed")


def test_one_candidate_is_elected_at_a_time(tmp_path: Path) -> None:
    one, two = Election(tmp_path / "lock"), Election(tmp_path / "lock")
    assert (one.stand(), one.stand(), two.stand()) == (True, True, False)
    one.resign()
    one.resign()
    assert (two.stand(), one.stand(), one.won, two.won) == (True, False, False, True)
    two.resign()


async def test_another_process_takes_over_when_the_elected_one_is_killed(folder: Path, tmp_path: Path) -> None:
    save(folder / "1", image())
    index = tmp_path / "index.sqlite"
    command = [sys.executable, "-c", OTHER_PROCESS, str(folder), str(index)]
    elected = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220 - not waited for
    assert elected.stdout is not None
    try:
        assert await asyncio.to_thread(elected.stdout.readline) == "elected\n"
        archive = FolderArchive("demo", folder, index, every=0.05)
        assert await archive.rescan() is None
        assert not archive.elected
        assert await found(archive, "/studies") == ["1.1"]
        await archive.start()
        save(folder / "2", image("1.2", "1.2.1", "1.2.1.1"))
        await _until(archive, ["1.1", "1.2"])
        assert not archive.elected
    finally:
        elected.kill()
        elected.wait()
        elected.stdout.close()
    save(folder / "3", image("1.3", "1.3.1", "1.3.1.1"))
    (folder / "1").unlink()
    await _until(archive, ["1.2", "1.3"])
    assert archive.elected
    await archive.close()


async def test_many_archives_in_one_process_share_an_index_too(folder: Path, tmp_path: Path) -> None:
    save(folder / "1", image())
    archives = [FolderArchive("demo", folder, tmp_path / "index.sqlite", every=0.05) for _ in range(4)]
    await asyncio.gather(*(archive.start() for archive in archives))
    for _ in range(1000):
        if any(archive.elected for archive in archives):
            break
        await asyncio.sleep(0.01)
    (elected,) = [archive for archive in archives if archive.elected]
    await elected.rescan()
    for archive in archives:
        await _until(archive, ["1.1"])
    await elected.close()
    save(folder / "2", image("1.2", "1.2.1", "1.2.1.1"))
    for archive in archives:
        if archive is not elected:
            await _until(archive, ["1.1", "1.2"])
            await archive.close()


async def test_searches_go_on_while_the_index_is_written(folder: Path, tmp_path: Path) -> None:
    for number in range(300):
        save(folder / f"{number}", image(f"2.{number}", f"2.{number}.1", f"2.{number}.1.1"))
    archive = FolderArchive("demo", folder, tmp_path / "index.sqlite", every=0.05)
    save(folder / "0", image())
    indexing = asyncio.create_task(archive.rescan())
    seen = set()
    while not indexing.done():
        if (tmp_path / "index.sqlite").exists():
            with contextlib.suppress(ArchiveFailed):  # in the first moments there are no tables
                seen.add(len(await found(archive, "/studies")))
        await asyncio.sleep(0.01)
    await indexing
    assert len(await found(archive, "/studies")) == 300
    assert all(count % 100 == 0 for count in seen)
    await archive.close()


async def test_an_archive_closes_while_it_indexes(folder: Path, tmp_path: Path) -> None:
    for number in range(200):
        save(folder / f"{number}", image(f"2.{number}", f"2.{number}.1", f"2.{number}.1.1"))
    archive = FolderArchive("demo", folder, tmp_path / "index.sqlite", every=0.05)
    await archive.start()
    await asyncio.sleep(0.02)
    await archive.close()
    again = FolderArchive("demo", folder, tmp_path / "index.sqlite", every=0.05)
    await again.rescan()
    assert len(await found(again, "/studies")) == 200
    await again.close()
