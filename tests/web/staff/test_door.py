"""The staff API: who gets in, and what is told when something is wrong."""

from __future__ import annotations

import pytest

from keyhole.access.decision import Record
from keyhole.access.share import Visit
from keyhole.errors import ArchiveFailed, ArchiveTimeout, ForeignAnswer
from keyhole.web import api
from tests.web.staff.asking import SHARES, UNKNOWN, WEEK, bearer, shared, told
from tests.web.staff.client import Client
from tests.web.staff.world import NOW, World

# -- who gets in


@pytest.mark.parametrize("target", [SHARES, "/api/v1/studies", "/", "/api/v1/nothing", "/docs"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_stranger_is_asked_for_a_key_everywhere(stranger: Client, method: str, target: str) -> None:
    answer = await stranger.ask(method, target)
    assert told(answer) == (401, "no-credential")
    assert answer.headers["www-authenticate"] == 'Bearer realm="keyhole"'


async def test_nothing_of_a_strangers_body_is_read(stranger: Client) -> None:
    await stranger.ask("POST", SHARES, WEEK)
    assert stranger.bodies_read == 0


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        pytest.param([("authorization", "Bearer khk_x")], (401, "bad-credential"), id="a malformed key"),
        pytest.param([("authorization", f"Bearer khk_{UNKNOWN}_{'a' * 32}")], (401, "bad-credential"), id="unknown"),
        pytest.param([("authorization", "Basic YTpi")], (401, "bad-credential"), id="a password"),
        pytest.param([("authorization", "Bearer a")] * 2, (400, "conflicting-credentials"), id="two keys"),
        pytest.param([("cookie", "keyhole_visit=" + "a" * 32)], (401, "no-credential"), id="a cookie is no key"),
    ],
)
async def test_a_bad_credential_is_refused_and_recorded(
    stranger: Client, refused: list[Record], headers: list[tuple[str, str]], answer: tuple[int, str]
) -> None:
    assert told(await stranger.ask("GET", SHARES, None, headers)) == answer
    assert [record.reason for record in refused] == [answer[1]]
    assert refused[0].subject == "anonymous"


async def test_an_ended_key_is_told_so(stranger: Client, world: World) -> None:
    key = world.key("sharer", expires_at=NOW)
    answer = await stranger.ask("GET", SHARES, None, bearer(key))
    assert told(answer) == (401, "expired")
    assert answer.headers["www-authenticate"] == 'Bearer realm="keyhole", error="invalid_token"'


async def test_a_visit_is_no_member_of_staff(stranger: Client, world: World) -> None:
    visit = Visit(
        id=UNKNOWN, digest=b"", subject="share:x", archive="main", created_at=NOW, ends_at=NOW, share="x" * 16
    )
    world.rows.held_visits[visit.id] = visit
    assert told(await stranger.ask("GET", SHARES, None, bearer(f"khv_{UNKNOWN}_{'a' * 32}"))) == (403, "ceiling")


async def test_no_answer_is_kept_by_a_cache_or_run_as_a_page(sharer: Client, stranger: Client) -> None:
    for answer in (await sharer.ask("GET", SHARES), await stranger.ask("GET", SHARES)):
        assert answer.headers["cache-control"] == "private, no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


# -- what goes wrong


@pytest.mark.parametrize(
    ("method", "target", "answer"),
    [
        ("GET", "/", (404, "unknown-route")),
        ("GET", "/api/v1/shares/", (404, "unknown-route")),
        ("GET", "/api/v1/docs", (404, "unknown-route")),
        ("GET", "/api/v1/shares/../shares", (404, "unknown-route")),
        ("PUT", SHARES, (405, "method-not-allowed")),
        ("GET", f"{SHARES}/NOT-AN-ID", (422, "invalid")),
    ],
)
async def test_what_is_not_in_the_document_is_not_there(
    sharer: Client, method: str, target: str, answer: tuple[int, str]
) -> None:
    assert told(await sharer.ask(method, target)) == answer


