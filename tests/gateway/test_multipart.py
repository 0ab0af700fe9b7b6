from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.dicom import dicomweb
from keyhole.dicom.route import Kind, Match
from keyhole.errors import ArchiveFailed, ForeignAnswer
from keyhole.gateway import media
from keyhole.gateway.multipart import Fields, Parts, boundary_of, parameters, part_heads, passed_on
from keyhole.gateway.rewrite import Links

ROOT = "http://orthanc:8042/dicom-web"
PUBLIC = "https://keyhole.example/dicom-web"
FRAME = "/studies/1.2/series/1.3/instances/1.4/frames/1"
BOUNDARY = "a1-b2"


def asked(path: str = FRAME) -> Match:
    found = dicomweb.match("GET", path.encode())
    assert isinstance(found, Match)
    return found


def parts(boundary: str = BOUNDARY) -> Parts:
    return Parts(boundary, part_heads(Links(ROOT, PUBLIC, FRAME), asked(), media.part_type(Kind.FRAMES)))


def multipart(*written: tuple[bytes, bytes], start: bytes = b"", end: bytes = b"\r\n") -> bytes:
    """Parts of fields and a body, as Orthanc writes them."""
    text = start + b"".join(b"--a1-b2\r\n" + head + b"\r\n" + body + b"\r\n" for head, body in written)
    return text + b"--a1-b2--" + end


def through(data: bytes, at: list[int]) -> bytes:
    places = [0, *sorted(place % (len(data) + 1) for place in at), len(data)]
    under_way = parts()
    out = b"".join(out for start, end in pairwise(places) for out in under_way.feed(data[start:end]))
    under_way.end()
    return out


PIXELS = b"\x00\r\n--a1-b\r\r\n--\r\n\r\n" * 3
OCTETS = b"Content-Type: application/octet-stream\r\n"
AS_ORTHANC = (
    b"Content-Type: application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1\r\n"
    b"Content-Length: 60\r\n"
    b"Content-Location: " + (ROOT + FRAME).encode() + b"\r\n"
    b"MIME-Version: 1.0\r\n"
)


def test_bodies_pass_untouched_and_heads_are_written_anew() -> None:
    head = (
        b"Content-Type: application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1\r\n"
        b"Content-Length: 60\r\n"
        b"Content-Location: " + (PUBLIC + FRAME).encode() + b"\r\n"
    )
    assert through(multipart((AS_ORTHANC, PIXELS)), []) == multipart((head, PIXELS))


bodies = st.binary(max_size=40) | st.text("\r\n-ab12", max_size=40).map(str.encode)
wholes = st.lists(st.tuples(st.sampled_from([b"", OCTETS, AS_ORTHANC]), bodies), max_size=4)


@given(wholes, st.sampled_from([b"", b"\r\n", b"ignored\r\n"]), st.binary(max_size=9), st.lists(st.integers(0, 4000)))
def test_any_pieces_give_the_same_and_each_body_arrives(
    written: list[tuple[bytes, bytes]], start: bytes, end: bytes, at: list[int]
) -> None:
    written = [(head, body) for head, body in written if b"\r\n--a1-b2" not in b"\r\n" + body]
    data = multipart(*written, start=start, end=b"\r\n" + end)
    out = through(data, at)
    assert out == through(data, list(range(len(data))))
    received = out.removesuffix(b"--a1-b2--\r\n").removesuffix(b"\r\n").split(b"--a1-b2\r\n")
    bodies = [part.partition(b"\r\n\r\n")[2] if not part.startswith(b"\r\n") else part[2:] for part in received[1:]]
    assert [body.removesuffix(b"\r\n") if i < len(bodies) - 1 else body for i, body in enumerate(bodies)] == [
        body for _, body in written
    ]


