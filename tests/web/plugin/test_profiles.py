"""Who a user of Orthanc is, and what the Explorer's roles are: on the wire, with a store behind."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keyhole.access.decision import Event, Reason, Record
from keyhole.access.resource import Action
from keyhole.access.share import ApiKey
from keyhole.access.subject import MAY_EVER, Kind
from keyhole.errors import ProviderFailed
from keyhole.gateway.current import Current
from keyhole.gateway.ledger import Ledger
from keyhole.gateway.plugin.caller import Caller
from keyhole.gateway.plugin.key_users import KeyUsers
from keyhole.gateway.plugin.profiles import Profiles, User
from keyhole.gateway.plugin.roles import Roles
from keyhole.identity import apikey
from keyhole.identity.explorer_role import USUAL
from keyhole.sharing.token import Creation
from keyhole.store.memory import MemoryStore
from keyhole.store.trail import TrailQuery
from keyhole.web.plugin import profile, roles
from keyhole.web.plugin.credentials import Credential, Credentials
from keyhole.web.plugin.wire import Plugin
from tests import asgi

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PASSWORD = "a-password-of-some-length"
BASIC = {"authorization": "Basic " + base64.b64encode(f"orthanc:{PASSWORD}".encode()).decode()}
LABELLED = {"permissions": ["view", "own-permission"], "authorized-labels": ["clinic-a"]}
DOCUMENT = {"roles": {"doctor": LABELLED}, "available-labels": ["clinic-a"]}
ANNA = User(principal="user:anna", id="anna-id", name="Anna", roles=frozenset({"doctor"}), groups=("radiology",))


class SomeUsers:
    """Users of a provider that a test makes up."""

    def __init__(self) -> None:
        self.user: User | None = ANNA
        self.down = False

    async def of_token(self, key: str, token: str) -> User | None:
        if self.down:
            raise ProviderFailed("the provider does not answer")
        return self.user if (key, token) == ("authorization", "annas-token") else None

    async def of_id(self, user_id: str) -> User | None:
        return self.user if self.user is not None and user_id == self.user.id else None


@dataclass
class Service:
    """The service with everything real but the users' provider."""

    caller: Caller = field(default_factory=lambda: Caller(name="orthanc", archive="main", server_id=None))
    anonymous: frozenset[str] = frozenset()
    store: MemoryStore = field(default_factory=MemoryStore)
    users: SomeUsers = field(default_factory=SomeUsers)
    refused: list[Record] = field(default_factory=list)
    known: frozenset[str] | None = None
    silent: bool = False

    def __post_init__(self) -> None:
        current = Current(self.store, time.monotonic)
        self.ledger = Ledger(self.store, lambda: NOW)
        book = Roles(current=current, store=self.store, ledger=self.ledger, now=lambda: NOW, known=self._known)
        profiles = Profiles(
            users=(KeyUsers(current, lambda: NOW), self.users),
            roles=book,
            ledger=self.ledger,
            validity=5,
            anonymous=self.anonymous,
            now=lambda: NOW,
        )
        credentials = Credentials([Credential.of(self.caller, "orthanc", PASSWORD)])
        routes = (profile.route(profiles), *roles.routes(book))
        self.http = asgi.Caller(Plugin(routes, credentials, self.refused.append, lambda: NOW))

    async def _known(self) -> frozenset[str] | None:
        if self.silent:
            await asyncio.sleep(600)
        return self.known

    async def ask(self, body: Mapping[str, Any] | bytes) -> Any:
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = await self.http.call("POST", "/plugin/user/get-profile", BASIC, (sent,))
        assert answer.status == 200
        return answer.json()

    async def of(self, token: str, key: str = "Authorization") -> Any:
        return await self.ask({"server-id": None, "token-key": key, "token-value": token})

    async def put(self, document: Any) -> asgi.Answer:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return await self.http.call("PUT", "/plugin/settings/roles", BASIC, (body,))

    async def key(self, *names: str, ceiling: frozenset[Action] = MAY_EVER[Kind.API_KEY]) -> tuple[ApiKey, str]:
        key, shown = apikey.mint(
            name="worklist", roles=frozenset(names), ceiling=ceiling, creator="operator:x", created_at=NOW
        )
        await self.store.add_key(key, Record(at=NOW, event=Event.KEY_CREATED, subject="operator:x"))
        return key, shown

    async def events(self) -> list[Event]:
        return [row.record.event for row in await self.store.trail(TrailQuery())]


def nothing(answer: Mapping[str, Any]) -> bool:
    return (answer["permissions"], answer["authorized-labels"]) == ([], []) and answer["validity"] >= 1


