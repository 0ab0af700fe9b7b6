"""Laws of queries: what is sent on says what was understood, once, and is understood the same again."""

from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import datadict

from keyhole.access.decision import Reason
from keyhole.access.resource import Level, is_uid
from keyhole.dicom.attribute import BY_KEYWORD, BY_TAG, Attribute
from keyhole.dicom.query import MOST_UIDS, RetrieveQuery, SearchQuery, parse_retrieve, parse_search
from keyhole.dicom.route import Kind, Refusal

STUDY = "0020000D"
UIDS = st.from_regex(r"[0-9]{1,4}(\.[0-9]{1,6}){0,4}", fullmatch=True)
UID_LISTS = st.lists(UIDS, min_size=1, max_size=4, unique=True)
WORDS = st.text(
    st.characters(exclude_categories=["C"], exclude_characters="&=#%\\"),
    max_size=8,
)
PLAIN = st.sampled_from([known for known in BY_TAG.values() if known.vr != "UI"])
UI = st.sampled_from([known for known in BY_TAG.values() if known.vr == "UI" and known.tag != STUDY])
FIELDS = st.one_of(
    st.just(("all",)),
    st.lists(st.sampled_from(sorted(BY_TAG)), max_size=5, unique=True).map(tuple),
)


@st.composite
def searches(draw: st.DrawFn) -> SearchQuery:
    plain = draw(st.dictionaries(PLAIN, WORDS, max_size=4))
    listed = draw(st.dictionaries(UI, UID_LISTS.map(",".join), max_size=2))
    return SearchQuery(
        matches=tuple((known.tag, value) for known, value in {**plain, **listed}.items()),
        studies=draw(st.none() | UID_LISTS.map(tuple)),
        includefield=draw(FIELDS),
        limit=draw(st.none() | st.integers(1, 999_999_999)),
        offset=draw(st.integers(0, 999_999_999)),
        fuzzymatching=draw(st.sampled_from([None, True, False])),
    )


def parsed(raw_query: str | bytes, level: Level = Level.INSTANCE) -> SearchQuery:
    query = parse_search(raw_query.encode() if isinstance(raw_query, str) else raw_query, level)
    assert isinstance(query, SearchQuery), query
    return query


@given(searches())
def test_what_is_sent_on_is_understood_the_same(query: SearchQuery) -> None:
    assert parsed(query.encode(query.studies)) == query


@given(searches(), UID_LISTS)
def test_exactly_one_study_instance_uid_is_sent_and_it_is_the_last(query: SearchQuery, studies: list[str]) -> None:
    *before, last = query.encode(studies).split("&")
    assert last == "StudyInstanceUID=" + ",".join(studies)
    assert not any("studyinstanceuid" in part.lower() or part.upper().startswith(STUDY) for part in before)


@given(searches(), UID_LISTS)
def test_decoding_before_splitting_finds_the_same_parameters(query: SearchQuery, studies: list[str]) -> None:
    sent = query.encode(studies)
    assert unquote(sent).count("&") == sent.count("&")
    assert unquote(sent).count("=") == sent.count("=")


@given(st.binary(max_size=60) | st.text("StudyInstanceUID=&0020000Dd,%2.6*", max_size=60).map(str.encode))
def test_any_query_is_refused_or_comes_to_rest(raw_query: bytes) -> None:
    query = parse_search(raw_query, Level.STUDY)
    if isinstance(query, SearchQuery):
        assert query.studies is None or all(map(is_uid, query.studies))
        assert parsed(query.encode(query.studies), Level.STUDY) == query
    else:
        assert query.reason is Reason.BAD_QUERY


@pytest.mark.parametrize(
    "raw_query",
    [
        "_method=zQ9x",
        "0020,000d=zQ9x",
        "zQ9x=%FF",
        "limit=zQ9x",
        "StudyInstanceUID=zQ9x",
        "PatientID=zQ9x&PatientID=zQ9x",
        "fuzzymatching=zQ9x",
        "PatientName=zQ9x%26",
        "zQ9x%",
        "zQ9x#",
        "accept=zQ9x",
        "viewport=zQ9x",
    ],
)
def test_a_refusal_never_repeats_what_the_client_sent(raw_query: str) -> None:
    answers = (parse_search(raw_query.encode(), Level.STUDY), parse_retrieve(raw_query.encode(), Kind.RENDERED))
    refused = [answer for answer in answers if isinstance(answer, Refusal)]
    assert refused
    assert not any("zQ9x" in answer.detail for answer in refused)