@pytest.mark.parametrize(("target", "methods"), [(SHARES, "GET, POST"), (f"{SHARES}/{UNKNOWN}", "DELETE, GET, PATCH")])
async def test_which_methods_a_path_has_is_told(sharer: Client, target: str, methods: str) -> None:
    assert (await sharer.ask("PUT", target)).headers["allow"] == methods


async def test_a_body_that_is_too_large_is_not_read_to_its_end(sharer: Client) -> None:
    answer = await sharer.ask("POST", SHARES, WEEK | {"note": "x" * api.LARGEST_BODY})
    assert told(answer) == (413, "too-large")


async def test_a_body_that_is_announced_as_too_large_is_not_read_at_all(sharer: Client) -> None:
    fields = [*sharer.headers, ("content-length", str(api.LARGEST_BODY + 1))]
    assert told(await sharer.send("POST", SHARES, b"{}", fields)) == (413, "too-large")
    assert sharer.bodies_read == 0


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (ArchiveFailed("http://10.0.0.5:8042 refused"), (502, "archive-failed")),
        (ForeignAnswer("answered 9.9"), (502, "foreign-answer")),
        (ArchiveTimeout("http://10.0.0.5:8042"), (504, "archive-timeout")),
    ],
)
async def test_a_broken_archive_is_told_without_its_address(
    sharer: Client, world: World, error: ArchiveFailed, answer: tuple[int, str]
) -> None:
    world.archive_error = error
    failed = await sharer.ask("POST", SHARES, WEEK)
    assert told(failed) == answer
    assert b"10.0.0.5" not in failed.body
    assert world.rows.held == {}


async def test_a_broken_database_releases_nothing(sharer: Client, world: World) -> None:
    world.rows.broken = True
    failed = await sharer.ask("GET", SHARES)
    assert told(failed) == (503, "store-failed")
    assert failed.headers["retry-after"] == "1"
    assert b"/var/lib" not in failed.body


async def test_a_fault_of_our_own_tells_nothing(sharer: Client, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fault(*_: object, **__: object) -> None:
        raise RuntimeError("secret thing")

    monkeypatch.setattr(world.rows, "shares", fault)
    failed = await sharer.ask("GET", SHARES)
    assert told(failed) == (500, "internal")
    assert b"secret thing" not in failed.body


async def test_secrets_in_wrong_places_are_not_echoed(sharer: Client, world: World) -> None:
    share = await shared(sharer)
    secret = share["link"].partition("#")[2]
    key = world.key("reader")
    for wanted in (
        WEEK | {secret: 1},
        WEEK | {key: 1},
        {"studies": [share["link"]], "for": "7d"},
        WEEK | {"for": secret},
        WEEK | {"expires_at": key},
        WEEK | {"max_visits": key},
        WEEK | {"archive": secret},
    ):
        answer = await sharer.ask("POST", SHARES, wanted)
        assert answer.status == 422
        assert secret.encode() not in answer.body
        assert key.encode() not in answer.body
    assert secret.encode() not in (await sharer.ask("GET", f"{SHARES}?{secret}=1&after={secret}")).body


# -- the document


async def test_the_document_needs_no_key_and_tells_of_every_route(stranger: Client) -> None:
    answer = await stranger.ask("GET", "/api/v1/openapi.json")
    assert answer.status == 200
    assert answer.json == api.openapi()
    assert set(answer.json["paths"]) == {
        "/api/v1/shares",
        "/api/v1/shares/{share}",
        "/api/v1/shares/{share}/link",
        "/api/v1/shares/{share}/qr",
        "/api/v1/shares/{share}/letter",
        "/api/v1/shares/{share}/timeline",
        "/api/v1/shares/{share}/visits",
        "/api/v1/shares/{share}/mails",
        "/api/v1/visits",
        "/api/v1/studies",
        "/api/v1/decisions",
        "/api/v1/studies/{study}/who-can",
    }


def test_every_operation_needs_a_key_and_tells_its_problems() -> None:
    for operations in api.openapi()["paths"].values():
        for operation in operations.values():
            assert operation["security"] == [{"HTTPBearer": []}]
            assert list(operation["responses"]["4XX"]["content"]) == ["application/problem+json"]
