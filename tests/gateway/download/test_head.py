"""The beginning of a file says which instance it is, however it is written; or it is nobody's."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from keyhole.errors import ArchiveFailed
from keyhole.gateway.download.head import HEAD_LONGEST, read_head
from tests.archive.makers import BUNDLED, image
from tests.gateway.download.files import file, written

UIDS = ("1.1", "1.1.1", "1.1.1.1")
SR = "1.2.840.10008.5.1.4.1.1.88.11"


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_in_every_transfer_syntax(syntax: str) -> None:
    dataset = image(InstanceNumber=12, SpecificCharacterSet="ISO_IR 192", PatientName="Größe^Anna")
    dataset.file_meta.TransferSyntaxUID = syntax
    head = read_head(written(dataset))
    assert (head.uids, head.sop_class, head.transfer_syntax) == (UIDS, dataset.SOPClassUID, syntax)
    assert head.values[0x00200013].strip() == b"12"
    assert head.values[0x00100010].strip() == "Größe^Anna".encode()


def test_of_a_long_file_the_beginning_is_enough() -> None:
    content = file(size=3 << 20)
    assert read_head(content[:HEAD_LONGEST]) == read_head(content)


def test_a_dataset_is_read_as_it_is_written_whatever_its_meta_information_says() -> None:
    dataset = image()
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    lies = written(dataset).replace(b"1.2.840.10008.1.2\0", b"1.2.840.10008.1.2\0", 1)
    explicit = written(image())
    start = explicit.index(b"\x08\0\x16\0")
    assert read_head(lies[: lies.index(b"\x08\0\x16\0")] + explicit[start:]).uids == UIDS


def test_the_code_of_a_document_is_known() -> None:
    for implicit in (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian):
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "18748-4", "LN", "Report"
        dataset = image(SOPClassUID=SR, ConceptNameCodeSequence=[code], VerificationFlag="VERIFIED")
        dataset.file_meta.TransferSyntaxUID = implicit
        head = read_head(written(dataset))
        assert [value.strip() for value in head.code.values()] == [b"18748-4", b"LN", b"Report"]
        assert head.values[0x0040A493].strip() == b"VERIFIED"


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_without_its_name_an_instance_is_nobodys(keyword: str) -> None:
    with pytest.raises(ArchiveFailed, match="does not say which instance"):
        read_head(written(image(**{keyword: "" if keyword == "SOPInstanceUID" else None})))


def test_named_twice_it_is_nobodys() -> None:
    content = written(image())
    at = content.index(b"\x20\0\x0d\0UI")
    again = b"\x20\0\x0d\0UI\4\x009.9\0"
    with pytest.raises(ArchiveFailed, match="does not say which instance"):
        read_head(content[:at] + again + content[at:])


def test_what_names_it_must_come_early() -> None:
    dataset = image()
    dataset.add_new(0x00091001, "OB", bytes(HEAD_LONGEST))
    with pytest.raises(ArchiveFailed):
        read_head(written(dataset)[:HEAD_LONGEST])


@pytest.mark.parametrize("content", [b"", b"\x89PNG", b"<html>" * 100, bytes(128) + b"DICM", bytes(4096)])
def test_anything_else_is_no_instance(content: bytes) -> None:
    with pytest.raises(ArchiveFailed):
        read_head(content)


def test_a_damaged_deflated_file_is_none() -> None:
    dataset = image()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    content = written(dataset)
    meta = content.index(b"DICM") + 16 + int.from_bytes(content[140:144], "little")
    with pytest.raises(ArchiveFailed):
        read_head(content[:meta] + b"\xff" * 40)
    bomb = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = bomb.compress(bytes(200 << 20)) + bomb.flush()
    with pytest.raises(ArchiveFailed):  # inflated no further than a head may be
        read_head(content[:meta] + packed)


def hostile(*, deflated: bool, known_length: bool, tag: bytes = b"\x40\0\x43\xa0") -> bytes:
    """An instance whose beginning is a sequence of more than a hundred thousand empty items."""
    dataset = image(SOPClassUID=SR)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    content = written(dataset)
    start = content.index(b"\x08\0\x05\0") if b"\x08\0\x05\0" in content else content.index(b"\x08\0\x16\0")
    items = b"\xfe\xff\0\xe0\0\0\0\0" * 120_000
    length = len(items).to_bytes(4, "little") if known_length else b"\xff\xff\xff\xff"
    sequence = tag + b"SQ\0\0" + length + items
    if not deflated:
        return content[:start] + sequence + content[start:]
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    meta = written(dataset)
    head = meta[: meta.index(b"DICM") + 16 + int.from_bytes(meta[140:144], "little")]
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return head + packer.compress(sequence + content[start:]) + packer.flush()


@pytest.mark.parametrize("deflated", [False, True], ids=["plain", "2 KB deflated"])
@pytest.mark.parametrize("tag", [b"\x40\0\x43\xa0", b"\x08\0\x40\x11"], ids=["a code", "references"])
def test_a_beginning_that_takes_too_long_to_read_is_given_up(tag: bytes, *, deflated: bool) -> None:
    content = hostile(deflated=deflated, known_length=False, tag=tag)
    assert len(content) < 3000 or not deflated
    with pytest.raises(ArchiveFailed):
        read_head(content[:HEAD_LONGEST])


def test_a_code_of_a_hundred_thousand_items_is_not_looked_into() -> None:
    assert read_head(hostile(deflated=False, known_length=True)[:HEAD_LONGEST]).code == {}


def test_thousands_of_references_are_no_offence() -> None:
    items = []
    for number in range(5000):
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = SR, f"1.2.3.{number}"
        item.is_undefined_length_sequence_item = True
        items.append(item)
    dataset = image(ReferencedImageSequence=items)
    dataset["ReferencedImageSequence"].is_undefined_length = True
    assert read_head(written(dataset)[:HEAD_LONGEST]).uids == UIDS


@given(st.integers(0, 700), st.binary(min_size=1, max_size=12))
def test_whatever_is_in_it_there_is_an_answer(at: int, noise: bytes) -> None:
    content = written(image())
    try:
        head = read_head(content[:at] + noise + content[at + len(noise) :])
    except ArchiveFailed:
        return
    assert all(head.uids)


def test_the_library_s_own_examples_are_read() -> None:
    named = 0
    for path in sorted(BUNDLED.glob("*.dcm")):
        try:
            read_head(path.read_bytes()[:HEAD_LONGEST])
            named += 1
        except ArchiveFailed:
            continue
    assert named >= 60