@pytest.mark.parametrize(
    "body",
    [
        {"token-key": "", "token-value": ""},
        {"token-key": "Authorization", "token-value": ""},
        {"token-key": "Authorization", "token-value": "Bearer "},
        {},
        {"token-key": None, "token-value": None},
        {"token-key": "token", "token-value": "kht_aaaaaaaaaaaaaaaa_" + "a" * 32},
        {"token-key": "token", "token-value": "garbage"},
        {"token-key": "token", "token-value": "khk_aaaaaaaaaaaaaaaa_" + "a" * 32},
        {"token-key": 1},
        [],
        b"{",
        b"",
    ],
)
async def test_whoever_is_nobody_may_do_nothing_and_gets_a_profile_all_the_same(body: Any) -> None:
    service = Service()
    answer = await service.ask(body)
    assert nothing(answer)
    assert (answer["name"], answer["user-id"], answer["groups"]) == ("Anonymous", None, [])
    assert await service.events() == []


async def test_a_user_has_what_their_roles_have_and_that_is_on_record() -> None:
    service = Service()
    await service.put(DOCUMENT)
    for shown in ("annas-token", "Bearer annas-token", "bearer  annas-token"):
        assert await service.of(shown) == {
            "name": "Anna",
            "user-id": "anna-id",
            "permissions": ["view", "own-permission"],
            "authorized-labels": ["clinic-a"],
            "groups": ["radiology"],
            "validity": 5,
        }
    await service.ledger.flush()
    assert await service.events() == [Event.ROLES_CHANGED, Event.PROFILE_GIVEN, Event.COUNT]


async def test_the_trail_has_the_name_beside_the_chain_and_of_the_roles_those_that_are_described() -> None:
    service = Service()
    await service.put(DOCUMENT)
    service.users.user = replace(ANNA, roles=frozenset({"doctor", "offline_access", "x" * 200}))
    await service.of("annas-token")
    (given,) = [
        row.record for row in await service.store.trail(TrailQuery()) if row.record.event is Event.PROFILE_GIVEN
    ]
    assert given.detail == {"through": "plugin:orthanc", "roles": "doctor"}
    assert given.personal == {"name": "Anna"}
    assert given.subject == "user:anna"


async def test_a_user_who_may_do_something_has_a_label() -> None:
    service = Service()
    await service.put({"roles": {"doctor": {"permissions": ["upload"], "authorized-labels": []}}})
    answer = await service.of("annas-token")
    assert (answer["permissions"], answer["authorized-labels"]) == (["upload"], ["keyhole-no-study"])


async def test_a_token_is_looked_for_under_the_name_it_is_shown_by_whatever_its_case() -> None:
    service = Service()
    await service.put(DOCUMENT)
    assert (await service.of("annas-token", "AUTHORIZATION"))["name"] == "Anna"
    assert nothing(await service.of("annas-token", "token"))


async def test_a_user_without_a_known_role_keeps_the_name_and_may_do_nothing() -> None:
    service = Service()
    answer = await service.of("annas-token")
    assert nothing(answer)
    assert answer["name"] == "Anna"


async def test_a_profile_lasts_no_longer_than_what_was_shown() -> None:
    service = Service()
    for left, validity in ((3600, 5), (3, 3), (0, 1)):
        service.users.user = replace(ANNA, until=NOW + timedelta(seconds=left))
        assert (await service.of("annas-token"))["validity"] == validity


async def test_while_the_provider_is_down_everybody_is_nobody_and_asked_again_soon() -> None:
    service = Service()
    service.users.down = True
    answer = await service.of("annas-token")
    assert nothing(answer)
    assert answer["validity"] == 1
    assert [(record.event, record.reason) for record in service.refused] == [(Event.FAILURE, Reason.PROVIDER_FAILED)]


async def test_while_the_trail_cannot_be_written_no_profile_leaves() -> None:
    service = Service()
    await service.put(DOCUMENT)
    await service.of("nobody")
    await service.store.close()
    assert nothing(await service.of("annas-token"))


async def test_an_id_is_looked_up_for_the_log_and_nobody_is_null() -> None:
    service = Service()
    assert (await service.ask({"server-id": None, "user-id": "anna-id"}))["name"] == "Anna"
    assert await service.ask({"server-id": None, "user-id": "somebody"}) is None


async def test_another_orthancs_question_is_nobodys() -> None:
    service = Service(caller=Caller(name="orthanc", archive="main", server_id="north"))
    body = {"token-key": "Authorization", "token-value": "annas-token"}
    assert (await service.ask({**body, "server-id": "north"}))["name"] == "Anna"
    for other in ("south", None, ""):
        assert (await service.ask({**body, "server-id": other}))["name"] == "Anonymous"


