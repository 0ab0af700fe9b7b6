"""Makers of DICOM studies for the tests: the study that was recorded, its neighbours, and series of any length.

Nothing here comes from a person. Codecs come from pydicom's own example files; uncompressed pictures are phantoms
(:mod:`tests.e2e.phantom`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydicom import Dataset, dcmread, examples
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    CTImageStorage,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    VLWholeSlideMicroscopyImageStorage,
)

from tests.e2e import phantom

VECTORS: Final = Path(__file__).parents[1] / "vectors"
ROOT: Final = "1.2.826.0.1.3680043.8.498.8152"
STUDY: Final = f"{ROOT}.1.1"
"""The study that was shared when OHIF's requests were recorded."""
PRIOR: Final = f"{ROOT}.1.2"
"""Another study of the same patient."""
EARLIER: Final = f"{ROOT}.1.3"
"""One more of them."""
STRANGER: Final = f"{ROOT}.2.1"
"""A study of somebody else."""
SLIDES: Final = f"{ROOT}.4.1"
"""The recorded whole-slide study, of a third patient."""


@dataclass(frozen=True, slots=True)
class Patient:
    """A person who does not exist."""

    id: str
    name: str


ANNA: Final = Patient("PAT-A-0001", "Quellwasser^Annabella")
BORIS: Final = Patient("PAT-B-0002", "Foreign^Borislav")
CLARA: Final = Patient("PAT-C-0003", "Slides^Claralinde")
PATIENTS: Final = (ANNA, BORIS, CLARA)


@dataclass(frozen=True, slots=True)
class Study:
    """What the instances of one study have in common."""

    uid: str
    patient: Patient
    description: str
    date: str = "20260115"
    folder: Path = field(default=Path())

    def instance(self, base: Dataset, series: str, number: int, **values: Any) -> Dataset:
        """A copy of *base* as instance *number* of *series* in this study."""
        made = Dataset(base)
        made.update(_attributes(_COMMON | values))
        made.update(
            _attributes(
                {
                    "PatientID": self.patient.id,
                    "PatientName": self.patient.name,
                    "StudyInstanceUID": self.uid,
                    "StudyDescription": self.description,
                    "StudyDate": self.date,
                    "SeriesInstanceUID": series,
                    "SOPInstanceUID": f"{series}.{number}",
                    "InstanceNumber": number,
                    "SeriesNumber": int(series.rpartition(".")[2]),
                }
            )
        )
        made.file_meta = FileMetaDataset()
        made.file_meta.TransferSyntaxUID = base.file_meta.TransferSyntaxUID
        made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
        made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
        return made


_COMMON: Final[Mapping[str, Any]] = {
    "SpecificCharacterSet": "ISO_IR 192",
    "PatientBirthDate": "19700203",
    "PatientSex": "F",
    "StudyTime": "101112",
    "SeriesDate": "20260115",
    "SeriesTime": "101213",
    "AccessionNumber": "",
    "ReferringPhysicianName": "",
    "StudyID": "1",
}


def _attributes(values: Mapping[str, Any]) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def _blank(sop_class: str, modality: str) -> Dataset:
    made = _attributes({"SOPClassUID": sop_class, "Modality": modality})
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made


def ct(study: Study, series: str, slices: int, size: int = 128, description: str = "phantom") -> Iterator[Dataset]:
    """A CT series of *slices* phantoms, head first, 2 mm apart."""
    for number in range(1, slices + 1):
        made = study.instance(
            _blank(CTImageStorage, "CT"),
            series,
            number,
            ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
            SeriesDescription=description,
            FrameOfReferenceUID=f"{series}.0.1",
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[0, 0, 2 * number],
            SliceLocation=2 * number,
            SliceThickness=2,
            PixelSpacing=[1, 1],
            SamplesPerPixel=1,
            PhotometricInterpretation="MONOCHROME2",
            Rows=size,
            Columns=size,
            BitsAllocated=16,
            BitsStored=16,
            HighBit=15,
            PixelRepresentation=0,
            RescaleIntercept=0,
            RescaleSlope=1,
            WindowCenter=phantom.WINDOW[0],
            WindowWidth=phantom.WINDOW[1],
        )
        made.PixelData = phantom.pixels(study.uid, number, size).tobytes()
        yield made


def _example(name: str) -> Dataset:
    path = get_testdata_file(name)
    assert isinstance(path, str), f"pydicom's example file {name} is missing"
    return dcmread(path)