@given(
    st.sampled_from(["StudyInstanceUID", "0020000D", "0020000d", "%53tudyInstanceUID", "0020000%44"]),
    st.sampled_from(["StudyInstanceUID", "0020000D", "0020000d", "0020,000d", "20,d", "0020-000D", "studyinstanceuid"]),
    UIDS,
    UIDS,
)
def test_a_study_is_never_asked_for_twice(first: str, second: str, one: str, other: str) -> None:
    for names in ((first, second), (second, first)):
        raw_query = f"{names[0]}={one}&PatientID=1&{names[1]}={other}".encode()
        assert isinstance(parse_search(raw_query, Level.STUDY), Refusal)


@given(st.sampled_from(sorted(BY_KEYWORD)), st.sampled_from([str.lower, str.upper, str.swapcase]))
def test_a_keyword_in_another_case_is_refused(keyword: str, change: object) -> None:
    assert callable(change)
    if change(keyword) != keyword:
        assert isinstance(parse_search(f"{change(keyword)}=1".encode(), Level.INSTANCE), Refusal)


@pytest.mark.parametrize(
    ("raw_query", "why"),
    [
        pytest.param(b"a=1&" * 2049, "too long", id="a raw query has at most 8 KB"),
        pytest.param(b"&".join([b"a"] * 65), "too many", id="and 64 parameters"),
        pytest.param(b"StudyInstanceUID=" + b",".join(b"%d" % n for n in range(101)), "too long", id="and 100 UIDs"),
        pytest.param(b"PatientName=" + b"%5E" * 600, "too long", id="and what is sent on fits into a request head"),
    ],
)
def test_a_query_has_bounds(raw_query: bytes, why: str) -> None:
    refused = parse_search(raw_query, Level.STUDY)
    assert isinstance(refused, Refusal)
    assert refused.reason is Reason.BAD_QUERY
    assert why in refused.detail


def test_a_query_may_be_as_long_as_its_bounds() -> None:
    assert parsed(b"x=".ljust(8192, b"a")) == SearchQuery()
    assert parsed(b"&".join([b"a"] * 64)) == SearchQuery()


def test_a_query_may_be_as_long_as_its_bound_once_encoded() -> None:
    name = "A" * (1536 - len("00100010="))
    assert len(parsed(f"PatientName={name}").encode(None)) == 1536
    assert isinstance(parse_search(f"PatientName={name}A".encode(), Level.STUDY), Refusal)


def test_the_largest_query_that_is_sent_fits_into_what_proxies_take_for_a_line() -> None:
    studies = [f"1.{n:062}" for n in range(MOST_UIDS)]
    query = parsed("PatientName=" + "A" * 1500 + "&StudyInstanceUID=" + ",".join(studies))
    assert query.studies == tuple(studies)
    assert len(query.encode(studies)) < 8 * 1024 - 64


@pytest.mark.parametrize(
    "studies",
    [
        pytest.param([], id="none, which archives take for all"),
        pytest.param(["1.2"] * (MOST_UIDS + 1), id="too many"),
        pytest.param(["*"], id="a wildcard"),
        pytest.param([""], id="an empty one"),
        pytest.param(["1.2&PatientID=3"], id="more than a UID"),
    ],
)
def test_a_search_is_only_sent_for_studies(studies: list[str]) -> None:
    with pytest.raises(ValueError, match="UIDs"):
        SearchQuery().encode(studies)


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param([STUDY], id="the study, whose place is the list of studies"),
        pytest.param(["00100020", "00100020"], id="one twice"),
        pytest.param(["0020000d"], id="another spelling"),
        pytest.param(["PatientID"], id="a keyword"),
        pytest.param(["00100020=1&0020000D"], id="more than a tag"),
    ],
)
def test_a_search_with_a_doubtful_key_cannot_be_built(keys: list[str]) -> None:
    with pytest.raises(ValueError, match="tags"):
        SearchQuery(matches=tuple((key, "1.2") for key in keys))


