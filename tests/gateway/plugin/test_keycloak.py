"""Keycloak's admin API as Keyhole asks it: sparingly, with a token of its own, and believing little."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from keyhole.access.secret import Secret
from keyhole.errors import ProviderFailed
from keyhole.gateway.plugin import keycloak, provider_users
from keyhole.gateway.plugin.keycloak import Account, Keycloak
from keyhole.gateway.plugin.provider_users import KeycloakUsers, TokenUsers
from keyhole.gateway.provider import Provider
from keyhole.identity.oidc import Expected

ISSUER = "https://login.example.org/realms/orthanc"
ADMIN = "https://login.example.org/admin/realms/orthanc"
TOKENS = f"{ISSUER}/token"
SECRET = "the-secret-of-admin-cli"
API_KEY = "annas-key-0123456789"
ANNA = {
    "id": "anna-id",
    "username": "anna",
    "firstName": "Anna",
    "lastName": "User",
    "enabled": True,
    "attributes": {"api-key": [API_KEY]},
}


@dataclass
class World:
    """A Keycloak with one user, and a clock that is moved by hand."""

    now: float = 1000.0
    down: bool = False
    hangs: asyncio.Event | None = None
    hangs_on: str = ""
    accepted: str = "token-1"
    given: list[Any] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.answers |= {
            f"{ISSUER}/.well-known/openid-configuration": (
                200,
                {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys", "token_endpoint": TOKENS},
            ),
            f"{ISSUER}/keys": (200, {"keys": []}),
        }
        self.user(ANNA)
        self.answers[f"{ADMIN}/users/anna-id/role-mappings/realm/composite"] = (200, [{"name": "doctor"}, {"name": 7}])
        self.answers[f"{ADMIN}/users/anna-id/groups"] = (200, [{"name": "radiology", "path": "/radiology"}])
        self.answers[f"{ADMIN}/roles"] = (200, [{"name": "doctor"}, {"name": "nurse"}])
        provider = Provider(ISSUER, self, lambda: self.now)
        self.keycloak = Keycloak(ADMIN, Secret(SECRET), provider, self, lambda: self.now)

    def user(self, content: Any) -> None:
        self.answers[f"{ADMIN}/users/anna-id"] = (200, content)
        self.answers[f"{ADMIN}/users"] = (200, [content])

    def times(self, path: str) -> int:
        return sum(urlsplit(url).path == urlsplit(ADMIN).path + path for url in self.asked)

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> tuple[int, object]:
        self.asked.append(url)
        if self.hangs is not None and self.hangs_on in url:
            await self.hangs.wait()
        if self.down:
            raise ProviderFailed("down")
        if url.startswith(ADMIN) and (headers or {}).get("Authorization") != f"Bearer {self.accepted}":
            return 401, None
        return self.answers.get(url.partition("?")[0], (404, None))

    async def post(
        self, url: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> tuple[int, object]:
        assert (url, form["client_secret"]) == (TOKENS, SECRET)
        self.given.append(dict(form))
        return 200, {"access_token": f"token-{len(self.given)}", "expires_in": 60}


async def test_a_user_is_what_keycloak_says_of_them() -> None:
    world = World()
    assert await world.keycloak.account("anna-id") == Account(
        id="anna-id", name="Anna User", enabled=True, roles=frozenset({"doctor"}), groups=("radiology",)
    )
    assert await world.keycloak.account("nobody") is None
    assert world.given == [{"grant_type": "client_credentials", "client_id": "admin-cli", "client_secret": SECRET}]


async def test_a_disabled_user_has_no_roles_and_no_groups() -> None:
    world = World()
    world.user({**ANNA, "enabled": False})
    assert await world.keycloak.account("anna-id") == Account(id="anna-id", name="Anna User", enabled=False)


@pytest.mark.parametrize("enabled", [None, "true", 1, []])
async def test_who_is_not_said_to_be_enabled_is_not(enabled: object) -> None:
    world = World()
    world.user({**ANNA, "enabled": enabled})
    found = await world.keycloak.account("anna-id")
    assert found is not None
    assert not found.enabled


async def test_an_answer_is_held_for_seconds() -> None:
    world = World()
    for _ in range(3):
        await world.keycloak.account("anna-id")
        await world.keycloak.account("nobody")
    assert world.times("/users/anna-id") == world.times("/users/nobody") == 1
    world.now += keycloak.HELD
    await world.keycloak.account("anna-id")
    assert world.times("/users/anna-id") == 2


async def test_no_more_answers_are_held_than_fit() -> None:
    world = World()
    for number in range(2100):
        await world.keycloak.account(f"nobody-{number}")
    assert len(world.keycloak._held) == 2000
    await world.keycloak.account("nobody-0")
    assert world.times("/users/nobody-0") == 2


@pytest.mark.parametrize(
    "user_id",
    ["", ".", "..", "../roles", "a/b", "a%2fb", "a?b", "a#b", "a b", "a\r\n", "-a", "ä", "a" * 101, "a\x00"],
)
async def test_an_id_that_could_mean_something_else_is_nobodys_and_not_asked_for(user_id: str) -> None:
    world = World()
    assert await world.keycloak.account(user_id) is None
    assert world.asked == []


async def test_an_api_key_is_of_the_user_who_has_it() -> None:
    world = World()
    found = await world.keycloak.holder(API_KEY)
    assert found is not None
    assert found.name == "Anna User"
    (asked,) = [url for url in world.asked if url.startswith(f"{ADMIN}/users?")]
    assert parse_qs(urlsplit(asked).query)["q"] == [f"api-key:{API_KEY}"]


@pytest.mark.parametrize(
    "shown",
    ["", "short", "*" * 20, "a" * 256, f"{API_KEY} x:y", f'"{API_KEY}"', f"{API_KEY}&q=x", f"{API_KEY}\n", "ä" * 20],
)
async def test_a_key_that_means_something_in_a_query_is_not_asked_for(shown: str) -> None:
    world = World()
    assert await world.keycloak.holder(shown) is None
    assert world.asked == []


@pytest.mark.parametrize(
    "listed",
    [
        [],
        None,
        {},
        [ANNA, ANNA],
        [{**ANNA, "attributes": {"api-key": [API_KEY.upper()]}}],
        [{**ANNA, "attributes": {"api-key": API_KEY}}],
        [{**ANNA, "attributes": {"other": [API_KEY]}}],
        [{**ANNA, "attributes": None}],
        [{"id": "anna-id", "enabled": True}],
        ["anna"],
    ],
)
async def test_what_keycloak_finds_is_compared_with_what_was_shown(listed: Any) -> None:
    world = World()
    world.answers[f"{ADMIN}/users"] = (200, listed)
    assert await world.keycloak.holder(API_KEY) is None


async def test_the_realms_roles_are_listed() -> None:
    world = World()
    assert await world.keycloak.roles() == {"doctor", "nurse"}


async def test_a_token_of_its_own_serves_until_it_ends_or_is_refused() -> None:
    world = World()
    await world.keycloak.account("anna-id")
    assert len(world.given) == 1
    world.now += 49
    world.accepted = "token-1"
    await world.keycloak.roles()
    assert len(world.given) == 1
    world.now += keycloak.HELD
    world.accepted = "token-2"
    await world.keycloak.roles()
    assert len(world.given) == 2
    world.now += keycloak.HELD
    world.accepted = "token-3"  # the one that is held is refused, for Keycloak was started anew
    await world.keycloak.roles()
    assert len(world.given) == 3


async def test_a_secret_that_is_refused_is_a_failure_without_it(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.accepted = "never"
    with pytest.raises(ProviderFailed) as failed:
        await world.keycloak.account("anna-id")
    assert SECRET not in str(failed.value)
    assert len(world.given) == 2
    assert SECRET not in repr(world.keycloak._secret)
    assert "Keycloak's admin API refuses Keyhole" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize("answer", [(403, None), (500, None), (200, "x"), (200, {"id": "../x", "enabled": True})])
async def test_what_is_no_user_is_a_failure(answer: tuple[int, Any]) -> None:
    world = World()
    world.answers[f"{ADMIN}/users/anna-id"] = answer
    with pytest.raises(ProviderFailed):
        await world.keycloak.account("anna-id")


async def test_a_keycloak_that_failed_is_spared_for_a_moment() -> None:
    world = World(down=True)
    for _ in range(20):
        with pytest.raises(ProviderFailed):
            await world.keycloak.account("anna-id")
    assert len(world.asked) == 1
    world.down, world.now = False, world.now + 3
    assert await world.keycloak.account("anna-id") is not None


async def test_whoever_makes_up_keys_holds_up_nobody_with_an_id() -> None:
    world = World()
    await world.keycloak.roles()
    world.hangs, world.hangs_on = asyncio.Event(), "/users?"
    guesses = [asyncio.ensure_future(world.keycloak.holder(f"made-up-key-{number:04}")) for number in range(50)]
    await asyncio.sleep(0.01)
    assert world.times("/users") == 2
    assert await world.keycloak.account("anna-id") is not None
    world.hangs.set()
    assert await asyncio.gather(*guesses) == [None] * 50


async def test_many_who_ask_the_same_are_one_question_and_one_who_leaves_takes_it_from_nobody() -> None:
    world = World()
    await world.keycloak.account("nobody")
    world.hangs = asyncio.Event()
    leaving, *staying = (asyncio.ensure_future(world.keycloak.roles()) for _ in range(50))
    await asyncio.sleep(0.01)
    leaving.cancel()
    world.hangs.set()
    assert await asyncio.gather(*staying) == [{"doctor", "nurse"}] * 49
    assert world.times("/roles") == 1


async def test_no_more_is_under_way_than_can_be_asked_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes up keys by the thousand while Keycloak hangs fills no memory, and Keycloak's return is quick."""
    monkeypatch.setattr(keycloak, "_PATIENCE", 0.05)
    world = World()
    await world.keycloak.roles()
    world.hangs = asyncio.Event()
    guesses = [asyncio.ensure_future(world.keycloak.holder(f"made-up-key-{number:04}")) for number in range(1000)]
    found = await asyncio.gather(*guesses, return_exceptions=True)
    assert {type(each) for each in found} == {ProviderFailed}
    assert world.times("/users") == 2
    assert world.keycloak._asking == {}


