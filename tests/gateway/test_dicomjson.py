from __future__ import annotations

import json
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keyhole.archive.answer import ArchiveAnswer
from keyhole.errors import ArchiveFailed
from keyhole.gateway import dicomjson
from keyhole.gateway.dicomjson import MEDIA_TYPE, Item, Reader, encode, items

numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
elements = st.fixed_dictionaries(
    {"vr": st.sampled_from(["LO", "DS", "SQ"])}, optional={"Value": st.lists(st.text() | numbers)}
)
arrays = st.lists(st.dictionaries(st.text(max_size=8), elements, max_size=4), max_size=4)


def read(pieces: list[bytes]) -> list[Item]:
    reader = Reader()
    found = [item for piece in pieces for item in reader.feed(piece)]
    return found + reader.feed(b"", last=True)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    places = [0, *sorted(place % (len(data) + 1) for place in at), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


@pytest.fixture(params=[0, 20, dicomjson._LONG], ids=["each item", "some items", "no item"], autouse=True)
def long(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """From which length on an item is looked through for its end: what is read must not depend on it."""
    monkeypatch.setattr(dicomjson, "_LONG", request.param)
    return int(request.param)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrays, st.sampled_from([None, 1]), st.booleans(), st.lists(st.integers(0, 10_000)))
def test_any_array_is_read_whatever_pieces_it_comes_in(
    array: list[Item], indent: int | None, ascii_only: bool, at: list[int]
) -> None:
    data = json.dumps(array, indent=indent, ensure_ascii=ascii_only).encode()
    assert read(cut(data, at)) == array
    assert read([data[i : i + 1] for i in range(len(data))]) == array


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrays)
def test_what_is_read_can_be_passed_on(array: list[Item]) -> None:
    assert [json.loads(encode(item)) for item in array] == array


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60) | st.text('[]{},:" \\u1.NaIinfy').map(str.encode), st.lists(st.integers(0, 60)))
def test_anything_else_is_a_failure_and_never_a_crash(data: bytes, at: list[int]) -> None:
    try:
        found = read(cut(data, at))
    except ArchiveFailed:
        return
    assert found == json.loads(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{}", id="an object"),
        pytest.param(b"[1]", id="an array of numbers"),
        pytest.param(b"[[]]", id="an array of arrays"),
        pytest.param(b"[{},]", id="a comma too many"),
        pytest.param(b"[{} {}]", id="a comma too few"),
        pytest.param(b"[{}", id="an array without end"),
        pytest.param(b"[{}]]", id="an end too many"),
        pytest.param(b"[{}][{}]", id="two arrays"),
        pytest.param(b'[{"a": NaN}]', id="no number"),
        pytest.param(b'[{"a": -Infinity}]', id="no finite number"),
        pytest.param(b'[{"a": 1e999}]', id="a number too large"),
        pytest.param(b'[{"a": ' + b"9" * 5000 + b"}]", id="a number too long"),
        pytest.param(b'[{"a": "\xff"}]', id="no UTF-8"),
        pytest.param(b'[{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]", id="a bomb of arrays"),
        pytest.param(b'[{"a": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}]", id="a bomb of objects"),
        pytest.param(b"<html></html>", id="a page"),
    ],
)
def test_what_is_no_array_of_items_is_a_failure(data: bytes) -> None:
    with pytest.raises(ArchiveFailed):
        read([data])


def test_an_item_that_does_not_end_is_not_held_for_ever() -> None:
    reader = Reader(longest=1000)
    pieces = [b'[{"a": "', *[b"xxxxxxxxxx"] * 200]
    with pytest.raises(ArchiveFailed, match="too long"):
        list(map(reader.feed, pieces))


def test_each_piece_of_a_long_item_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicomjson, "_LONG", 100)
    decoded: list[int] = []
    decoder = dicomjson._DECODER

    class Counting:
        def raw_decode(self, text: str, at: int) -> tuple[Item, int]:
            decoded.append(len(text) - at)
            return decoder.raw_decode(text, at)

    monkeypatch.setattr(dicomjson, "_DECODER", Counting())
    data = json.dumps([{"a": ['\\"{}' * 20] * 100}]).encode()
    assert read([data[i : i + 10] for i in range(0, len(data), 10)]) == json.loads(data)
    assert sum(size > 200 for size in decoded) == 1


def test_an_item_is_there_as_soon_as_it_is_whole() -> None:
    reader = Reader()
    assert reader.feed(b'[{"a": 1}, {"b"') == [{"a": 1}]


def test_half_a_surrogate_pair_is_a_failure() -> None:
    with pytest.raises(ArchiveFailed):
        encode(read([rb'[{"a": "\ud800"}]'])[0])


async def body(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


@pytest.mark.parametrize(
    "content_type", [MEDIA_TYPE, "application/json", "Application/DICOM+JSON; charset=utf-8", "application/json ;x=y"]
)
async def test_an_answer_in_json_is_read(content_type: str) -> None:
    answer = ArchiveAnswer(200, content_type, body(b"[{}", b"]"))
    assert [item async for item in items(answer)] == [{}]


async def test_no_content_is_no_items() -> None:
    assert [item async for item in items(ArchiveAnswer(204, "", body()))] == []


@pytest.mark.parametrize("content_type", ["", "text/html", "application/dicom+xml", "application/jsonx", "image/png"])
async def test_an_answer_of_another_type_is_a_failure(content_type: str) -> None:
    with pytest.raises(ArchiveFailed):
        [item async for item in items(ArchiveAnswer(200, content_type, body(b"[]")))]
