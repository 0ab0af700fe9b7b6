"""Reading one credential from a request."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.access.decision import Deny, Reason
from keyhole.access.subject import Kind
from keyhole.identity.credential import NONE, Headers, NoCredential, Shown, read

VISIT = "a" * 16
OTHER = "b" * 16
VALUE = "c" * 32
WRONG = "d" * 32

BAD = Reason.BAD_CREDENTIAL
CONFLICT = Reason.CONFLICTING_CREDENTIALS


def authorization(token: str) -> tuple[bytes, bytes]:
    return b"authorization", token.encode()


def cookie(pairs: str) -> tuple[bytes, bytes]:
    return b"cookie", pairs.encode()


MINE = authorization(f"Bearer khv_{VISIT}_{VALUE}")
KEY = authorization(f"Bearer khk_{VISIT}_{VALUE}")
COOKIE = cookie(f"keyhole_visit={VALUE}")


def said(answer: Shown | NoCredential | Deny) -> object:
    """*answer* as a value that compares."""
    match answer:
        case Shown(kind, name, secret):
            return kind, name, secret.reveal()
        case Deny(reason):
            return reason
        case nothing:
            return nothing


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        pytest.param([], NONE, id="nothing shown is nothing"),
        pytest.param([(b"accept", b"*/*")], NONE, id="other headers are no credential"),
        pytest.param([COOKIE], (Kind.VISIT, VISIT, VALUE), id="the cookie of the visit in the path"),
        pytest.param([MINE], (Kind.VISIT, VISIT, VALUE), id="the bearer of the visit in the path"),
        pytest.param([MINE, COOKIE], (Kind.VISIT, VISIT, VALUE), id="both, when they agree"),
        pytest.param([MINE, cookie(f"keyhole_visit={WRONG}")], CONFLICT, id="cookie and bearer that disagree"),
        pytest.param([authorization(f"Bearer khv_{OTHER}_{VALUE}")], BAD, id="the bearer of another visit"),
        pytest.param([authorization(f"Bearer khv_{OTHER}_{VALUE}"), COOKIE], BAD, id="which the cookie does not heal"),
        pytest.param([KEY], BAD, id="an API key opens no visit"),
        pytest.param([KEY, COOKIE], BAD, id="not even beside its cookie"),
        pytest.param([MINE, MINE], CONFLICT, id="the same bearer twice"),
        pytest.param([MINE, KEY], CONFLICT, id="two bearers"),
        pytest.param([COOKIE, COOKIE], CONFLICT, id="two headers with the cookie"),
        pytest.param([cookie(f"keyhole_visit={VALUE}; keyhole_visit={VALUE}")], CONFLICT, id="the cookie twice"),
        pytest.param([cookie(f'a="x; keyhole_visit={VALUE}"; {COOKIE[1].decode()}')], CONFLICT, id="once in quotes"),
        pytest.param([cookie("keyhole_visit")], BAD, id="a cookie without value"),
        pytest.param([cookie("keyhole_visit=")], BAD, id="a cookie with an empty value"),
        pytest.param([cookie(f'keyhole_visit="{VALUE}"')], BAD, id="a quoted value, which we never set"),
        pytest.param([cookie(f"keyhole_visit ={VALUE}")], BAD, id="white space after the name"),
        pytest.param([cookie(f"keyhole_visit= {VALUE}")], BAD, id="white space before the value"),
        pytest.param([cookie(f"keyhole_visit={VALUE} ")], BAD, id="white space after the value"),
        pytest.param([cookie(f"keyhole_visit={VALUE.upper()}")], BAD, id="another spelling of the value"),
        pytest.param([cookie(f"keyhole_visit={VALUE}x")], BAD, id="a value that is too long"),
        pytest.param([cookie(f"Keyhole_Visit={VALUE}")], NONE, id="another spelling of the name is another cookie"),
        pytest.param([cookie('theme={"dark":1}; x')], NONE, id="what others set is not judged"),
        pytest.param([cookie(f"a=1;keyhole_visit={VALUE};b=2")], (Kind.VISIT, VISIT, VALUE), id="among others"),
        pytest.param(
            [authorization(f"bEARER  khv_{VISIT}_{VALUE}")], (Kind.VISIT, VISIT, VALUE), id="any case, RFC 9110"
        ),
        pytest.param([authorization("")], BAD, id="an empty authorization is bad, not absent"),
        pytest.param([authorization("Bearer")], BAD, id="a bearer without token"),
        pytest.param([authorization("Basic YTpi")], BAD, id="another scheme"),
        pytest.param([authorization(f"Bearer khv_{VISIT}_{VALUE}\n")], BAD, id="something after the token"),
        pytest.param([authorization(f"Bearer khv_{VISIT}_{VALUE}, x")], BAD, id="a list of tokens"),
        pytest.param([authorization(f"Bearer khl_{VISIT}_{VALUE}")], BAD, id="an unknown kind of token"),
        pytest.param([(b"authorization", b"Bearer \xff\xfe")], BAD, id="bytes that are no text"),
    ],
)
def test_below_a_visit(headers: Headers, answer: object) -> None:
    assert said(read(headers, VISIT)) == answer


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        pytest.param([], NONE, id="nothing shown is nothing"),
        pytest.param([MINE], (Kind.VISIT, VISIT, VALUE), id="a visit's bearer"),
        pytest.param([KEY], (Kind.API_KEY, VISIT, VALUE), id="an API key"),
        pytest.param([COOKIE], NONE, id="a cookie counts only below its visit"),
        pytest.param([KEY, cookie("keyhole_visit=junk")], (Kind.API_KEY, VISIT, VALUE), id="nor does a bad one harm"),
        pytest.param([KEY, KEY], CONFLICT, id="several headers"),
        pytest.param([authorization("Bearer junk")], BAD, id="junk"),
    ],
)
def test_elsewhere(headers: Headers, answer: object) -> None:
    assert said(read(headers, None)) == answer


@given(value=st.text(string.printable).filter(lambda text: "keyhole_visit" not in text))
def test_whatever_is_in_an_authorization_it_is_never_no_credential(value: str) -> None:
    assert read([authorization(value)], None) is not NONE


@given(values=st.lists(st.text('abc234;=, "\t', max_size=40), min_size=2, max_size=4))
def test_our_cookie_named_twice_never_opens_anything(values: list[str]) -> None:
    pairs = cookie("; ".join(f"keyhole_visit={value}" for value in values))
    assert isinstance(read([pairs], VISIT), Deny)


def test_a_shown_credential_does_not_show_its_secret() -> None:
    assert VALUE not in repr(read([MINE], None))