def _pdf(study: Study, series: str) -> Dataset:
    document = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n"
    document += b"%" + b" " * 4000 + b"\ntrailer<</Root 1 0 R>>\n%%EOF\n"
    return study.instance(
        _blank(EncapsulatedPDFStorage, "DOC"),
        series,
        1,
        SeriesDescription="report",
        DocumentTitle="report",
        MIMETypeOfEncapsulatedDocument="application/pdf",
        EncapsulatedDocument=document,
        BurnedInAnnotation="YES",
        ConversionType="WSD",
    )


def recorded() -> Iterator[Dataset]:
    """The recorded study: 8 series and 67 instances, in the transfer syntaxes that the recording names."""
    study = Study(STUDY, ANNA, "the recorded study")
    yield from ct(study, f"{STUDY}.1", slices=60)
    yield study.instance(_example("MR_small.dcm"), f"{STUDY}.2", 1, SeriesDescription="MR")
    yield study.instance(examples.palette_color, f"{STUDY}.3", 1, SeriesDescription="palette")
    yield study.instance(examples.ybr_color, f"{STUDY}.4", 1, SeriesDescription="cine")
    yield _pdf(study, f"{STUDY}.5")
    yield study.instance(_example("MR_small_jpeg_ls_lossless.dcm"), f"{STUDY}.6", 1, SeriesDescription="JPEG-LS")
    yield study.instance(_example("MR_small_jp2klossless.dcm"), f"{STUDY}.7", 1, SeriesDescription="JPEG 2000")
    yield study.instance(_example("MR_small_RLE.dcm"), f"{STUDY}.8", 1, SeriesDescription="RLE")


def slides() -> Iterator[Dataset]:
    """The recorded whole-slide study: four small levels, and one of four tiles."""
    study = Study(SLIDES, CLARA, "a slide")
    tile = _example("SC_rgb_jpeg_dcmtk.dcm")
    (frame,) = generate_frames(tile.PixelData, number_of_frames=1)
    for series in range(1, 6):
        tiles = 4 if series == 5 else 1
        made = study.instance(
            tile, f"{SLIDES}.{series}", 1, SOPClassUID=VLWholeSlideMicroscopyImageStorage, Modality="SM"
        )
        made.file_meta.MediaStorageSOPClassUID = VLWholeSlideMicroscopyImageStorage
        made.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        made.NumberOfFrames = tiles
        made.TotalPixelMatrixColumns = made.TotalPixelMatrixRows = made.Rows * (2 if tiles == 4 else 1)
        made.PixelData = encapsulate([frame] * tiles)
        yield made


def neighbours() -> Iterator[Dataset]:
    """What a visitor of the recorded study must not see: the patient's other studies, and somebody else's."""
    yield from ct(Study(PRIOR, ANNA, "the prior", "20250110"), f"{PRIOR}.1", slices=5)
    yield from ct(Study(EARLIER, ANNA, "the one before", "20240110"), f"{EARLIER}.1", slices=5)
    yield from ct(Study(STRANGER, BORIS, "somebody else's"), f"{STRANGER}.1", slices=5)


def everything() -> Iterator[Dataset]:
    """All of it: 5 studies of 3 patients."""
    yield from recorded()
    yield from neighbours()
    yield from slides()


def write(folder: Path, instances: Iterable[Dataset]) -> Path:
    """Write *instances* below *folder*, a file each, and return the folder."""
    for made in instances:
        place = folder / str(made.StudyInstanceUID)
        place.mkdir(parents=True, exist_ok=True)
        made.save_as(place / f"{made.SOPInstanceUID}.dcm", enforce_file_format=True)
    return folder


@dataclass(frozen=True, slots=True)
class Recorded:
    """One line of the replay set."""

    scenario: str
    seq: int
    kind: str
    method: str
    target: str
    accept: str
    credential: str
    granted: str
    expect: str
    content_type: str | None = None

    @property
    def where(self) -> str:
        """Which line this is."""
        return f"{self.scenario} {self.seq} {self.kind}"


def replay() -> list[Recorded]:
    """The replay set, line by line."""
    lines = (VECTORS / "ohif-requests.jsonl").read_text().splitlines()
    names = Recorded.__dataclass_fields__
    return [Recorded(**{name: value for name, value in json.loads(line).items() if name in names}) for line in lines]


def instances_named() -> set[tuple[str, str, str]]:
    """Every instance that the replay set names, as study, series and instance."""
    pattern = re.compile(r"/studies/([0-9.]+)/series/([0-9.]+)/instances/([0-9.]+)")
    return {match.group(1, 2, 3) for line in replay() if (match := pattern.search(line.target))}
