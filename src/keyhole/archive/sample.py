"""Write the archive of the demonstration: invented patients, real transfer syntaxes.

Pictures come from the files that pydicom ships, with everything about persons and places left out, and from
:mod:`keyhole.archive.phantom`. The same files come out every time, byte by byte, for one version of pydicom.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from keyhole.archive.phantom import INTERCEPT, SIZE, SLICES, slice_pixels

Progress = Callable[[int, int], None]

ROOT = "1.2.826.0.1.3680043.8.498.7245"
"""Under the arc that pydicom gives its users."""
_CT, _PDF = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.104.1"
_VERSION = "1"
_COMPLETE = ".keyhole-sample"
_KEPT_GROUPS = frozenset({0x0018, 0x0020, 0x0028, 0x0054, 0x7FE0})
_KEPT = frozenset({0x00080008, 0x00080016, 0x00080060, 0x00082111, 0x00082144})
_DROPPED = frozenset({0x00181000, 0x00181020, 0x00181030, 0x00181200, 0x00181201, 0x00200010, 0x00204000, 0x00186011})


@dataclass(frozen=True, slots=True)
class SampleStudy:
    """A study of the sample, as the demonstration speaks about it."""

    uid: str
    patient_id: str
    patient_name: str
    description: str
    date: str
    modalities: tuple[str, ...]
    instances: int


@dataclass(frozen=True, slots=True)
class _Person:
    id: str
    name: str
    birth: str
    sex: str


@dataclass(frozen=True, slots=True)
class _Series:
    """One series: a file of pydicom's, the generated CT, or the report."""

    description: str
    modality: str
    source: str

    @property
    def instances(self) -> int:
        return SLICES if self.source == _PHANTOM else 1


@dataclass(frozen=True, slots=True)
class _Study:
    number: int
    person: _Person
    description: str
    date: str
    series: tuple[_Series, ...]

    @property
    def uid(self) -> str:
        return f"{ROOT}.{self.number}"


_PHANTOM, _REPORT = "phantom", "report"
_ALICE = _Person("DEMO-0001", "DEMO^ALICE", "19720314", "F")
_BOB = _Person("DEMO-0002", "DEMO^BOB", "19550615", "M")
_CAROL = _Person("DEMO-0003", "DEMO^CAROL", "19881224", "F")

_STUDIES = (
    _Study(
        1, _ALICE, "CT chest", "20250310",
        (_Series("Axial, generated", "CT", _PHANTOM), _Series("Report", "DOC", _REPORT)),
    ),
    _Study(2, _ALICE, "CT chest (prior)", "20231106", (_Series("Spine, uncompressed", "CT", "CT_small.dcm"),)),
    _Study(
        3, _BOB, "MR abdomen", "20250204",
        (
            _Series("T1, uncompressed", "MR", "examples_overlay.dcm"),
            _Series("Localiser, JPEG-LS", "MR", "MR_small_jpeg_ls_lossless.dcm"),
            _Series("Localiser, JPEG 2000", "MR", "MR_small_jp2klossless.dcm"),
            _Series("Localiser, RLE", "MR", "MR_small_RLE.dcm"),
        ),
    ),
    _Study(4, _BOB, "US abdomen", "20241119", (_Series("Palette colour", "US", "examples_palette.dcm"),)),
    _Study(5, _CAROL, "Echocardiography", "20250227", (_Series("Cine, JPEG", "US", "examples_ybr_color.dcm"),)),
    _Study(6, _CAROL, "CT head", "20240808", (_Series("Axial, JPEG 2000 lossy", "CT", "693_J2KI.dcm"),)),
)  # fmt: skip


def write_sample(folder: Path, progress: Progress | None = None) -> list[SampleStudy]:
    """Write the sample below *folder*, unless it is there in full; returns what it holds, newest study first.

    *progress* hears of files written and files there will be. Raises OSError when the disk does not take them.
    """
    if not _complete(folder):
        total = sum(series.instances for study in _STUDIES for series in study.series)
        for done, (path, dataset) in enumerate(_files(), 1):
            _save(folder / path, dataset)
            if progress:
                progress(done, total)
        _replace(folder / _COMPLETE, "\n".join([_VERSION, *_listing(folder)]).encode())
    return [_described(study) for study in sorted(_STUDIES, key=lambda study: study.date, reverse=True)]


def _described(study: _Study) -> SampleStudy:
    modalities = tuple(dict.fromkeys(series.modality for series in study.series))
    instances = sum(series.instances for series in study.series)
    person = study.person
    return SampleStudy(study.uid, person.id, person.name, study.description, study.date, modalities, instances)


def _complete(folder: Path) -> bool:
    """Whether every file that was written last time is still there in its length."""
    try:
        return (folder / _COMPLETE).read_text().splitlines() == [_VERSION, *_listing(folder)]
    except (OSError, UnicodeDecodeError):
        return False


