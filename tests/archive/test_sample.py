"""The sample is what the demonstration promises."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from keyhole.archive import sample
from keyhole.archive.folder import FolderArchive
from keyhole.archive.phantom import SLICES, slice_pixels
from keyhole.archive.sample import ROOT, SampleStudy, write_sample
from tests.archive.makers import ANY_SYNTAX, ask

pytestmark = pytest.mark.slow

Serve = Callable[[], Awaitable[FolderArchive]]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[SampleStudy], list[tuple[int, int]]]:
    folder = tmp_path_factory.mktemp("sample") / "files"
    heard: list[tuple[int, int]] = []
    return folder, write_sample(folder, lambda done, total: heard.append((done, total))), heard


def _digest(folder: Path) -> str:
    files = sorted(folder.rglob("*.dcm"))
    return hashlib.sha256(
        b"".join(str(path.relative_to(folder)).encode() + path.read_bytes() for path in files)
    ).hexdigest()


def test_it_has_patients_studies_a_prior_and_several_transfer_syntaxes(
    written: tuple[Path, list[SampleStudy], list[tuple[int, int]]],
) -> None:
    folder, studies, _ = written
    assert len({study.patient_id for study in studies}) >= 3
    assert len(studies) >= 6
    assert [study.date for study in studies] == sorted((study.date for study in studies), reverse=True)
    newest = studies[0]
    assert any(other.patient_id == newest.patient_id and other.date < newest.date for other in studies)
    files = [pydicom.dcmread(path, stop_before_pixels=True) for path in folder.rglob("*.dcm")]
    assert len({file.file_meta.TransferSyntaxUID for file in files}) >= 5
    assert {file.StudyInstanceUID for file in files} == {study.uid for study in studies}
    assert len(files) == sum(study.instances for study in studies)


def test_everybody_in_it_is_invented(written: tuple[Path, list[SampleStudy], list[tuple[int, int]]]) -> None:
    for path in written[0].rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        assert str(dataset.PatientName).startswith("DEMO^")
        assert dataset.PatientID.startswith("DEMO-")
        names = [element for element in dataset.iterall() if element.VR == "PN"]
        assert {str(element.value).partition("^")[0] for element in names} == {"DEMO"}
        assert not any(element.tag.is_private for element in dataset.iterall())
        assert "InstitutionName" not in dataset
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
            assert dataset[keyword].value.startswith(f"{ROOT}.")


def test_progress_ends_with_everything(written: tuple[Path, list[SampleStudy], list[tuple[int, int]]]) -> None:
    _, studies, heard = written
    total = sum(study.instances for study in studies)
    assert heard == [(done, total) for done in range(1, total + 1)]


def test_the_same_bytes_come_out_every_time(
    written: tuple[Path, list[SampleStudy], list[tuple[int, int]]], tmp_path: Path
) -> None:
    assert write_sample(tmp_path) == written[1]
    assert _digest(tmp_path) == _digest(written[0])


def test_what_is_complete_is_not_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studies = write_sample(tmp_path)
    before = _digest(tmp_path)
    victim = next(tmp_path.rglob("*.dcm"))
    with monkeypatch.context() as patch:
        patch.setattr(sample, "_files", lambda: pytest.fail("written again"))
        assert write_sample(tmp_path) == studies
    victim.write_bytes(b"cut")
    write_sample(tmp_path)
    assert _digest(tmp_path) == before


def test_every_slice_is_another_and_shows_its_number() -> None:
    slices = [slice_pixels(number) for number in range(1, SLICES + 1)]
    assert len(set(slices)) == SLICES
    pixels = np.frombuffer(slices[60], "<u2").reshape(512, 512)
    assert pixels.max() < 4096
    assert len(np.unique(pixels)) >= 6
    marker = [np.frombuffer(one, "<u2").reshape(512, 512)[16:51, 16:450] for one in slices]
    assert len({one.tobytes() for one in marker}) == SLICES


async def test_the_archive_serves_all_of_it(
    written: tuple[Path, list[SampleStudy], list[tuple[int, int]]], tmp_path: Path
) -> None:
    folder, studies, _ = written
    archive = FolderArchive("demo", folder, tmp_path / "index.sqlite")
    await archive.rescan()
    assert (archive.unreadable, archive.duplicates, archive.warnings) == ([], [], [])
    answered = (await ask(archive, "/studies", "includefield=StudyDescription")).json
    assert [one["0020000D"]["Value"][0] for one in answered] == [study.uid for study in studies]
    assert [one["00081030"]["Value"][0] for one in answered] == [study.description for study in studies]
    for study in studies:
        for one in (await ask(archive, f"/studies/{study.uid}/metadata")).json:
            series, uid = one["0020000E"]["Value"][0], one["00080018"]["Value"][0]
            place = f"/studies/{study.uid}/series/{series}/instances/{uid}"
            if "00420011" in one:
                path = one["00420011"]["BulkDataURI"].removeprefix(archive.root)
                ((_, document),) = (await ask(archive, path, accept="multipart/related; type=application/pdf")).parts
                assert document.startswith(b"%PDF-")
                assert document.endswith(b"%%EOF\n")
            else:
                assert (await ask(archive, f"{place}/frames/1", accept=ANY_SYNTAX)).status == 200
    await archive.close()