def test_a_search_can_be_sent_for_another_page() -> None:
    query = parsed("PatientID=1&limit=5&offset=10")
    assert query.paged(None).encode(["1.2"]) == "00100020=1&StudyInstanceUID=1.2"
    assert query.paged(100, 200).encode(None) == "00100020=1&limit=100&offset=200"


def test_hidden_attributes_neither_match_nor_come_back_at_any_depth() -> None:
    query = parsed(
        "PatientName=A*&00101002.00100010=A*&StudyDate=2026&includefield=PatientName,00080020,00101002.00100010"
    )
    assert query.without({"00100010"}) == SearchQuery(matches=(("00080020", "2026"),), includefield=("00080020",))


def test_only_what_is_allowed_matches_and_comes_back_with_all_that_is_inside() -> None:
    query = parsed(
        "PatientName=A*&00101002.00100010=A*&StudyDate=2026&includefield=PatientName,00080020,00101002.00100010&limit=5"
    )
    assert query.within({"00100010", "00101002"}) == SearchQuery(
        matches=(("00100010", "A*"), ("00101002.00100010", "A*")),
        includefield=("00100010", "00101002.00100010"),
        limit=5,
    )
    assert parsed("PatientName=A*&includefield=all").within(set()) == SearchQuery(includefield=("all",))


class TestRetrieval:
    QUERIES = st.builds(
        RetrieveQuery,
        charset=st.none() | st.sampled_from(["utf-8", "ISO-8859-1"]),
        annotation=st.none() | st.sampled_from(["patient", "technique", "patient,technique"]),
        quality=st.none() | st.integers(1, 100),
        viewport=st.none() | st.tuples(st.integers(1, 4096), st.integers(1, 4096)).map(lambda s: f"{s[0]},{s[1]}"),
        window=st.none() | st.integers(-5000, 5000).map(lambda centre: f"{centre},400.5,sigmoid"),
        iccprofile=st.none() | st.sampled_from(["no", "yes", "srgb", "adobergb", "rommrgb"]),
    )

    @given(QUERIES)
    def test_what_is_sent_on_is_understood_the_same(self, query: RetrieveQuery) -> None:
        assert parse_retrieve(query.encode().encode(), Kind.RENDERED) == query

    @given(st.binary(max_size=60) | st.text("accept=image/jpg;q0.5,&%2F", max_size=60).map(str.encode))
    def test_any_query_is_refused_or_comes_to_rest(self, raw_query: bytes) -> None:
        query = parse_retrieve(raw_query, Kind.THUMBNAIL)
        if isinstance(query, RetrieveQuery):
            assert query.accept is None or query.accept.isascii()
            again = query.encode() + ("" if query.accept is None else "&accept=" + quote(query.accept))
            assert parse_retrieve(again.encode(), Kind.THUMBNAIL) == query
        else:
            assert query.reason is Reason.BAD_QUERY


class TestAttributes:
    def test_every_row_is_in_the_dictionary(self) -> None:
        for known in BY_TAG.values():
            tag = int(known.tag, 16)
            assert known == Attribute(known.tag, datadict.dictionary_VR(tag), datadict.keyword_for_tag(tag))

    def test_every_attribute_that_holds_uids_has_a_row(self) -> None:
        uids = {
            f"{tag:08X}"
            for tag, (vr, _, _, _, keyword) in datadict.DicomDictionary.items()
            if "UI" in vr and keyword and tag >> 16 not in {0, 2, 4}
        }
        assert uids <= set(BY_TAG)
        assert {tag for tag, known in BY_TAG.items() if known.vr == "UI"} == uids

    def test_the_rows_are_in_order_and_no_keyword_stands_twice(self) -> None:
        assert list(BY_TAG) == sorted(BY_TAG)
        assert len(BY_KEYWORD) == len(BY_TAG)