async def test_those_who_show_nothing_have_the_roles_that_the_operator_gives_them_and_no_others() -> None:
    service = Service(anonymous=frozenset({"uploader"}))
    assert (await service.of(""))["permissions"] == ["upload"]
    assert nothing(await service.of("garbage"))


async def test_a_key_of_keyholes_is_a_user_with_its_roles() -> None:
    service = Service()
    key, shown = await service.key("reader")
    for name in ("token", "api-key", "Authorization"):
        answer = await service.of(shown, name)
        assert (answer["name"], answer["user-id"]) == ("worklist", f"key:{key.id}")
        assert answer["permissions"] == ["view", "download"]
    assert (await service.ask({"user-id": f"key:{key.id}"}))["name"] == "worklist"


async def test_a_revoked_key_is_nobody_and_its_name_stays_for_the_log() -> None:
    service = Service()
    key, shown = await service.key("reader")
    await service.of(shown)
    await service.store.revoke_key(key.id, NOW, Record(at=NOW, event=Event.KEY_REVOKED, subject="operator:x"))
    service = replace(service)  # another process, which holds nothing yet
    assert nothing(await service.of(shown))
    assert nothing(await service.ask({"user-id": f"key:{key.id}"}))
    assert (await service.ask({"user-id": f"key:{key.id}"}))["name"] == "worklist"


async def test_a_role_that_a_ceiling_cuts_cannot_be_told_to_orthanc() -> None:
    service = Service()
    _, shown = await service.key("reader", "uploader", ceiling=frozenset({Action.STORE, Action.SEARCH}))
    assert (await service.of(shown))["permissions"] == ["upload"]


async def test_roles_are_told_to_everybody_and_are_the_usual_ones_at_first() -> None:
    answer = await Service().http.call("GET", "/plugin/settings/roles", BASIC)
    assert answer.json() == json.loads(USUAL.dump())
    assert set(answer.json()) == {"roles", "available-labels"}


async def test_the_providers_roles_are_told_beside_and_change_nothing_when_they_come_back() -> None:
    service = Service(known=frozenset({"doctor", "nurse"}))
    both = {"doctor": LABELLED, "former": LABELLED}
    await service.put({"roles": both})
    told = (await service.http.call("GET", "/plugin/settings/roles", BASIC)).json()
    assert told["roles"] == {**both, "nurse": {"permissions": [], "authorized-labels": []}}
    assert told["unknown-to-provider"] == ["former"]
    await service.put({**told, "server-id": None})
    assert await service.events() == [Event.ROLES_CHANGED]
    told["roles"]["nurse"]["permissions"] = ["view"]
    await service.put(told)
    book = await service.store.role_book()
    assert book is not None
    assert set(json.loads(book.document)["roles"]) == {"doctor", "former", "nurse"}
    assert "unknown-to-provider" not in json.loads(book.document)


async def test_while_the_provider_is_silent_roles_are_told_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyhole.gateway.plugin.roles._SOON", 0.02)
    answer = await Service(silent=True).http.call("GET", "/plugin/settings/roles", BASIC)
    assert (answer.status, answer.json()) == (200, json.loads(USUAL.dump()))


async def test_roles_are_put_in_force_whole_and_the_change_is_on_the_trail() -> None:
    service = Service()
    answer = await service.put({**DOCUMENT, "server-id": None})
    assert (answer.status, answer.body) == (200, b"null")
    assert (await service.http.call("GET", "/plugin/settings/roles", BASIC)).json() == DOCUMENT
    (row,) = await service.store.trail(TrailQuery())
    assert row.record.subject == "plugin:orthanc"
    assert row.record.detail["role doctor"] == "may view own-permission; labels clinic-a"
    assert row.record.detail["role reader"] == "removed"
    assert row.record.detail["labels to choose from"] == "clinic-a"


async def test_what_changes_nothing_leaves_no_trace() -> None:
    service = Service()
    await service.put(DOCUMENT)
    await service.put(DOCUMENT)
    assert await service.events() == [Event.ROLES_CHANGED]


async def test_an_orthanc_whose_links_are_switched_off_may_still_change_roles() -> None:
    service = Service(caller=Caller(name="orthanc", archive="main", creation=Creation.OFF))
    assert (await service.put(DOCUMENT)).status == 200


@pytest.mark.parametrize("document", [b"", b"null", {}, {"roles": {}}, {"roles": {"a": {"permissions": "view"}}}])
async def test_what_is_no_document_of_roles_changes_nothing(document: Any) -> None:
    service = Service()
    answer = await service.put(document)
    assert answer.status == 400
    assert answer.json()["status"] == 400
    assert await service.store.role_book() is None
