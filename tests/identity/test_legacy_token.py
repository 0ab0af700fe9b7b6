"""Tokens of the service before: held to its own vectors, and to nothing but HMAC with SHA-256."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import OctKey

from keyhole.access.decision import Reason
from keyhole.access.secret import is_id
from keyhole.identity.legacy_token import LegacyResource, LegacyToken, looks_like_one, read, share_id

KEY = "legacy-secret-key-for-test-vectors-only"
NO_END = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpZCI6InYxIiwicmVzb3VyY2VzIjpbeyJkaWNvbV91aWQiOiIxLjIuMy40Iiwib3J0aGFuY19p"
    "ZCI6IjExMTExMTExLTIyMjIyMjIyLTMzMzMzMzMzLTQ0NDQ0NDQ0LTU1NTU1NTU1IiwidXJsIjpudWxsLCJsZXZlbCI6InN0dWR5In1dLCJ0eXBlIj"
    "oic3RvbmUtdmlld2VyLXB1YmxpY2F0aW9uIiwiZXhwaXJhdGlvbl9kYXRlIjpudWxsLCJ2YWxpZGl0eV9kdXJhdGlvbiI6bnVsbH0.VAL4DbMU0_a1"
    "4p4NoUE8xRsfKwjoGzoO6WgHXK7DiNU"
)
ENDS_2099 = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpZCI6InYxIiwicmVzb3VyY2VzIjpbeyJkaWNvbV91aWQiOiIxLjIuMy40Iiwib3J0aGFuY19p"
    "ZCI6IjExMTExMTExLTIyMjIyMjIyLTMzMzMzMzMzLTQ0NDQ0NDQ0LTU1NTU1NTU1IiwidXJsIjpudWxsLCJsZXZlbCI6InN0dWR5In1dLCJ0eXBlIj"
    "oic3RvbmUtdmlld2VyLXB1YmxpY2F0aW9uIiwiZXhwaXJhdGlvbl9kYXRlIjoiMjA5OS0xMi0zMVQyMzo1OTo1OSswMDowMCIsInZhbGlkaXR5X2R1"
    "cmF0aW9uIjpudWxsfQ.o0QXXIWF41ngdVLhxc_cEpc_oUE2Ro4JV6zbImnM908"
)
ENDED_2020 = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpZCI6InYxIiwicmVzb3VyY2VzIjpbeyJkaWNvbV91aWQiOiIxLjIuMy40Iiwib3J0aGFuY19p"
    "ZCI6IjExMTExMTExLTIyMjIyMjIyLTMzMzMzMzMzLTQ0NDQ0NDQ0LTU1NTU1NTU1IiwidXJsIjpudWxsLCJsZXZlbCI6InN0dWR5In1dLCJ0eXBlIj"
    "oic3RvbmUtdmlld2VyLXB1YmxpY2F0aW9uIiwiZXhwaXJhdGlvbl9kYXRlIjoiMjAyMC0wMS0wMVQwMDowMDowMCswMDowMCIsInZhbGlkaXR5X2R1"
    "cmF0aW9uIjpudWxsfQ.yXf4ucf4NFU7k4Tg1JZxBWgsNCSJO22pihmh6Ktk924"
)
STUDY = LegacyResource("1.2.3.4", "11111111-22222222-33333333-44444444-55555555", "study")
CLAIMS: dict[str, Any] = {"type": "stone-viewer-publication", "resources": [{"dicom_uid": "1.2.3.4"}]}


def signed(key: str = KEY, header: dict[str, Any] | None = None, **changes: Any) -> str:
    payload = json.dumps({**CLAIMS, **changes}).encode()
    header = header or {"alg": "HS256"}
    return jws.serialize_compact(header, payload, OctKey.import_key(key.encode()), algorithms=[header["alg"]])


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        (NO_END, None),
        (ENDS_2099, datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (ENDED_2020, datetime(2020, 1, 1, tzinfo=UTC)),
    ],
)
def test_the_services_own_vectors_are_read(text: str, ends: datetime | None) -> None:
    assert read(text, KEY) == LegacyToken("stone-viewer-publication", (STUDY,), ends, None)


@pytest.mark.parametrize("text", [NO_END, ENDS_2099])
def test_another_key_reads_nothing(text: str) -> None:
    assert read(text, KEY + "x") is Reason.BAD_CREDENTIAL


def test_an_end_without_offset_is_utc_and_another_offset_is_kept() -> None:
    for text in ("2030-01-01T12:00:00", "2030-01-01T14:00:00.000000+02:00", "2030-01-01T12:00:00Z"):
        token = read(signed(expiration_date=text), KEY)
        assert isinstance(token, LegacyToken)
        assert token.expires_at == datetime(2030, 1, 1, 12, tzinfo=UTC)


def test_the_standard_claims_count_as_well_and_the_earlier_end_holds() -> None:
    token = read(signed(expiration_date="2030-01-01T00:00:00Z", exp=1_800_000_000, nbf=1_700_000_000), KEY)
    assert isinstance(token, LegacyToken)
    assert token.expires_at == datetime.fromtimestamp(1_800_000_000, UTC)
    assert token.not_before == datetime.fromtimestamp(1_700_000_000, UTC)


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_no_other_algorithm_is_read(algorithm: str) -> None:
    key = KEY * 2
    assert read(signed(key, {"alg": algorithm}), key) is Reason.BAD_CREDENTIAL


def test_a_token_without_signature_is_nothing() -> None:
    head, payload = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({"alg": "none"}, CLAIMS)
    )
    signed_head = NO_END.partition(".")[0]
    for text in (f"{head}.{payload}.", f"{head}.{payload}.AA", f"{signed_head}.{payload}.", payload):
        assert read(text, KEY) is Reason.BAD_CREDENTIAL


@pytest.mark.parametrize(
    "changes",
    [
        {"type": None},
        {"resources": None},
        {"resources": [1]},
        {"resources": {"dicom_uid": "1"}},
        {"expiration_date": "soon"},
        {"expiration_date": 5},
        {"exp": "soon"},
        {"exp": 1e300},
        {"nbf": float("inf")},
    ],
)
def test_claims_of_another_form_are_no_good(changes: dict[str, Any]) -> None:
    assert read(signed(**changes), KEY) is Reason.BAD_CREDENTIAL


def test_a_token_always_becomes_the_same_share_and_its_id_is_one() -> None:
    assert share_id(NO_END) == share_id(NO_END) != share_id(ENDS_2099)
    assert is_id(share_id(NO_END))
    assert looks_like_one(NO_END)
    assert not looks_like_one("kht_aaaaaaaaaaaaaaaa_" + "a" * 32)


@given(st.integers(0, len(NO_END) - 1), st.characters(codec="ascii"))
def test_a_token_with_one_character_changed_is_no_good_or_says_the_same(place: int, other: str) -> None:
    text = NO_END[:place] + other + NO_END[place + 1 :]
    found = read(text, KEY)
    assert found is Reason.BAD_CREDENTIAL or found == read(NO_END, KEY)


def test_what_is_too_long_is_no_token() -> None:
    assert not looks_like_one("ey" + "a" * 100_000 + "..")
