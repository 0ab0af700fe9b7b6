"""A study of nobody's, to try things out with."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Final

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

_ROOT: Final = "2.25"
_SIDE = 2


@dataclass(frozen=True, slots=True)
class Specimen:
    """One study of one patient, whose id no other patient has."""

    patient: str
    study: str
    series: str

    @classmethod
    def new(cls, unique: str) -> Specimen:
        """A specimen that is told from all others by *unique*, 32 hexadecimal digits (PS3.5 annex B.2)."""
        number = int(unique, 16)
        return cls(f"KEYHOLE-DOCTOR-{unique}", f"{_ROOT}.{number}", f"{_ROOT}.{number}.1"[:64])

    def file(self, number: int) -> bytes:
        """The instance *number* of it, as a file (PS3.10): four black pixels."""
        item = Dataset()
        item.SOPClassUID = SecondaryCaptureImageStorage
        item.SOPInstanceUID = f"{self.series}.{number}"[:64]
        item.StudyInstanceUID, item.SeriesInstanceUID = self.study, self.series
        item.PatientID = item.PatientName = self.patient
        item.StudyDescription = "keyhole doctor: to be removed"
        item.Modality, item.ConversionType = "OT", "SYN"
        item.InstanceNumber = number
        item.StudyDate = item.StudyTime = item.AccessionNumber = item.PatientBirthDate = item.PatientSex = ""
        item.Rows = item.Columns = _SIDE
        item.SamplesPerPixel, item.PhotometricInterpretation = 1, "MONOCHROME2"
        item.BitsAllocated, item.BitsStored, item.HighBit, item.PixelRepresentation = 8, 8, 7, 0
        item.PixelData = bytes(_SIDE * _SIDE)
        item.file_meta = FileMetaDataset()
        item.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        content = BytesIO()
        item.save_as(content, enforce_file_format=True)
        return content.getvalue()
