from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.access.decision import Reason
from keyhole.archive.answer import ArchiveAnswer
from keyhole.dicom.route import Kind, Refusal
from keyhole.errors import ArchiveFailed
from keyhole.gateway.media import MULTIPART, RELATED, SAFETY, SINGLE, accepted, passing, ranges

JSON = "application/dicom+json"
STORED = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
JLS = 'multipart/related; type="image/jls"; transfer-syntax=1.2.840.10008.1.2.4.80'
WSI = (
    'multipart/related; type="image/jls"; transfer-syntax=1.2.840.10008.1.2.4.80, '
    'multipart/related; type="image/jls"; transfer-syntax=1.2.840.10008.1.2.4.81, '
    'multipart/related; type="image/jp2"; transfer-syntax=1.2.840.10008.1.2.4.90, '
    'multipart/related; type="application/octet-stream"; transfer-syntax=*, '
    'multipart/related; type="image/jpeg"; transfer-syntax=1.2.840.10008.1.2.4.50'
)
BYTES = 'multipart/related; type="application/octet-stream"'
PDF = 'multipart/related; type="application/pdf", multipart/related; type="application/octet-stream"'


@pytest.mark.parametrize(
    ("kind", "header", "parameter", "sent"),
    [
        pytest.param(Kind.SEARCH_STUDIES, JSON, None, JSON, id="a search"),
        pytest.param(Kind.SEARCH_STUDIES, "application/json", None, JSON, id="a search in plain JSON"),
        pytest.param(Kind.METADATA, "*/*", None, JSON, id="metadata for a client that takes anything"),
        pytest.param(Kind.METADATA, None, None, JSON, id="metadata for a client that does not say"),
        pytest.param(Kind.METADATA, "", None, JSON, id="metadata for a client that says nothing"),
        pytest.param(Kind.METADATA, "application/dicom+xml, application/*;q=0.1", None, JSON, id="rather XML"),
        pytest.param(
            Kind.FRAMES, "multipart/related; type=application/octet-stream; transfer-syntax=*", None, STORED, id="OHIF"
        ),
        pytest.param(Kind.FRAMES, "*/*", None, STORED, id="frames for a client that takes anything"),
        pytest.param(Kind.FRAMES, "multipart/related", None, STORED, id="frames in parts of any type"),
        pytest.param(Kind.FRAMES, 'multipart/related; type="*/*"', None, STORED, id="frames in parts of every type"),
        pytest.param(Kind.FRAMES, WSI, None, STORED, id="OHIF's microscope"),
        pytest.param(Kind.FRAMES, f"{STORED}; q=0.1, {JLS}", None, JLS, id="the best alone"),
        pytest.param(Kind.FRAMES, f"{JLS}; q=0, {STORED}", None, STORED, id="never what has quality 0"),
        pytest.param(Kind.FRAMES, "application/octet-stream", None, "application/octet-stream", id="a single part"),
        pytest.param(Kind.FRAMES, f"text/html, {STORED}", None, STORED, id="what is not known is left out"),
        pytest.param(Kind.FRAMES, "IMAGE/JPEG, Multipart/Related; Type=Image/JLS", None,
                     "image/jpeg", id="in any case"),
        pytest.param(Kind.FRAMES, JLS + ', multipart/related; type="application/octet-stream"', None,
                     'multipart/related; type="application/octet-stream"', id="bytes rather than a compression"),
        pytest.param(Kind.BULKDATA, PDF, None, BYTES, id="OHIF's documents"),
        pytest.param(Kind.BULKDATA, "*/*", None, BYTES, id="bulk data"),
        pytest.param(Kind.RENDERED, "image/png", None, "image/png", id="a picture"),
        pytest.param(Kind.RENDERED, "image/avif,image/webp,image/*,*/*;q=0.8", None, "image/jpeg", id="a browser's"),
        pytest.param(Kind.RENDERED, "image/gif;q=0.5, image/png", None, "image/png", id="only the best picture"),
        pytest.param(Kind.RENDERED, 'multipart/related; type="application/octet-stream"', "image/jpeg", "image/jpeg",
                     id="the parameter overrides"),
        pytest.param(Kind.THUMBNAIL, "*/*", "image/jpeg", "image/jpeg", id="a thumbnail"),
        pytest.param(Kind.INSTANCES, 'multipart/related; type="application/dicom"', None,
                     'multipart/related; type="application/dicom"', id="instances"),
        pytest.param(Kind.INSTANCES, "application/dicom", None, "application/dicom", id="one instance"),
    ],
)  # fmt: skip
def test_what_is_known_is_asked_for_in_one_spelling(
    kind: Kind, header: str | None, parameter: str | None, sent: str
) -> None:
    assert accepted(kind, header, parameter) == sent


