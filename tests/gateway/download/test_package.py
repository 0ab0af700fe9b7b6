"""From an archive's parts to the ZIP file: every instance checked, the length exact, nothing half of it complete."""

from __future__ import annotations

import io
import itertools
import threading
import tracemalloc
import zipfile
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

import pydicom
import pytest

from keyhole.dicom import dicomweb
from keyhole.dicom.route import Match
from keyhole.errors import ArchiveFailed, ForeignAnswer
from keyhole.gateway.download.head import HEAD_LONGEST, Head, read_head
from keyhole.gateway.download.instances import Begun, Instances, alone
from keyhole.gateway.download.package import Package, package_length, packed
from tests.gateway.download.files import BOUNDARY, END, body, file, part, pieces
from tests.gateway.gate import BAD, OK, OTHER_SERIES, SERIES

LONG = HEAD_LONGEST + 100_000
EOCD = b"PK\5\6"


def asked(path: str = f"/studies/{OK}") -> Match:
    found = dicomweb.match("GET", path.encode())
    assert isinstance(found, Match)
    return found


async def stream(data: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


async def package(
    data: bytes, sizes: Sequence[int] | None = None, *, size: int = 7000, path: str = f"/studies/{OK}"
) -> bytes:
    made = packed(stream(pieces(data, size)), Instances(BOUNDARY, asked(path)), Package(sizes))
    return b"".join([piece async for piece in made])


async def sent_before_failing(data: bytes, error: type[Exception], sizes: Sequence[int] | None = None) -> bytes:
    sent: list[bytes] = []
    with pytest.raises(error):
        await gathered(packed(stream(pieces(data, 5000)), Instances(BOUNDARY, asked()), Package(sizes)), sent)
    assert EOCD not in b"".join(sent)
    return b"".join(sent)


async def gathered(sending: AsyncIterator[bytes], sent: list[bytes]) -> None:
    async for piece in sending:
        sent += [piece]


FILES = (file(1), file(2, size=LONG), file(3, series=OTHER_SERIES), file(4))


@pytest.mark.parametrize("size", [100, 4096, 1 << 20, 1 << 30])
@pytest.mark.parametrize("known", [True, False])
async def test_the_files_are_in_it_as_they_came_and_the_length_was_known(size: int, known: bool) -> None:
    sizes = [len(content) for content in FILES] if known else None
    data = await package(body(*FILES), sizes, size=size)
    if sizes is not None:
        assert len(data) == package_length(sizes)
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert found.testzip() is None
        assert found.namelist() == [
            "DICOM/SE000001/IM000001",
            "DICOM/SE000001/IM000002",
            "DICOM/SE000002/IM000001",
            "DICOM/SE000001/IM000003",
            "DICOMDIR",
        ]
        assert [found.read(name) for name in found.namelist()[:-1]] == [*FILES]
        directory = pydicom.dcmread(io.BytesIO(found.read("DICOMDIR")))
    named = ["/".join(one.ReferencedFileID) for one in directory.DirectoryRecordSequence if "ReferencedFileID" in one]
    assert sorted(named) == sorted(name for name in found.namelist() if name != "DICOMDIR")


async def test_the_same_parts_in_other_pieces_are_the_same_bytes() -> None:
    assert await package(body(*FILES), size=999) == await package(body(*FILES), size=1 << 30)


async def test_a_series_can_be_packed_alone() -> None:
    data = await package(body(file(1), file(2)), path=f"/studies/{OK}/series/{SERIES}")
    assert len(zipfile.ZipFile(io.BytesIO(data)).namelist()) == 3


@pytest.mark.parametrize(
    ("intruder", "path"),
    [
        pytest.param(file(9, study=BAD), f"/studies/{OK}", id="another study"),
        pytest.param(file(9, study=BAD, size=LONG), f"/studies/{OK}", id="another study, long"),
        pytest.param(file(9, series=OTHER_SERIES), f"/studies/{OK}/series/{SERIES}", id="another series"),
        pytest.param(
            file(9), f"/studies/{OK}/series/{SERIES}/instances/{SERIES}.1", id="another instance of the series"
        ),
    ],
)
async def test_nothing_of_what_was_not_asked_for_goes_out(intruder: bytes, path: str) -> None:
    sent: list[bytes] = []
    data = body(file(1), intruder)
    with pytest.raises(ForeignAnswer):
        await gathered(packed(stream(pieces(data, 64)), Instances(BOUNDARY, asked(path)), Package()), sent)
    assert b"".join(sent).count(b"DICM") == 1
    assert BAD.encode() not in b"".join(sent)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(part(FILES[0]) + part(FILES[1])[:-5000], id="within a file"),
        pytest.param(part(FILES[0]), id="between two"),
        pytest.param(part(FILES[0]) + part(b"no DICOM file") + END, id="with something else"),
        pytest.param(part(FILES[0]) + part(b"") + END, id="with nothing"),
    ],
)
async def test_an_archive_that_breaks_off_leaves_nothing_that_looks_complete(data: bytes) -> None:
    sent = await sent_before_failing(data, ArchiveFailed)
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(sent))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda sizes: sizes[:-1], id="more files"),
        pytest.param(lambda sizes: [*sizes, 400], id="fewer files"),
        pytest.param(lambda sizes: [sizes[0] + 1, *sizes[1:]], id="a shorter file"),
        pytest.param(lambda sizes: [sizes[0], LONG // 2, *sizes[2:]], id="a longer file"),
    ],
)
async def test_what_is_not_as_it_was_announced_is_a_failure(change: Callable[[list[int]], list[int]]) -> None:
    await sent_before_failing(body(*FILES), ArchiveFailed, change([len(content) for content in FILES]))


