"""Many files in bounded memory, and uploads across kill -9."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest

from keyhole.archive.folder import FolderArchive
from tests.archive.makers import found

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore:::pydicom")]

ROOT = Path(__file__).parents[2]
_INDEXING = """
import asyncio, json, sys
from pathlib import Path
from bench.index import measure, write
where = Path(sys.argv[1])
write(where / "files", 5000)
print(json.dumps(asyncio.run(measure(where / "files", where / "index.sqlite", 500))))
"""
_UPLOADING = """
import asyncio, sys, uuid
from pathlib import Path
from keyhole.archive.folder import FolderArchive
from tests.archive.makers import image
from tests.archive.test_uploads import body, post, whole

async def main():
    folder, index = map(Path, sys.argv[1:])
    archive = FolderArchive("demo", folder, index, uploads=True, every=0.01)
    await archive.rescan()
    await archive.start()
    print("ready", flush=True)
    async def store():
        while True:
            uids = [f"2.25.{uuid.uuid4().int}" for _ in range(3)]
            answer = await post(archive, body(*(whole(image(uid=uid)) for uid in uids)), size=500)
            assert answer.status == 200, answer.content
            print(*uids, flush=True)
    await asyncio.gather(store(), store())

asyncio.run(main())
"""


def _run(program: str, *arguments: Path) -> subprocess.Popen[str]:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_memory_does_not_grow_with_the_number_of_files(tmp_path: Path) -> None:
    output, _ = _run(_INDEXING, tmp_path).communicate()
    figures = json.loads(output)
    assert figures["late"] / figures["early"] < 1.15


def _answered(folder: Path, index: Path, after: int) -> list[str]:
    """What an uploading process answered for until it was killed, somewhere after its *after*th answer."""
    process = _run(_UPLOADING, folder, index)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(after + 1)]
    assert lines[0] == "ready\n"
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    # The last line may be cut off: nobody has been told of what is in it.
    whole = "".join([*lines[1:], rest]).rpartition("\n")[0]
    return whole.split()


def test_no_instance_that_was_answered_for_is_lost_to_kill_9(tmp_path: Path) -> None:
    folder, index = tmp_path / "files", tmp_path / "index.sqlite"
    folder.mkdir()
    chance = random.Random(7)
    answered = {uid for _ in range(10) for uid in _answered(folder, index, chance.randrange(12))}
    assert len(answered) > 30
    assert asyncio.run(_there(folder, index)) >= answered
    files = [path for path in folder.rglob("*.dcm") if not path.name.startswith(".")]
    assert {str(pydicom.dcmread(path).SOPInstanceUID) for path in files} >= answered


async def _there(folder: Path, index: Path) -> set[str]:
    """What is indexed after the last kill; it agrees with the folder."""
    archive = FolderArchive("demo", folder, index)
    await archive.rescan()
    assert archive.unreadable == archive.duplicates == []
    outcome = await archive.rescan()
    assert outcome is not None
    assert not outcome.changed
    uids = set(await found(archive, "/instances"))
    assert len(uids) == outcome.files
    await archive.close()
    return uids