@given(st.binary(max_size=80) | st.text("\r\n-ab12: ", max_size=80).map(str.encode))
def test_anything_else_is_a_failure_and_never_a_crash(data: bytes) -> None:
    try:
        out = through(b"--a1-b2" + data, [])
    except ArchiveFailed:
        return
    assert out.endswith(b"--a1-b2--\r\n")


def test_parts_are_counted() -> None:
    under_way = parts()
    list(map(under_way.feed, [multipart((OCTETS, b"1"), (OCTETS, b"2"), (b"", b"3"))]))
    assert under_way.count == 3


def test_a_piece_from_within_a_body_is_passed_on_as_it_is() -> None:
    under_way = parts()
    under_way.feed(b"--a1-b2\r\n" + OCTETS + b"\r\n")
    piece = b"x" * 100_000
    assert under_way.feed(piece)[0] is piece


def test_of_a_body_nothing_is_held_back_but_the_beginning_of_a_boundary() -> None:
    under_way = parts()
    under_way.feed(b"--a1-b2\r\n\r\n")
    assert under_way.feed(b"123\r\n--a1-") == [b"123"]
    assert under_way.feed(b"c") == [b"\r\n--a1-c"]


@pytest.mark.parametrize(
    "location",
    [
        pytest.param(f"{ROOT}/studies/1.9/series/1.3/instances/1.4/frames/1", id="another study"),
        pytest.param(f"{ROOT}/studies/1.2/series/1.9/instances/1.4/frames/1", id="another series"),
        pytest.param(f"{ROOT}/studies/1.2/series/1.3/instances/1.9", id="another instance"),
        pytest.param(f"{ROOT}/studies/1.2", id="more than was asked for"),
        pytest.param("/dicom-web/studies/1.9", id="another study, relative"),
    ],
)
def test_a_part_of_something_else_stops_the_answer_before_any_byte_of_it(location: str) -> None:
    under_way = parts()
    assert under_way.feed(b"--a1-b2\r\n" + OCTETS + b"\r\nmine\r\n--a1-b2")
    with pytest.raises(ForeignAnswer):
        under_way.feed(b"\r\nContent-Location: " + location.encode() + b"\r\n\r\nforeign")


@pytest.mark.parametrize("location", ["http://elsewhere/studies/1.9", ROOT + "/system", "cid:1", ROOT + "/%61"])
def test_a_location_that_leads_elsewhere_is_left_out(location: str) -> None:
    data = multipart((b"Content-Location: " + location.encode() + b"\r\n", b"x"))
    assert through(data, []) == multipart((b"", b"x"))


@pytest.mark.parametrize(
    ("sent", "passed"),
    [
        ("application/octet-stream", "application/octet-stream"),
        ("image/jls;transfer-syntax=1.2.840.10008.1.2.4.80", "image/jls; transfer-syntax=1.2.840.10008.1.2.4.80"),
        ('IMAGE/JP2; transfer-syntax="1.2.3"; x=y', "image/jp2; transfer-syntax=1.2.3"),
        ("image/jpeg; transfer-syntax=*", "image/jpeg"),
        ("text/html", "application/octet-stream"),
        ("multipart/mixed; boundary=a1", "application/octet-stream"),
        ("image/svg+xml", "application/octet-stream"),
    ],
)
def test_the_type_of_a_part_is_a_known_one_or_bytes(sent: str, passed: str) -> None:
    data = multipart((b"content-type:" + sent.encode() + b"\r\n", b"x"))
    assert through(data, []) == multipart((b"Content-Type: " + passed.encode() + b"\r\n", b"x"))


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"no field\r\n", id="no field"),
        pytest.param(b": x\r\n", id="no name"),
        pytest.param(b"A b: x\r\n", id="a space in a name"),
        pytest.param(b"A: x\r\n folded\r\n", id="a folded line"),
        pytest.param(b"A: x\r\na: y\r\n", id="a field twice"),
        pytest.param(b"A: \xc3\xa9\r\n", id="outside ASCII"),
        pytest.param(b"A: x\ny\r\n", id="half a line end"),
        pytest.param(b"A: \x00\r\n", id="a control character"),
        pytest.param(b"A: " + b"x" * 9000 + b"\r\n", id="a head without end"),
        pytest.param(b"Content-Encoding: gzip\r\n", id="an encoded part"),
        pytest.param(b"Content-Type: image/jpeg; x\r\n", id="a type that cannot be read"),
    ],
)
def test_a_head_that_cannot_be_read_stops_the_answer(head: bytes) -> None:
    with pytest.raises(ArchiveFailed):
        through(multipart((head, b"x")), [])
    with pytest.raises(ArchiveFailed):
        through(multipart((head, b"x")), list(range(10_000)))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"x" * 20_000, id="no boundary"),
        pytest.param(b"--a1-b2\r\n\r\nbody", id="no end"),
        pytest.param(b"--a1-b2\r\n\r\nbody\r\n--a1-b2", id="an end cut short"),
        pytest.param(b"--a1-b2xyz\r\n\r\nbody\r\n--a1-b2--", id="a longer boundary"),
    ],
)
def test_an_answer_that_is_not_whole_is_a_failure(data: bytes) -> None:
    with pytest.raises(ArchiveFailed):
        through(data, [])