async def test_a_study_without_instances_is_no_package() -> None:
    assert await sent_before_failing(END, ArchiveFailed) == b""


async def test_a_file_is_held_back_no_further_than_its_head() -> None:
    instances = Instances(BOUNDARY, asked())
    long = file(1, size=4 << 20)
    held, most = 0, 0
    for piece in pieces(part(long), 50_000):
        held += len(piece)
        for out in await instances.feed(piece):
            held -= len(out.start) if isinstance(out, Begun) else len(out)
        most = max(most, held)
    assert most <= HEAD_LONGEST + 51_000


async def test_a_head_is_read_where_it_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hostile one takes half a second, of which everybody else would have nothing."""
    readers = set()

    def read(start: bytes) -> Head:
        readers.add(threading.get_ident())
        return read_head(start)

    monkeypatch.setattr("keyhole.gateway.download.instances.read_head", read)
    await package(body(*FILES))
    assert readers
    assert threading.get_ident() not in readers


async def test_a_lie_about_the_length_of_a_part_changes_nothing() -> None:
    data = part(FILES[1], announced=12) + part(FILES[0], announced=10**18) + END
    with zipfile.ZipFile(io.BytesIO(await package(data))) as found:
        assert found.testzip() is None
        assert found.read("DICOM/SE000001/IM000001") == FILES[1]


async def test_one_instance_comes_bare() -> None:
    path = f"/studies/{OK}/series/{SERIES}/instances/{SERIES}.2"
    bare = alone(stream(pieces(body(FILES[1]), 9000)), Instances(BOUNDARY, asked(path)))
    assert b"".join([piece async for piece in bare]) == FILES[1]


@pytest.mark.parametrize("files", [(), (FILES[0], FILES[0])])
async def test_several_where_one_was_asked_for_or_none_are_a_failure(files: tuple[bytes, ...]) -> None:
    with pytest.raises(ArchiveFailed):
        async for _ in alone(stream([body(*files)]), Instances(BOUNDARY, asked())):
            pass


@pytest.mark.slow
async def test_thousands_of_instances_hold_less_than_a_kilobyte_each() -> None:
    content, count = file(1000), 3000
    parts = (part(content.replace(b".1000", b".%d" % number)) for number in range(1000, 1000 + count))
    package = Package()
    sending = packed(stream(itertools.chain(parts, [END])), Instances(BOUNDARY, asked()), package)
    tracemalloc.start()
    try:
        async for _ in sending:
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert package.count == count
    assert peak < HEAD_LONGEST + count * 1024
