"""A provider's description and keys: read when needed, held while they serve, and never somebody else's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from keyhole.errors import ProviderFailed
from keyhole.gateway import provider
from keyhole.gateway.provider import Provider

ISSUER = "https://login.example.org/realms/orthanc"
DISCOVERY = f"{ISSUER}/.well-known/openid-configuration"
JWKS = f"{ISSUER}/keys"
TOKENS = f"{ISSUER}/token"
OTHER = "it does not describe itself as the issuer that KEYHOLE_OIDC_ISSUER names"


@cache
def key(name: str) -> dict[str, Any]:
    return {**RSAKey.generate_key(2048).as_dict(private=False), "kid": name, "use": "sig"}


@dataclass
class World:
    """A provider that answers what it is told to, and a clock that is moved by hand."""

    issuer: str = ISSUER
    at: str | None = None
    now: float = 1000.0
    down: bool = False
    slow: asyncio.Event | None = None
    asked: list[str] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.answers |= {
            DISCOVERY: {"issuer": ISSUER, "jwks_uri": JWKS, "token_endpoint": TOKENS},
            JWKS: {"keys": [key("k1")]},
        }
        self.provider = Provider(self.issuer, self, lambda: self.now, self.at)

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> tuple[int, object]:
        self.asked.append(url)
        if self.slow is not None:
            await self.slow.wait()
        if self.down:
            raise ProviderFailed("down")
        return (200, self.answers[url]) if url in self.answers else (404, None)

    async def post(
        self, url: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> tuple[int, object]:
        raise AssertionError(url)

    def rotate(self, *names: str) -> None:
        self.answers[JWKS] = {"keys": [key(name) for name in names]}

    async def has(self, name: str | None) -> bool:
        return await self.provider.key(name) is not None


async def test_keys_are_where_the_description_says_and_read_once() -> None:
    world = World()
    for _ in range(3):
        assert await world.has("k1")
    assert world.asked == [DISCOVERY, JWKS]
    assert await world.provider.token_endpoint() == TOKENS
    assert world.asked == [DISCOVERY, JWKS]


async def test_many_who_ask_at_once_are_one_question() -> None:
    world = World(slow=asyncio.Event())
    asking = [asyncio.ensure_future(world.has("k1")) for _ in range(50)]
    await asyncio.sleep(0)
    assert world.slow is not None
    world.slow.set()
    assert all(await asyncio.gather(*asking))
    assert world.asked == [DISCOVERY, JWKS]


async def test_one_who_leaves_takes_the_answer_from_nobody() -> None:
    world = World(slow=asyncio.Event())
    leaving, staying = (asyncio.ensure_future(world.has("k1")) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)
    assert world.slow is not None
    world.slow.set()
    assert await staying


async def test_a_new_key_is_found_at_once() -> None:
    world = World()
    await world.has("k1")
    world.now += provider.PAUSE
    world.rotate("k1", "k2")
    assert await world.has("k2")


async def test_made_up_names_make_no_more_than_a_question_every_few_seconds() -> None:
    world = World()
    await world.has("k1")
    world.now += provider.PAUSE
    before = len(world.asked)
    for number in range(100):
        assert not await world.has(f"made-up-{number}")
        world.now += provider.PAUSE / 100 - 0.001
    assert len(world.asked) - before == 2
    assert await world.has("k1")


async def test_a_key_that_the_provider_takes_away_serves_for_minutes_at_most() -> None:
    world = World()
    await world.has("k1")
    world.rotate("k2")
    world.now += provider.FRESH - 1
    assert await world.has("k1")
    world.now += 1
    assert not await world.has("k1")
    assert await world.has("k2")


async def test_while_the_provider_is_down_its_keys_serve_on_and_not_for_ever() -> None:
    world = World()
    await world.has("k1")
    world.down = True
    world.now += provider.FRESH
    assert await world.has("k1")
    with pytest.raises(ProviderFailed):
        await world.has("k2")
    world.now += provider.SERVE_ON
    with pytest.raises(ProviderFailed):
        await world.has("k1")
    with pytest.raises(ProviderFailed):
        await world.provider.token_endpoint()


async def test_a_provider_that_is_back_is_found_soon() -> None:
    world = World(down=True)
    for _ in range(20):
        with pytest.raises(ProviderFailed):
            await world.has("k1")
    assert world.asked == [DISCOVERY]
    world.down = False
    world.now += provider.PAUSE_AFTER_FAILURE
    assert await world.has("k1")


async def test_a_provider_that_hangs_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider, "PATIENCE", 0.05)
    world = World(slow=asyncio.Event())
    with pytest.raises(ProviderFailed):
        await world.has("k1")


@pytest.mark.parametrize("issuer", [ISSUER + "/", ISSUER.upper(), "https://evil.example", None, [ISSUER], ""])
async def test_the_description_of_another_issuer_is_not_used(issuer: object) -> None:
    world = World()
    world.answers[DISCOVERY] |= {"issuer": issuer}
    with pytest.raises(ProviderFailed):
        await world.has("k1")
    assert world.asked == [DISCOVERY]


async def test_what_is_wrong_is_told_once_and_that_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    described = world.answers[DISCOVERY]
    for answer in ({**described, "issuer": "https://evil.example"},) * 3 + (described,) * 2:
        world.answers[DISCOVERY] = answer
        with contextlib.suppress(ProviderFailed):
            await world.has("k1")
        world.now += provider.FRESH
    assert [record.getMessage() for record in caplog.records] == [
        f"the identity provider's keys cannot be had: {OTHER}",
        "the identity provider's keys can be had again",
    ]


async def test_an_issuer_with_a_slash_at_its_end_is_that_very_issuer() -> None:
    world = World(issuer=ISSUER + "/")
    world.answers[DISCOVERY] |= {"issuer": ISSUER + "/"}
    assert await world.has("k1")


@pytest.mark.parametrize("document", [None, [], "x", {}, {"issuer": ISSUER}, {"issuer": ISSUER, "jwks_uri": 7}])
async def test_what_is_no_description_is_a_failure(document: object) -> None:
    world = World()
    world.answers[DISCOVERY] = document
    with pytest.raises(ProviderFailed):
        await world.has("k1")


@pytest.mark.parametrize(
    "url",
    [
        "http://login.example.org/keys",
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:8042/system",
        "file:///etc/passwd",
        "gopher://login.example.org/x",
        "HTTP://login.example.org/keys",
        "//login.example.org/keys",
        "/keys",
        "",
        "https://",
        "https://user@login.example.org/keys",
        "https://login.example.org\\@evil.example/keys",
        "https://login.example.org/keys ",
        "https://login.example.org/keys\r\nHost: evil",
        "https://login.example.org/" + "k" * 2000,
        "https://lögin.example.org/keys",
        "https://[::1/keys",
    ],
)
@pytest.mark.parametrize("member", ["jwks_uri", "token_endpoint"])
async def test_a_description_cannot_send_keyhole_anywhere_that_is_readable_on_the_way(member: str, url: str) -> None:
    world = World()
    world.answers[DISCOVERY] |= {member: url}
    with pytest.raises(ProviderFailed):
        await world.has("k1")
    assert world.asked == [DISCOVERY]


async def test_keys_may_be_on_another_server_over_https() -> None:
    world = World()
    elsewhere = "https://keys.example.org/certs?p=1"
    world.answers |= {DISCOVERY: {"issuer": ISSUER, "jwks_uri": elsewhere}, elsewhere: world.answers[JWKS]}
    assert await world.has("k1")
    with pytest.raises(ProviderFailed, match="tokens"):
        await world.provider.token_endpoint()


async def test_a_provider_may_be_reached_elsewhere_than_its_issuer_says() -> None:
    inside = "http://keycloak:8080/realms/orthanc"
    world = World(at=inside)
    world.answers |= {
        f"{inside}/.well-known/openid-configuration": {"issuer": ISSUER, "jwks_uri": f"{inside}/keys"},
        f"{inside}/keys": {"keys": [key("k1")]},
    }
    assert await world.has("k1")
    assert all(url.startswith(inside) for url in world.asked)


@pytest.mark.parametrize(
    "document",
    [None, {}, {"keys": "k"}, {"keys": [key("k1")] * 10_000}],
    ids=["nothing", "no keys", "text", "ten thousand keys"],
)
async def test_what_is_no_set_of_keys_replaces_none(document: object) -> None:
    world = World()
    await world.has("k1")
    world.answers[JWKS] = document
    world.now += provider.FRESH
    assert await world.has("k1")


async def test_a_secret_key_in_the_set_verifies_nothing() -> None:
    world = World()
    world.answers[JWKS] = {"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "k1"}]}
    assert not await world.has("k1")
    assert not await world.has(None)