def _listing(folder: Path) -> list[str]:
    return [f"{path.stat().st_size} {path.relative_to(folder)}" for path in sorted(folder.rglob("*.dcm"))]


def _files() -> Iterator[tuple[str, Dataset]]:
    for study in _STUDIES:
        for number, series in enumerate(study.series, 1):
            place = f"{study.person.name.replace('^', ' ')}/{study.date} {study.description}/{number} {series.modality}"
            for instance in range(1, series.instances + 1):
                yield f"{place}/{instance:04d}.dcm", _labelled(_picture(series, instance), study, number, instance)


def _picture(series: _Series, number: int) -> Dataset:
    if series.source == _PHANTOM:
        return _phantom(number)
    return _report() if series.source == _REPORT else _bundled(series.source)


def _bundled(name: str) -> Dataset:
    """What pydicom ships as *name*, without all that tells of persons, places and devices."""
    with (files("pydicom") / "data" / "test_files" / name).open("rb") as file:
        source = dcmread(file)
    for tag in list(source.keys()):
        private = tag.group % 2 == 1
        if private or tag in _DROPPED or not (tag.group in _KEPT_GROUPS or tag in _KEPT):
            del source[tag]
    return source


def _new(sop_class: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = sop_class
    return dataset


def _phantom(number: int) -> Dataset:
    dataset = _new(_CT)
    dataset.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
    dataset.SliceThickness, dataset.KVP = "2.5", "120"
    dataset.PixelSpacing, dataset.ImageOrientationPatient = ["0.7", "0.7"], ["1", "0", "0", "0", "1", "0"]
    dataset.ImagePositionPatient = ["-179.2", "-179.2", f"{-2.5 * number:.1f}"]
    dataset.SliceLocation = f"{-2.5 * number:.1f}"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = SIZE
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = str(INTERCEPT), "1", "HU"
    dataset.WindowCenter, dataset.WindowWidth = ["40", "-600"], ["400", "1500"]
    dataset.add_new(0x7FE00010, "OW", slice_pixels(number))
    return dataset


def _report() -> Dataset:
    document = _pdf("Keyhole demonstration", "CT chest of DEMO ALICE: invented, like the patient.")
    dataset = _new(_PDF)
    dataset.ConversionType, dataset.BurnedInAnnotation = "WSD", "YES"
    dataset.DocumentTitle, dataset.MIMETypeOfEncapsulatedDocument = "Report", "application/pdf"
    dataset.EncapsulatedDocumentLength = len(document)
    dataset.EncapsulatedDocument = document + b"\0" * (len(document) % 2)
    return dataset


def _pdf(title: str, text: str) -> bytes:
    """A document of one page (ISO 32000-1 section 7.5)."""
    content = f"BT /F 24 Tf 72 760 Td ({title}) Tj /F 14 Tf 0 -40 Td ({text}) Tj ET"
    objects = (
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>",
        f"<</Length {len(content)}>>stream\n{content}\nendstream",
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    )
    written, offsets = "%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(written))
        written += f"{number} 0 obj{body}endobj\n"
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    head = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n"
    trailer = f"trailer<</Size {len(objects) + 1}/Root 1 0 R>>\nstartxref\n{len(written)}\n%%EOF\n"
    return (written + head + table + trailer).encode("ascii")


def _labelled(dataset: Dataset, study: _Study, series: int, instance: int) -> Dataset:
    person, made = study.person, study.series[series - 1]
    series_uid = f"{study.uid}.{series}"
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName, dataset.PatientID, dataset.IssuerOfPatientID = person.name, person.id, "KEYHOLE DEMO"
    dataset.PatientBirthDate, dataset.PatientSex = person.birth, person.sex
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study.uid, series_uid
    dataset.SOPInstanceUID, dataset.FrameOfReferenceUID = f"{series_uid}.{instance}", f"{series_uid}.0"
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = study.date
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = "101500"
    dataset.StudyDescription, dataset.SeriesDescription = study.description, made.description
    dataset.StudyID, dataset.AccessionNumber = str(study.number), f"DEMO{study.number:04d}"
    dataset.ReferringPhysicianName, dataset.Manufacturer = "DEMO^DOCTOR", "Keyhole demonstration"
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = made.modality, series, instance
    return dataset


def _save(path: Path, dataset: Dataset) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.ImplementationClassUID, meta.ImplementationVersionName = UID(f"{ROOT}.0"), "KEYHOLE"
    dataset.file_meta = meta
    part = path.with_name(f".{path.name}.part")
    dataset.save_as(part, enforce_file_format=True)
    part.replace(path)


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    os.replace(part, path)  # noqa: PTH105 - as above
