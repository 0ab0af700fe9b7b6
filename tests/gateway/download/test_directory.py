"""The DICOMDIR of what was packed: readable, complete, and never longer than was reserved for it."""

from __future__ import annotations

import io
from typing import Any

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from keyhole.gateway.download import records
from keyhole.gateway.download.directory import Directory, reserved
from keyhole.gateway.download.head import Head, read_head
from tests.archive.makers import image
from tests.gateway.download.files import written

STORAGE = "1.2.840.10008.5.1.4.1.1."


def listed(*datasets: Dataset, size: int | None = None) -> pydicom.FileDataset:
    directory = Directory()
    for number, dataset in enumerate(datasets, 1):
        directory.add(read_head(written(dataset)), ("DICOM", "SE000001", f"IM{number:06}"))
    data = directory.encode(size)
    assert size in (None, len(data))
    return pydicom.dcmread(io.BytesIO(data))


def leaf(**values: Any) -> Dataset:
    """The record of one instance."""
    return listed(image(**values)).DirectoryRecordSequence[-1]


def test_it_is_a_basic_directory_that_says_where_every_file_is() -> None:
    found = listed(
        image(InstanceNumber=1), image(uid="1.1.1.2", InstanceNumber=2), image(series="1.1.2", uid="1.1.2.1")
    )
    assert found.file_meta.MediaStorageSOPClassUID == "1.2.840.10008.1.3.10"
    kinds = [record.DirectoryRecordType for record in found.DirectoryRecordSequence]
    assert kinds == ["PATIENT", "STUDY", "SERIES", "IMAGE", "IMAGE", "SERIES", "IMAGE"]
    images = [record for record in found.DirectoryRecordSequence if "ReferencedFileID" in record]
    assert [list(one.ReferencedFileID) for one in images] == [["DICOM", "SE000001", f"IM00000{n}"] for n in (1, 2, 3)]
    assert [one.ReferencedSOPInstanceUIDInFile for one in images] == ["1.1.1.1", "1.1.1.2", "1.1.2.1"]
    assert images[1].InstanceNumber == 2


def test_every_offset_leads_to_the_record_it_should() -> None:
    found = listed(image(), image(uid="1.1.1.2"), image(series="1.1.2", uid="1.1.2.1"))
    at = {item.seq_item_tell: item for item in found.DirectoryRecordSequence}

    def below(offset: int) -> list[Any]:
        tree = []
        while offset:
            record = at[offset]
            lower = below(record.OffsetOfReferencedLowerLevelDirectoryEntity)
            tree.append((record.DirectoryRecordType, lower) if lower else record.DirectoryRecordType)
            offset = record.OffsetOfTheNextDirectoryRecord
        return tree

    first = found.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity
    assert below(first) == [("PATIENT", [("STUDY", [("SERIES", ["IMAGE", "IMAGE"]), ("SERIES", ["IMAGE"])])])]
    assert first == found.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity


def test_names_keep_their_character_set() -> None:
    found = listed(image(SpecificCharacterSet="ISO_IR 144", PatientName="Жюль^Дюпон"))
    assert found.DirectoryRecordSequence[0].PatientName == "Жюль^Дюпон"


@pytest.mark.parametrize(
    ("sop_class", "kind"),
    [
        ("2", "IMAGE"),
        ("77.1.6", "IMAGE"),
        ("66.4", "IMAGE"),
        ("88.11", "SR DOCUMENT"),
        ("88.67", "SR DOCUMENT"),
        ("88.59", "KEY OBJECT DOC"),
        ("11.1", "PRESENTATION"),
        ("9.1.1", "WAVEFORM"),
        ("104.1", "ENCAP DOC"),
        ("481.2", "RT DOSE"),
        ("481.3", "RT STRUCTURE SET"),
        ("481.5", "RT PLAN"),
        ("66", "RAW DATA"),
        ("66.1", "REGISTRATION"),
        ("66.2", "FIDUCIAL"),
    ],
)
def test_the_type_of_a_record_follows_from_the_class(sop_class: str, kind: str) -> None:
    assert leaf(SOPClassUID=STORAGE + sop_class).DirectoryRecordType == kind


def test_what_is_no_class_of_storage_is_an_image() -> None:
    assert records.record_type("1.2.3") == records.record_type("") == "IMAGE"


def test_the_keys_of_a_document_are_those_it_has() -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "18748-4", "LN", "Report"
    report = leaf(SOPClassUID=f"{STORAGE}88.11", CompletionFlag="COMPLETE", ConceptNameCodeSequence=[code])
    assert report.CompletionFlag == "COMPLETE"
    assert report.ConceptNameCodeSequence[0].CodeMeaning == "Report"
    assert leaf(SOPClassUID=f"{STORAGE}104.1").MIMETypeOfEncapsulatedDocument == "application/pdf"


text = st.binary(max_size=300)
heads = st.builds(
    Head,
    uids=st.tuples(st.just("1.2"), st.sampled_from(["1.3", "1.4", "1.5"]), st.just("1." + "9" * 62)),
    sop_class=st.sampled_from([STORAGE + "2", STORAGE + "88.11", STORAGE + "11.1", STORAGE + "104.1", ""]),
    transfer_syntax=st.just("1.2.840.10008.1.2.4.201"),
    values=st.fixed_dictionaries(
        {},
        optional=dict.fromkeys((524293, 1048592, 528432, 528446, 7340161, 4236433, 4325392), text),
    ),
    code=st.fixed_dictionaries({}, optional={tag: text for tag, _ in records.OF_CODE}),
)


@given(st.lists(heads, max_size=6))
def test_whatever_the_instances_say_it_fits_into_what_is_reserved(said: list[Head]) -> None:
    directory = Directory()
    for number, head in enumerate(said, 1):
        directory.add(head, ("DICOM", "SE000001", f"IM{number:06}"))
    room = reserved(len(said))
    padded = directory.encode(room)
    assert len(padded) == room
    found = pydicom.dcmread(io.BytesIO(padded))
    files = [record for record in found.DirectoryRecordSequence if "ReferencedFileID" in record]
    assert len(files) == len(said)
    assert directory.encode() == padded[: len(directory.encode())]


def test_the_same_instances_are_the_same_directory_and_others_another() -> None:
    one, same, other = (listed(image(uid=uid)) for uid in ("1.1.1.1", "1.1.1.1", "1.1.1.2"))
    name = "MediaStorageSOPInstanceUID"
    assert one.file_meta[name].value == same.file_meta[name].value != other.file_meta[name].value
