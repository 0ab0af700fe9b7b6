"""Tokens of an OpenID Connect provider: who they are about, and what strangers try with them."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from keyhole.identity import oidc
from keyhole.identity.oidc import Expected, Keys, Person

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ISSUER = "https://login.example.org/realms/orthanc"
EXPECTED = Expected(issuer=ISSUER, audience="account")
CLAIMS: Mapping[str, Any] = {
    "iss": ISSUER,
    "aud": ["account", "other"],
    "sub": "2f7c0000-anna",
    "exp": int((NOW + timedelta(minutes=5)).timestamp()),
    "iat": int(NOW.timestamp()),
    "typ": "Bearer",
    "name": "Anna User",
    "preferred_username": "anna",
    "realm_access": {"roles": ["doctor", "offline_access"]},
    "groups": ["radiology"],
}


@cache
def signing(algorithm: str) -> RSAKey | ECKey | OKPKey:
    match algorithm[:2]:
        case "RS" | "PS":
            return RSAKey.generate_key(2048)
        case "ES":
            return ECKey.generate_key({"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[algorithm])
        case _:
            return OKPKey.generate_key("Ed25519")


@cache
def stranger() -> RSAKey:
    return RSAKey.generate_key(2048)


def listed(key: Any, **more: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": "k1", "use": "sig", **more}


def keys(*each: Mapping[str, Any]) -> Keys:
    return Keys.read({"keys": list(each)})


OURS = keys(listed(signing("RS256")))


def token(
    claims: object = CLAIMS, algorithm: str = "RS256", key: Any = None, header: Mapping[str, Any] | None = None
) -> str:
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    protected = {"alg": algorithm, "kid": "k1", "typ": "JWT", **(header or {})}
    return jws.serialize_compact(protected, payload, key or signing(algorithm), algorithms=[algorithm])


def whose(shown: str, held: Keys = OURS, expected: Expected = EXPECTED, now: datetime = NOW) -> Person | None:
    """What a gateway does with *shown*."""
    header = oidc.header(shown)
    key = None if header is None else held.named(header.kid)
    return None if header is None or key is None else oidc.verify(shown, header, key, expected, now)


def encoded(content: object) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def test_a_token_says_who_somebody_is() -> None:
    assert whose(token()) == Person(
        id="2f7c0000-anna",
        name="Anna User",
        roles=frozenset({"doctor", "offline_access"}),
        groups=("radiology",),
        until=NOW + timedelta(minutes=5),
    )


@pytest.mark.parametrize(
    "algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"]
)
def test_every_algorithm_with_a_public_key_is_understood(algorithm: str) -> None:
    held = keys(listed(signing(algorithm)))
    assert whose(token(algorithm=algorithm), held) is not None


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"name": None}, "anna"),
        ({"name": "  "}, "anna"),
        ({"name": ["Anna"]}, "anna"),
        ({"name": None, "preferred_username": None}, "2f7c0000-anna"),
        ({"name": "A" * 5000}, "A" * 200),
    ],
)
def test_the_name_is_the_first_there_is(changed: Mapping[str, Any], name: str) -> None:
    found = whose(token({**CLAIMS, **changed}))
    assert found is not None
    assert found.name == name


def test_the_audience_may_be_a_single_text() -> None:
    assert whose(token({**CLAIMS, "aud": "account"})) is not None


@pytest.mark.parametrize(
    ("seconds", "there"),
    [(0, True), (300, True), (309, True), (310, False), (3600, False)],
)
def test_a_token_ends_a_few_seconds_after_its_end(seconds: int, there: bool) -> None:
    assert (whose(token(), now=NOW + timedelta(seconds=seconds)) is not None) is there


@pytest.mark.parametrize(("ahead", "there"), [(10, True), (11, False)])
@pytest.mark.parametrize("claim", ["nbf", "iat"])
def test_a_token_begins_a_few_seconds_before_its_begin(claim: str, ahead: int, there: bool) -> None:
    assert (whose(token({**CLAIMS, claim: int(NOW.timestamp()) + ahead})) is not None) is there


NOT_OURS: Mapping[str, Mapping[str, Any]] = {
    "another issuer": {"iss": "https://login.example.org/realms/another"},
    "the issuer with a slash": {"iss": ISSUER + "/"},
    "the issuer in capitals": {"iss": ISSUER.upper()},
    "a list of issuers": {"iss": [ISSUER]},
    "no issuer": {"iss": None},
    "another audience": {"aud": "accounts"},
    "audiences without ours": {"aud": ["a", "b"]},
    "an audience that holds ours": {"aud": "account other"},
    "an object of audiences": {"aud": {"account": True}},
    "a list in a list": {"aud": [["account"]]},
    "no audience": {"aud": None},
    "an empty list of audiences": {"aud": []},
    "no end": {"exp": None},
    "an end that is text": {"exp": "4000000000"},
    "an end that is true": {"exp": True},
    "an end beyond all calendars": {"exp": 10**30},
    "no user": {"sub": None},
    "an empty user": {"sub": ""},
    "a user that is a number": {"sub": 7},
    "a user with a line break": {"sub": "anna\nrole:administrator"},
    "a user with a blank": {"sub": "anna user"},
    "a very long user": {"sub": "a" * 256},
    "an ID token": {"typ": "ID"},
    "a refresh token": {"typ": "Refresh"},
    "an odd purpose": {"typ": ["Bearer"]},
}


@pytest.mark.parametrize("changed", NOT_OURS.values(), ids=NOT_OURS.keys())
def test_what_is_not_said_exactly_as_expected_is_nobodys(changed: Mapping[str, Any]) -> None:
    claims = {name: value for name, value in {**CLAIMS, **changed}.items() if value is not None}
    assert whose(token(claims)) is None


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b"{", b"\xff", b'{"exp": NaN}', b"[" * 10_000])
def test_what_is_signed_and_holds_no_claims_is_nobodys(payload: bytes) -> None:
    assert whose(token(payload)) is None


# -- roles and groups


NO_NAMES: list[object] = [
    "administrator",
    {"administrator": {}},
    {"roles": "administrator"},
    [["administrator"]],
    [{"name": "administrator"}],
    [None, 1, True],
    ["r" * 201],
    ["r"] * 1001,
    [""],
    7,
    True,
    None,
]


@pytest.mark.parametrize("value", NO_NAMES, ids=lambda value: str(value)[:30])
@pytest.mark.parametrize("where", ["realm_access", "roles"])
def test_roles_that_are_no_list_of_names_are_none(value: object, where: str) -> None:
    changed = {"realm_access": value if where == "realm_access" else {"roles": value}}
    found = whose(token({**CLAIMS, **changed, "groups": value}))
    assert found is not None
    assert (found.roles, found.groups) == (frozenset(), ())


@pytest.mark.parametrize(
    ("path", "roles"),
    [
        ("roles", {"a"}),
        ("resource_access.orthanc.roles", {"b"}),
        ("https://example.org/roles", {"c"}),
        ("resource_access", set()),
        ("resource_access.orthanc.roles.deeper", set()),
        ("nowhere", set()),
        ("", set()),
        ("..", set()),
    ],
)
def test_roles_are_where_the_operator_says(path: str, roles: set[str]) -> None:
    claims = {
        **CLAIMS,
        "roles": ["a"],
        "resource_access": {"orthanc": {"roles": ["b"]}},
        "https://example.org/roles": ["c"],
    }
    found = whose(token(claims), expected=Expected(issuer=ISSUER, audience="account", roles=path))
    assert found is not None
    assert found.roles == roles


def test_deeply_nested_claims_are_no_trouble() -> None:
    nested = b'{"a":' * 2000 + b"1" + b"}" * 2000
    assert whose(token(nested)) is None
    wide = {**CLAIMS, "realm_access": {f"n{number}": number for number in range(500)}}
    found = whose(token(wide))
    assert found is not None
    assert found.roles == frozenset()


# -- signatures


def test_a_token_that_somebody_else_signed_is_nobodys() -> None:
    assert whose(token(key=stranger())) is None


def test_a_changed_token_is_nobodys() -> None:
    head, _, signature = token().split(".")
    claims = encoded({**CLAIMS, "realm_access": {"roles": ["administrator"]}})
    assert whose(f"{head}.{claims}.{signature}") is None


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("spelling", ["pem", "der", "jwk", "n"])
def test_a_public_key_is_no_shared_secret(algorithm: str, spelling: str) -> None:
    public = signing("RS256")
    secret = {
        "pem": public.as_pem(private=False),
        "der": public.as_der(private=False),
        "jwk": json.dumps(public.as_dict(private=False)).encode(),
        "n": str(public.as_dict(private=False)["n"]).encode(),
    }[spelling]
    forged = token(algorithm=algorithm, key=OctKey.import_key(encoded(secret)))
    assert oidc.header(forged) is None
    assert whose(forged) is None


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", "HS256", "RSA-OAEP", "dir", "ES256K", "RS1"])
@pytest.mark.parametrize("signature", ["", "AA"])
def test_no_other_algorithm_is_looked_at(name: str, signature: str) -> None:
    shown = f"{encoded({'alg': name, 'kid': 'k1'})}.{encoded(CLAIMS)}.{signature}"
    assert oidc.header(shown) is None


def test_a_key_verifies_its_own_algorithms_alone() -> None:
    """The header says ES256 (or another curve) over a key of another kind, and the other way round."""
    for algorithm in ("ES256", "ES384", "Ed25519"):
        assert whose(token(algorithm=algorithm)) is None
        assert whose(token(), keys(listed(signing(algorithm)))) is None
    assert whose(token(algorithm="ES384"), keys(listed(signing("ES256")))) is None


@pytest.mark.parametrize(
    "more",
    [
        {"jwk": "KEY"},
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/certificate"},
        {"x5c": ["MIIB"]},
        {"jwk": "KEY", "kid": "stranger"},
        {"kid": None},
        {"kid": ""},
        {"kid": "k1\x00"},
        {"kid": "../../k1"},
        {"kid": "/dev/null"},
        {"kid": "k1' OR '1'='1"},
        {"kid": ["k1"]},
        {"kid": "k" * 300},
    ],
    ids=str,
)
def test_keys_that_a_token_brings_along_are_not_looked_at(more: Mapping[str, Any]) -> None:
    own = listed(stranger())
    header = {name: own if value == "KEY" else value for name, value in more.items()}
    head = {"alg": "RS256", "kid": "k1", "typ": "JWT", **header}
    signed = jws.serialize_compact({"alg": "RS256"}, json.dumps(CLAIMS).encode(), stranger(), algorithms=["RS256"])
    assert whose(f"{encoded(head)}.{encoded(CLAIMS)}.{signed.rpartition('.')[2]}") is None
    # Signed as the header says, too, where the library lets one sign such a header.
    if isinstance(head["kid"], str) and "x5c" not in head:
        assert whose(token(key=stranger(), header=header)) is None


def test_an_address_of_keys_in_a_good_token_changes_nothing() -> None:
    assert whose(token(header={"jku": "https://evil.example/keys"})) == whose(token())


@pytest.mark.parametrize(
    "head",
    [
        {"alg": "RS256", "kid": "k1", "crit": ["exp"], "exp": 1},
        {"alg": "RS256", "kid": "k1", "crit": ["b64"], "b64": False},
        {"alg": "RS256", "kid": "k1", "crit": None},
        {"alg": "RS256", "kid": "k1", "typ": "logout+jwt"},
        {"alg": "RS256", "kid": "k1", "typ": "dpop+jwt"},
        {"alg": ["RS256"], "kid": "k1"},
        {"kid": "k1"},
        [],
        None,
        b"[" * 5000,
        b'{"alg":' * 1000,
        b"\xff\xfe",
        b"",
    ],
    ids=lambda head: str(head)[:40],
)
def test_a_header_that_says_more_than_is_understood_is_nobodys(head: object) -> None:
    assert oidc.header(f"{encoded(head)}.{encoded(CLAIMS)}.AAAA") is None


@pytest.mark.parametrize(
    "shown",
    [
        "",
        ".",
        "..",
        "...",
        "a.b",
        "a.b.c.d",
        "a.b.c.d.e",
        " a.b.c",
        "a.b.c\n",
        "a.b.ç",
        "kht_aaaaaaaaaaaaaaaa_" + "a" * 32,
        "a" * 20_000,
        "a." * 9000,
    ],
    ids=lambda shown: shown[:20],
)
def test_what_is_no_token_is_nobodys_at_no_cost(shown: str) -> None:
    assert oidc.header(shown) is None


def test_a_token_of_many_kilobytes_is_not_looked_at() -> None:
    assert oidc.header(token({**CLAIMS, "more": "x" * 20_000})) is None


@given(st.text(max_size=200))
def test_no_text_is_trouble(text: str) -> None:
    assert whose(text) is None


@given(st.integers(0, 10_000), st.characters(categories=["L", "N", "P"]))
def test_no_letter_of_a_token_can_be_changed(place: int, letter: str) -> None:
    whole = token()
    place %= len(whole) - 2  # the last letters of a signature may hold bits that mean nothing
    if whole[place] != letter:
        assert whose(whole[:place] + letter + whole[place + 1 :]) is None


# -- sets of keys


@pytest.mark.parametrize("document", [None, [], "keys", {}, {"keys": {}}, {"keys": "k"}, {"keys": [{}] * 101}])
def test_what_is_no_set_of_keys_is_refused(document: object) -> None:
    with pytest.raises(ValueError, match="set of keys"):
        Keys.read(document)


def test_ten_thousand_keys_are_refused_before_one_is_read() -> None:
    many = {"keys": [listed(signing("RS256"), kid=str(number)) for number in range(10_000)]}
    began = time.perf_counter()
    with pytest.raises(ValueError, match="set of keys"):
        Keys.read(many)
    assert time.perf_counter() - began < 1


OCT = {"kty": "oct", "k": encoded(b"secret" * 8), "kid": "k1"}
NO_KEYS: Mapping[str, Callable[[], object]] = {
    "a shared secret": lambda: {**OCT, "alg": "RS256"},
    "a shared secret with members of a public key": lambda: {**OCT, "use": "sig", "n": "AQAB", "e": "AQAB"},
    "a key to encrypt with": lambda: listed(signing("RS256"), use="enc"),
    "a name that is a number": lambda: listed(signing("RS256"), kid=7),
    "a kind in small letters": lambda: listed(signing("RS256"), kty="rsa"),
    "a list of kinds": lambda: listed(signing("RS256"), kty=["RSA"]),
    "a short modulus": lambda: listed(signing("RS256"), n="AQAB"),
    "a modulus that would take minutes": lambda: listed(signing("RS256"), n=encoded(b"\xff" * 500_000)),
    "a modulus that is a number": lambda: listed(signing("RS256"), n=7),
    "no exponent": lambda: listed(signing("RS256"), e=None),
    "no members": lambda: {"kty": "RSA", "kid": "k1"},
    "no point of the curve": lambda: {"kty": "EC", "kid": "k1", "crv": "P-256", "x": "AA", "y": "AA"},
    "no curve": lambda: {"kty": "EC", "kid": "k1", "crv": "P-1", "x": "AA", "y": "AA"},
    "a short point": lambda: {"kty": "OKP", "kid": "k1", "crv": "Ed25519", "x": "AA"},
    "text": lambda: "k1",
    "nothing": lambda: None,
    "a list": list,
}


@pytest.mark.parametrize("make", NO_KEYS.values(), ids=NO_KEYS.keys())
def test_an_entry_that_is_no_key_for_signatures_is_passed_over(make: Callable[[], object]) -> None:
    entry = make()
    assert Keys.read({"keys": [entry]}).by_name == {}
    held = Keys.read({"keys": [entry, listed(signing("RS256"))]})
    assert whose(token(), held) is not None


@pytest.mark.filterwarnings("ignore:Key size")
def test_a_short_key_is_none() -> None:
    short = RSAKey.generate_key(1024).as_dict(private=False)
    assert keys(listed(signing("RS256"), **short)).by_name == {}
    padded = encoded(bytes(200) + base64.urlsafe_b64decode(f"{short['n']}=="))
    assert keys(listed(signing("RS256"), n=padded)).by_name == {}


def test_of_a_key_only_the_public_half_is_kept() -> None:
    (held,) = keys({**signing("RS256").as_dict(private=True), "kid": "k1"}).by_name.values()
    assert not held.is_private


def test_the_first_of_two_keys_of_one_name_counts() -> None:
    assert whose(token(), keys(listed(signing("RS256")), listed(stranger()))) is not None
    assert whose(token(), keys(listed(stranger()), listed(signing("RS256")))) is None


def test_a_token_without_the_name_of_a_key_is_verified_where_there_is_one_key_only() -> None:
    nameless = jws.serialize_compact({"alg": "RS256"}, json.dumps(CLAIMS).encode(), signing("RS256"))
    assert whose(nameless) is not None
    assert whose(nameless, keys(listed(signing("RS256")), listed(stranger(), kid="k2"))) is None
