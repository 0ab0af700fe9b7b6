"""What is signed, and how: the canonical encoding and the digests."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.access.decision import Event, Reason, Record
from keyhole.access.resource import Action
from keyhole.store.chain import GENESIS, Head, Personal, Signing, decode, draft, extend, micros, moment, outline
from keyhole.store.trail import indexed
from tests.store.makers import NOW, SIGNING, record

SALT = b"0123456789abcdef"


def salted(value: Record) -> tuple[bytes, tuple[Personal, ...]]:
    made = draft(value, lambda: SALT)
    return made.body, made.personal


def test_the_encoding_is_as_documented() -> None:
    body, personal = salted(
        record(
            Event.REFUSAL,
            study="1.2",
            action=Action.RETRIEVE,
            reason=Reason.NO_GRANT,
            images=3,
            bytes=4,
            detail={"b": 'q"', "a": "ä"},
            personal={"agent": "x"},
        )
    )
    commitment = hmac.new(SALT, b"agent\0x", hashlib.sha256).hexdigest()
    assert (
        body
        == (
            '[1,1772366400123456,"refusal","user:anna","main","1.2",null,"retrieve","no-grant",null,null,3,4,1,'
            f'[["a","ä"],["b","q\\""]],[["agent","{commitment}"]]]'
        ).encode()
    )
    assert personal == (Personal("agent", SALT, b"x"),)


def test_a_digest_is_as_documented() -> None:
    (row,) = extend(Head(6, b"p" * 32), [draft(record(), lambda: SALT)], SIGNING)
    signed = b"p" * 32 + (7).to_bytes(8, "big") + row.draft.body
    assert row.digest == hmac.new(SIGNING.keys["first"], signed, hashlib.sha256).digest()
    assert row.head == Head(7, row.digest)
    assert row.key_id == "first"


def test_a_chain_begins_with_row_1_after_zeros() -> None:
    assert Head() == Head(0, bytes(32))
    rows = list(extend(Head(), [draft(record(), lambda: SALT)] * 3, SIGNING))
    assert [row.seq for row in rows] == [1, 2, 3]
    assert len({GENESIS, *(row.digest for row in rows)}) == 4


texts = st.text(max_size=20)
aware = st.datetimes(timezones=st.just(UTC))
records = st.builds(
    Record,
    at=aware,
    event=st.sampled_from(Event),
    subject=texts,
    archive=st.none() | texts,
    study=st.none() | texts,
    action=st.none() | st.sampled_from(Action),
    reason=st.none() | st.sampled_from(Reason),
    images=st.integers(0, 2**60),
    bytes=st.integers(0, 2**60),
    detail=st.dictionaries(texts, texts, max_size=3),
    personal=st.dictionaries(texts, texts, max_size=3),
)


@given(records)
def test_decoding_gives_the_record_back_and_encodes_to_the_same(value: Record) -> None:
    made = draft(value, lambda: SALT)
    decoded, commitments = decode(made.body)
    assert commitments == {personal.name: personal.commitment for personal in made.personal}
    again = draft(
        Record(**{**{name: getattr(decoded, name) for name in Record.__slots__}, "personal": made.record.personal}),
        lambda: SALT,
    )
    assert again == made


@given(aware)
def test_times_are_counted_exactly(at: datetime) -> None:
    assert moment(micros(at)) == at


def test_times_of_another_zone_are_the_same_moment() -> None:
    assert micros(NOW.astimezone(timezone(timedelta(hours=5)))) == micros(NOW)


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(TypeError):
        micros(datetime(2026, 1, 1))  # noqa: DTZ001 - that is the case


@given(records)
def test_an_outline_is_what_is_searched_by(value: Record) -> None:
    made = draft(value, lambda: SALT)
    searched, commitments = outline(made.body)
    assert searched == indexed(made.record)
    assert commitments == decode(made.body)[1]


def test_an_outline_needs_not_know_the_event() -> None:
    body, _ = salted(record())
    searched, _ = outline(body.replace(b'"access"', b'"of a newer version"'))
    assert searched["event"] == "of a newer version"


def test_a_body_of_another_version_is_not_guessed_at() -> None:
    body, _ = salted(record())
    with pytest.raises(ValueError):
        decode(json.dumps([2, *json.loads(body)[1:]]).encode())


def test_signing_needs_its_current_key_and_keys_of_full_length() -> None:
    with pytest.raises(ValueError):
        Signing("b", {"a": bytes(32)})
    with pytest.raises(ValueError):
        Signing("a", {"a": bytes(31)})


def test_keys_do_not_show_themselves() -> None:
    assert "kkkk" not in repr(SIGNING)
