"""The plugin's calls on the wire: who may ask, how much is read, and that there is always an answer."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keyhole.access.decision import Event, Reason, Record
from keyhole.access.secret import Secret
from keyhole.errors import ArchiveFailed, Refused, StoreFailed
from keyhole.gateway.office import NotAllowed
from keyhole.gateway.plugin.caller import Caller
from keyhole.web.internal import Internal
from keyhole.web.metrics import Metrics
from keyhole.web.plugin.call import LONGEST_BODY, Answer, Call, Route, Unreadable
from keyhole.web.plugin.credentials import Credential, Credentials
from keyhole.web.plugin.wire import Plugin
from tests import asgi

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PASSWORD = "a-password-of-some-length"
ONE, OTHER = Caller(name="one", archive="main"), Caller(name="other", archive="main")
SAFE = Answer(b'{"granted":false}')


def basic(user: str = "orthanc", password: str = PASSWORD) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@dataclass
class Service:
    """The wire, with a handler that a test chooses."""

    raises: Exception | None = None
    waits: bool = False
    deadline: float = 5.0
    now: datetime = NOW
    calls: list[Call] = field(default_factory=list)
    refused: list[Record] = field(default_factory=list)

    async def __call__(self, call: Call) -> Answer:
        self.calls.append(call)
        if self.waits:
            await asyncio.Event().wait()
        if self.raises is not None:
            raise self.raises
        return Answer(b'{"caller":"%s"}' % call.caller.name.encode())

    @property
    def app(self) -> Plugin:
        routes = (
            Route(method="POST", path="tokens/validate", handler=self, safe=SAFE),
            Route(method="PUT", path="tokens/{name}", handler=self),
            Route(method="GET", path="settings/roles", handler=self),
            Route(method="PUT", path="settings/roles", handler=self),
        )
        credentials = Credentials(
            [Credential.of(ONE, "orthanc", PASSWORD), Credential.of(OTHER, "zweites", "pässwort-" * 3)]
        )
        return Plugin(routes, credentials, self.refused.append, lambda: self.now, deadline=self.deadline)

    @property
    def caller(self) -> asgi.Caller:
        return asgi.Caller(self.app)

    async def validate(self, headers: dict[str, str] | None = None, body: tuple[bytes, ...] = (b"{}",)) -> asgi.Answer:
        return await self.caller.call("POST", "/plugin/tokens/validate", basic() if headers is None else headers, body)


async def test_a_caller_is_known_by_its_credentials() -> None:
    service = Service()
    assert (await service.validate()).json() == {"caller": "one"}
    assert (await service.validate(basic("zweites", "pässwort-" * 3))).json() == {"caller": "other"}
    assert not service.refused


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        pytest.param({}, Reason.NO_CREDENTIAL, id="none"),
        pytest.param(basic(password="wrong"), Reason.BAD_CREDENTIAL, id="a wrong password"),
        pytest.param(basic(user="zweites"), Reason.BAD_CREDENTIAL, id="one caller's name, another's password"),
        pytest.param(basic(user="orthanc:"), Reason.BAD_CREDENTIAL, id="a colon more"),
        pytest.param({"authorization": f"Bearer {PASSWORD}"}, Reason.BAD_CREDENTIAL, id="another scheme"),
        pytest.param({"authorization": "Basic !"}, Reason.BAD_CREDENTIAL, id="no base64"),
        pytest.param({"authorization": "Basic"}, Reason.BAD_CREDENTIAL, id="nothing after the scheme"),
        pytest.param({"authorization": ""}, Reason.BAD_CREDENTIAL, id="nothing at all"),
    ],
)
async def test_without_right_credentials_nothing_is_asked(headers: dict[str, str], reason: Reason) -> None:
    service = Service()
    answer = await service.validate(headers)
    assert answer.status == 401
    assert str(answer.header("www-authenticate")).startswith("Basic ")
    assert not service.calls
    assert [(row.event, row.reason, row.personal["address"]) for row in service.refused] == [
        (Event.REFUSAL, reason, "192.0.2.7")
    ]


async def test_two_credentials_are_none() -> None:
    service = Service()
    headers = [(b"authorization", basic()["authorization"].encode())] * 2
    assert Credentials([Credential.of(ONE, "orthanc", PASSWORD)]).caller(headers) is Reason.BAD_CREDENTIAL
    assert not service.calls


async def test_a_stranger_learns_of_no_path() -> None:
    service = Service()
    answers = [
        await service.caller.get(f"/plugin/{path}") for path in ("tokens/validate", "nothing", "", "settings/roles")
    ]
    assert {answer.status for answer in answers} == {401}
    assert len({answer.body for answer in answers}) == 1


async def test_whoever_guesses_is_slowed_and_a_right_credential_never() -> None:
    service = Service()
    app = service.app
    stranger, orthanc = asgi.Caller(app), asgi.Caller(app)
    wrong = [await stranger.call("POST", "/plugin/tokens/validate", basic(password=str(n))) for n in range(30)]
    assert [answer.status for answer in wrong] == [401] * 10 + [429] * 20
    assert int(str(wrong[-1].header("retry-after"))) >= 1
    right = await orthanc.call("POST", "/plugin/tokens/validate", basic(), [b"{}"])
    assert right.status == 200
    assert len(service.refused) == 30
    service.now += timedelta(seconds=5)
    assert (await stranger.call("POST", "/plugin/tokens/validate", {})).status == 401


async def test_guessing_from_many_addresses_is_slowed_as_well() -> None:
    service = Service()
    app = service.app
    answers = [
        await asgi.Caller(app, client=(f"192.0.2.{n}", 1)).call("POST", "/plugin/tokens/validate") for n in range(60)
    ]
    assert [answer.status for answer in answers] == [401] * 50 + [429] * 10


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("POST", "tokens/validate", 200, id="a route"),
        pytest.param("PUT", "tokens/ohif-viewer-publication", 200, id="a route with a name"),
        pytest.param("PUT", "settings/roles", 200, id="one of two methods"),
        pytest.param("PUT", "tokens/validate", 405, id="another method"),
        pytest.param("DELETE", "tokens/ohif-viewer-publication", 405, id="another method of a name"),
        pytest.param("POST", "tokens/validate/", 404, id="a slash more"),
        pytest.param("POST", "tokens//validate", 404, id="a slash inside"),
        pytest.param("PUT", "tokens/a/b", 404, id="two names"),
        pytest.param("PUT", "tokens/", 404, id="no name"),
        pytest.param("PUT", "tokens/..", 404, id="dots"),
        pytest.param("PUT", "tokens/{name}", 404, id="the template itself"),
        pytest.param("PUT", "tokens/%61", 404, id="an escape"),
        pytest.param("PUT", "tokens/" + "a" * 101, 404, id="a long name"),
        pytest.param("POST", "TOKENS/validate", 404, id="another case"),
    ],
)
async def test_a_path_is_in_the_table_or_not_there(method: str, path: str, status: int) -> None:
    service = Service()
    answer = await service.caller.call(method, f"/plugin/{path}", basic(), [b"{}"])
    assert answer.status == status
    assert answer.json()
    assert bool(service.calls) is (status == 200)


async def test_a_query_changes_nothing() -> None:
    assert (await Service().caller.call("POST", "/plugin/tokens/validate?a=b", basic(), [b"{}"])).status == 200


async def test_the_last_segment_is_handed_on() -> None:
    service = Service()
    await service.caller.call("PUT", "/plugin/tokens/viewer-instant-link", basic(), [b"{}"])
    assert service.calls[0].name == "viewer-instant-link"


async def test_a_body_may_come_in_pieces() -> None:
    service = Service()
    await service.validate(body=(b'{"met', b"", b'hod":"get"}'))
    assert service.calls[0].body == b'{"method":"get"}'


@pytest.mark.parametrize("pieces", [(b" " * (LONGEST_BODY + 1),), (b" " * LONGEST_BODY, b" ")])
async def test_a_long_body_is_not_taken(pieces: tuple[bytes, ...]) -> None:
    service = Service()
    assert (await service.validate(body=pieces)).body == SAFE.body
    answer = await service.caller.call("PUT", "/plugin/tokens/a", basic(), pieces)
    assert answer.status == 413
    assert not service.calls


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        pytest.param(Unreadable(), 400, None, id="a body that is none"),
        pytest.param(Refused("of no use"), 400, None, id="a refusal"),
        pytest.param(NotAllowed(Reason.CEILING, "not you"), 403, None, id="a refusal of this caller"),
        pytest.param(ArchiveFailed("gone"), 502, Reason.ARCHIVE_FAILED, id="an archive that fails"),
        pytest.param(StoreFailed("gone"), 503, Reason.STORE_FAILED, id="a database that fails"),
        pytest.param(ZeroDivisionError("a name"), 500, Reason.FAULT, id="a fault of our own"),
    ],
)
async def test_whatever_goes_wrong_has_an_answer(error: Exception, status: int, reason: Reason | None) -> None:
    service = Service(raises=error)
    assert (await service.validate()).body == SAFE.body
    answer = await service.caller.call("PUT", "/plugin/tokens/a", basic(), [b"{}"])
    assert answer.status == answer.json()["status"] == status
    assert "a name" not in answer.text
    rows = [(row.event, row.subject, row.reason) for row in service.refused]
    assert rows == ([] if reason is None else [(Event.FAILURE, "plugin:one", reason)] * 2)


async def test_what_takes_too_long_is_given_up() -> None:
    service = Service(waits=True, deadline=0.01)
    assert (await service.validate()).body == SAFE.body
    answer = await service.caller.call("PUT", "/plugin/tokens/a", basic(), [b"{}"])
    assert answer.status == 503
    assert {row.reason for row in service.refused} == {Reason.STORE_FAILED}


async def test_a_body_that_never_ends_is_given_up() -> None:
    service = Service(deadline=0.01)
    sent: list[dict[str, Any]] = []
    begun = False

    async def receive() -> dict[str, Any]:
        nonlocal begun
        if begun:
            await asyncio.Event().wait()
        begun = True
        return {"type": "http.request", "body": b"{", "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"authorization", basic()["authorization"].encode())]
    for method, name in (("POST", "validate"), ("PUT", "a")):
        begun = False
        scope = {"method": method, "raw_path": f"/plugin/tokens/{name}".encode(), "headers": headers}
        await service.app(scope, receive, send)
    assert [message["status"] for message in sent if "status" in message] == [200, 408]
    assert sent[1]["body"] == SAFE.body
    assert not service.calls
    assert not service.refused


async def test_nobody_answers_a_caller_who_has_left() -> None:
    service = Service()

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise AssertionError(message)

    headers = [(b"authorization", basic()["authorization"].encode())]
    await service.app({"method": "POST", "raw_path": b"/plugin/tokens/validate", "headers": headers}, receive, send)


class _Ready:
    async def parts(self) -> dict[str, bool]:
        return {}


async def test_the_internal_listener_has_it_below_its_mount() -> None:
    internal = Internal(_Ready(), Metrics(), Secret("t"), Service().app)
    caller = asgi.Caller(internal)
    assert (await caller.call("POST", "/plugin/tokens/validate", basic(), [b"{}"])).status == 200
    assert (await caller.get("/healthz")).status == 200
    assert (await caller.get("/plugin")).status == 404
    assert (await caller.get("/pluginx/tokens/validate", basic())).status == 404


async def test_without_a_caller_there_is_nothing() -> None:
    internal = Internal(_Ready(), Metrics(), None)
    answer = await asgi.Caller(internal).call("POST", "/plugin/tokens/validate", basic(), [b"{}"])
    assert answer.status == 404