async def test_a_keycloak_that_hangs_fails_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keycloak, "_PATIENCE", 0.05)
    world = World()
    await world.keycloak.roles()
    world.hangs = asyncio.Event()
    with pytest.raises(ProviderFailed):
        await world.keycloak.account("anna-id")


# -- as users of Orthanc


def users(world: World, *, api_keys: bool = True) -> KeycloakUsers:
    return KeycloakUsers(keycloak=world.keycloak, api_keys=api_keys)


async def test_an_api_key_is_one_under_its_own_name_only_and_where_that_is_set() -> None:
    world = World()
    found = await users(world).of_token("api-key", API_KEY)
    assert found is not None
    assert (found.principal, found.roles, found.until) == ("user:anna-id", {"doctor"}, None)
    assert await users(world).of_token("authorization", API_KEY) is None
    assert await users(world, api_keys=False).of_token("api-key", API_KEY) is None


async def test_a_disabled_users_key_is_nobodys_and_the_name_stays_for_the_log() -> None:
    world = World()
    world.user({**ANNA, "enabled": False})
    assert await users(world).of_token("api-key", API_KEY) is None
    found = await users(world).of_id("anna-id")
    assert found is not None
    assert (found.name, found.roles) == ("Anna User", frozenset())
    assert await users(world).of_id("nobody") is None


async def test_a_question_that_takes_too_long_is_the_providers_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_users, "PATIENCE", 0.05)
    world = World(hangs=asyncio.Event())
    with pytest.raises(ProviderFailed):
        await users(world).of_id("anna-id")


@pytest.mark.parametrize("shown", ["kht_aaaaaaaaaaaaaaaa_" + "a" * 32, "garbage", "a.b.c", "", "x" * 60_000])
async def test_what_is_no_token_of_a_provider_costs_no_question(shown: str) -> None:
    world = World()
    tokens = TokenUsers(
        expected=Expected(issuer=ISSUER, audience="account"),
        provider=Provider(ISSUER, world, lambda: world.now),
        keycloak=None,
        now=lambda: datetime(2026, 3, 1, tzinfo=UTC),
    )
    assert await tokens.of_token("token", shown) is None
    assert await tokens.of_id("anna-id") is None
    assert world.asked == []