@pytest.mark.parametrize(
    ("kind", "header"),
    [
        pytest.param(Kind.METADATA, "application/dicom+xml", id="XML"),
        pytest.param(Kind.METADATA, 'multipart/related; type="application/dicom+xml"', id="XML in parts"),
        pytest.param(Kind.METADATA, "application/dicom+json;q=0", id="anything but JSON"),
        pytest.param(Kind.FRAMES, "text/html", id="a page"),
        pytest.param(Kind.FRAMES, "image/*", id="frames as pictures of any kind"),
        pytest.param(Kind.FRAMES, 'multipart/related; type="text/html"', id="pages"),
        pytest.param(Kind.FRAMES, 'multipart/related; type="image/jls"; transfer-syntax=1.2;x', id="unreadable"),
        pytest.param(Kind.FRAMES, 'multipart/related; type="image/jls"; transfer-syntax="1 2"', id="no syntax"),
        pytest.param(Kind.FRAMES, "image/jpeg;q=2", id="a quality above 1"),
        pytest.param(Kind.FRAMES, 'image/jpeg;x="', id="an open quote"),
        pytest.param(Kind.FRAMES, "image/jpeg," * 65, id="too many"),
        pytest.param(Kind.FRAMES, "x" * 5000, id="too long"),
        pytest.param(Kind.FRAMES, ",", id="nothing at all"),
        pytest.param(Kind.RENDERED, "image/svg+xml", id="a picture that runs"),
        pytest.param(Kind.RENDERED, "application/pdf", id="a document"),
        pytest.param(Kind.REST, "*/*", id="Orthanc's own"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_not_acceptable(kind: Kind, header: str) -> None:
    refusal = accepted(kind, header)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.NOT_ACCEPTABLE


SENT = re.compile(r'[a-z/+.0-9-]+(?:; type="[a-z/+.0-9-]+")?(?:; transfer-syntax=(?:\*|[0-9.]+))?')


@given(
    st.sampled_from(sorted(SINGLE)),
    st.text() | st.text('*/;=, "abimgejpqtyx-.019') | st.sampled_from([WSI, PDF, STORED]).flatmap(
        lambda text: st.integers(0, len(text)).map(lambda at: text[:at] + "é\r\n" + text[at:])
    ),
)  # fmt: skip
def test_nothing_of_the_client_is_sent(kind: Kind, header: str) -> None:
    sent = accepted(kind, header)
    assert isinstance(sent, Refusal) or SENT.fullmatch(sent)


def test_ranges_are_read_in_order_of_quality() -> None:
    assert [each.kind for each in ranges("a/b;q=0.2, c/d; q=0.9 ,, e/f") or ()] == ["e/f", "c/d", "a/b"]


async def nothing() -> AsyncIterator[bytes]:
    return
    yield


def answer(content_type: str) -> ArchiveAnswer:
    return ArchiveAnswer(200, content_type, nothing())


@pytest.mark.parametrize(
    ("kind", "content_type", "passed"),
    [
        (Kind.METADATA, "application/dicom+json; charset=utf-8", JSON),
        (Kind.RENDERED, "image/jpeg", "image/jpeg"),
        (Kind.RENDERED, "IMAGE/PNG; x=y", "image/png"),
        (Kind.FRAMES, "image/jls; transfer-syntax=1.2.3", "image/jls; transfer-syntax=1.2.3"),
        (Kind.INSTANCES, "application/dicom", "application/dicom"),
        (Kind.BULKDATA, "application/pdf", "application/pdf"),
        (Kind.FRAMES, "multipart/related; type=application/octet-stream; boundary=b1",
         'multipart/related; type="application/octet-stream"; boundary="b1"'),
        (Kind.BULKDATA, 'multipart/related; type="text/html"; boundary=b1',
         'multipart/related; type="application/octet-stream"; boundary="b1"'),
    ],
)  # fmt: skip
def test_what_is_in_the_list_passes_under_its_name(kind: Kind, content_type: str, passed: str) -> None:
    found = passing(kind, answer(content_type))
    assert found.content_type == passed
    assert found.fields == SAFETY
    assert found.boundary == ("b1" if "multipart" in content_type else None)


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [
        (Kind.BULKDATA, "text/html"),
        (Kind.BULKDATA, "image/svg+xml"),
        (Kind.BULKDATA, "application/xml"),
        (Kind.BULKDATA, ""),
        (Kind.RENDERED, "application/pdf"),
        (Kind.RENDERED, "video/mp4"),
    ],
)
def test_what_is_not_in_the_list_is_a_file_to_save(kind: Kind, content_type: str) -> None:
    found = passing(kind, answer(content_type))
    assert found.content_type == "application/octet-stream"
    assert found.fields == {**SAFETY, "content-disposition": "attachment"}


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [
        (Kind.METADATA, "application/dicom+xml"),
        (Kind.METADATA, "multipart/related; boundary=b"),
        (Kind.FRAMES, "application/json"),
        (Kind.FRAMES, "text/html"),
        (Kind.FRAMES, "multipart/related"),
        (Kind.FRAMES, "multipart/mixed; boundary=b"),
        (Kind.RENDERED, "text/html"),
        (Kind.RENDERED, "image/svg+xml"),
        (Kind.RENDERED, "image/jpeg; x"),
        (Kind.INSTANCES, ""),
    ],
)
def test_another_type_than_asked_is_a_failure(kind: Kind, content_type: str) -> None:
    with pytest.raises(ArchiveFailed):
        passing(kind, answer(content_type))


def test_nothing_that_runs_as_a_page_is_in_the_lists() -> None:
    passing_types = {each for lists in (SINGLE, RELATED) for types in lists.values() for each in types}
    assert not any(re.search("html|xml|svg|javascript|text", each) for each in passing_types)
    assert MULTIPART not in passing_types


def test_all_that_is_passed_on_is_neither_cached_nor_run() -> None:
    assert SAFETY == {
        "cache-control": "private, no-store",
        "x-content-type-options": "nosniff",
        "cross-origin-resource-policy": "same-origin",
        "content-security-policy": "sandbox; default-src 'none'",
    }
