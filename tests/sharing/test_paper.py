"""Codes for paper: derived like links, found by digest, and read however people write them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keyhole.access.condition import NO_CONDITIONS, Conditions
from keyhole.access.resource import Resource
from keyhole.access.secret import Secret
from keyhole.access.share import Share, ShareKind
from keyhole.sharing.link import KeyRing, new_id, secret_of
from keyhole.sharing.paper import (
    ALPHABET,
    LENGTH,
    digests,
    grouped,
    opens,
    paper_code,
    paper_digest,
    parse_code,
    possible,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RING = KeyRing.new()
PIN = Conditions(passcode="$argon2id$")
SHARE_ID = "abcdefghijklmnop"
SHARE = Share(
    id=SHARE_ID,
    archive="main",
    resources=(Resource.of("main", "1.2.3"),),
    kind=ShareKind.VIEW,
    creator="user:anna",
    created_at=NOW,
    expires_at=NOW + timedelta(days=7),
    key_id=RING.current,
    conditions=PIN,
    paper=paper_digest(RING, RING.current, SHARE_ID, 1),
)

codes = st.text(ALPHABET, min_size=LENGTH, max_size=LENGTH)
ids = st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=16, max_size=16)
generations = st.integers(1, 1000)
_SEPARATORS = (
    " ",
    "-",
    "\u2010",
    "\u2011",
    "\u2013",
    "\u2014",
    "\u2212",
    "\u00a0",
    "\u202f",
    "\t",
    "\n",
    "_",
    ".",
    "\u200b",
)
separators = st.lists(st.sampled_from(_SEPARATORS), max_size=3).map("".join)
_ALIKE = {"1": "1IiLl", "0": "0Oo"}


def code(share: Share = SHARE, ring: KeyRing = RING) -> Secret:
    return paper_code(ring, share.key_id, share.id, share.generation)


@st.composite
def spellings(draw: st.DrawFn) -> tuple[str, str]:
    """A code, and one of the ways in which a person could write it."""
    value = draw(codes)
    written = [draw(separators)]
    for letter in value:
        written.append(draw(st.sampled_from(_ALIKE.get(letter, letter + letter.lower() + chr(ord(letter) + 0xFEE0)))))
        written.append(draw(separators))
    return value, "".join(written)


@given(spellings())
@example(("ABCD10EFGH", "abcd-lOef-gh"))
@example(("ABCD10EFGH", "  ABCD 10EF GH\r\n"))
def test_however_a_person_writes_a_code_it_is_read(spelt: tuple[str, str]) -> None:
    value, written = spelt
    parsed = parse_code(written)
    assert parsed is not None
    assert parsed.reveal() == value


@given(st.text(max_size=120))
@example("ﷺ" * 10)
@example("\u0130" * 10)
def test_what_is_read_of_any_text_is_a_code_or_nothing(text: str) -> None:
    parsed = parse_code(text)
    assert parsed is None or (len(parsed.reveal()) == LENGTH and set(parsed.reveal()) <= set(ALPHABET))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("ABCD-EFGH-J", id="a character too few"),
        pytest.param("ABCD-EFGH-JKM", id="a character too many"),
        pytest.param("ABCD-EFGH-JU", id="a letter that is in no code"),
        pytest.param("ABCD-EFGH-J!", id="a sign"),
        pytest.param("ABCD-EFGH-J\u0661", id="a digit of another script"),
        pytest.param("ABCD-EFGH-JÄ", id="a letter with dots"),
        pytest.param("ABCD-EFGH-JK" + " " * 100, id="far too long"),
    ],
)
def test_what_is_no_code_is_not_made_one(text: str) -> None:
    assert parse_code(text) is None


@given(codes)
def test_a_code_is_printed_in_groups_and_read_back(value: str) -> None:
    printed = grouped(Secret(value))
    assert [len(group) for group in printed.split("-")] == [4, 4, 2]
    parsed = parse_code(printed)
    assert parsed is not None
    assert parsed.reveal() == value


@given(ids, generations, ids, generations)
def test_no_two_links_have_one_code(one: str, first: int, other: str, second: int) -> None:
    same = (one, first) == (other, second)
    assert paper_code(RING, RING.current, one, first).matches(paper_code(RING, RING.current, other, second)) is same
    digest = paper_digest(RING, RING.current, one, first)
    assert (digest == paper_digest(RING, RING.current, other, second)) is same


def test_a_hundred_thousand_shares_have_as_many_codes() -> None:
    ring = KeyRing("one", {"one": bytes(range(32))})
    made = {paper_code(ring, "one", f"{number:016}", 1).reveal() for number in range(100_000)}
    assert len(made) == 100_000
    assert {letter for value in made for letter in value} == set(ALPHABET)


def test_a_code_never_changes_between_versions() -> None:
    # It stands on letters that have been sent.
    ring = KeyRing("one", {"one": bytes(range(32)), "two": bytes(range(32, 64))})
    assert grouped(paper_code(ring, "one", SHARE_ID, 1)) == "S4DE-9075-VA"
    assert (
        paper_digest(ring, "one", SHARE_ID, 1).hex()
        == "671a6ea8ddfc3a985f6fd423d1715350fb5d49cb3128af9594abaeb6822b0c36"
    )


def test_a_share_is_found_by_its_code_whichever_key_of_the_ring_made_it() -> None:
    ring = RING.rotated()
    assert SHARE.paper in digests(ring, code())
    assert len(digests(ring, code())) == 2
    assert opens(SHARE, code(), ring)


def test_digests_are_those_of_one_code_and_of_one_ring() -> None:
    assert not set(digests(RING, code())) & set(digests(RING, Secret("0123456789")))
    assert not set(digests(RING, code())) & set(digests(KeyRing.new(), code()))


def test_a_code_is_no_part_of_its_link() -> None:
    assert code().reveal().lower() not in secret_of(SHARE, RING).reveal()


@pytest.mark.parametrize(
    "share",
    [
        pytest.param(replace(SHARE, generation=2), id="a new link was made"),
        pytest.param(replace(SHARE, id=new_id()), id="another share has the digest"),
        pytest.param(replace(SHARE, paper=None), id="the share has no code"),
        pytest.param(replace(SHARE, conditions=NO_CONDITIONS), id="nothing is asked"),
        pytest.param(replace(SHARE, conditions=Conditions(terms=True)), id="nothing is asked that the letter hides"),
        pytest.param(replace(SHARE, key_id=new_id()), id="its key has left the ring"),
    ],
)
def test_a_code_opens_only_the_link_it_was_made_for(share: Share) -> None:
    assert not opens(share, code(), RING)


def test_another_code_opens_nothing() -> None:
    assert not opens(SHARE, Secret("0123456789"), RING)


def test_no_share_is_opened_by_any_code() -> None:
    assert not opens(None, code(), RING)
    assert not opens(None, paper_code(RING, RING.current, "", 0), RING)


@pytest.mark.parametrize(
    ("conditions", "may"),
    [
        (NO_CONDITIONS, False),
        (PIN, True),
        (Conditions(birth_date=b"digest"), True),
        (Conditions(mail_code=True, terms=True), False),
    ],
)
def test_a_code_needs_a_birth_date_or_a_passcode_beside_it(conditions: Conditions, may: bool) -> None:
    assert possible(conditions) is may