def test_what_comes_after_the_end_is_left_out() -> None:
    assert through(multipart((b"", b"x"), end=b"\r\nforeign" * 9), [3, 90]) == multipart((b"", b"x"))


async def body(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def test_small_pieces_leave_together() -> None:
    data = multipart((OCTETS, b"x"))
    assert [out async for out in passed_on(body(data), parts())] == [data]


async def test_large_pieces_are_not_copied_together() -> None:
    data = multipart((OCTETS, b"x" * 200_000))
    passed = [out async for out in passed_on(body(data), parts())]
    assert len(passed) == 3
    assert b"".join(passed) == data


async def test_a_body_cut_short_is_a_failure_after_what_came() -> None:
    passing = passed_on(body(b"--a1-b2\r\n\r\nbo", b"dy"), parts())
    assert await anext(passing) == b"--a1-b2\r\n\r\nbo"
    assert await anext(passing) == b"dy"
    with pytest.raises(ArchiveFailed):
        await anext(passing)


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/related; boundary=abc", "abc"),
        ('multipart/related; type="application/octet-stream"; boundary="a b?c"', "a b?c"),
        (
            "multipart/related;type=application/octet-stream;BOUNDARY=50d7ccd118978542-a42543;",
            "50d7ccd118978542-a42543",
        ),
    ],
)
def test_the_boundary_is_read_quoted_or_not(content_type: str, boundary: str) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/related",
        "multipart/related; boundary=",
        'multipart/related; boundary=""',
        'multipart/related; boundary="a\\"b"',
        'multipart/related; boundary="abc ',
        'multipart/related; boundary="abc "',
        "multipart/related; boundary=a; boundary=b",
        "multipart/related; boundary=" + "x" * 71,
        "multipart/related; boundary=é",
        "multipart/related; boundary=a b",
        "multipart/related; boundary",
    ],
)
def test_a_boundary_that_can_be_none_is_a_failure(content_type: str) -> None:
    with pytest.raises(ArchiveFailed):
        boundary_of(content_type)


def test_parameters_are_read_as_servers_write_them() -> None:
    assert parameters("Multipart/Related; type=application/octet-stream ; Transfer-Syntax=*") == (
        "multipart/related",
        {"type": "application/octet-stream", "transfer-syntax": "*"},
    )


def test_a_rewriter_decides_what_passes() -> None:
    def nothing(_: Fields) -> Fields:
        return {}

    assert b"".join(Parts("b", nothing).feed(b"--b\r\nA: x\r\n\r\ny\r\n--b--")) == b"--b\r\n\r\ny\r\n--b--\r\n"
