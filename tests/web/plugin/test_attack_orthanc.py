"""Attacks through the plugin's web service: by a neighbour, a holder, a person who may share, and another Orthanc."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest

from keyhole.gateway.plugin.caller import Caller
from keyhole.sharing.token import TYPES, Creation, Opens
from keyhole.store.trail import TrailQuery
from tests import asgi
from tests.gateway.gate import BAD, OK, SECOND, SIBLING
from tests.web.plugin.service import TRUSTED, Service, basic

PAGE, VIEWER, DOWNLOAD = "ohif-viewer-publication", "viewer-instant-link", "download-instant-link"
ONLY_THERE = "7.7.7"
OTHER = Caller(name="other", archive="second", creation=Creation.TRUSTED)
ROUTES = (
    ("POST", "tokens/validate"),
    ("POST", "tokens/decode"),
    ("PUT", f"tokens/{PAGE}"),
    ("POST", "user/get-profile"),
    ("GET", "settings/roles"),
    ("PUT", "settings/roles"),
    ("GET", "emails/templates"),
    ("GET", "emails/templates/any"),
    ("POST", "emails/send"),
)


def two() -> Service:
    """Two Orthancs with an archive each; both have the study OK."""
    return Service(
        callers=[TRUSTED, OTHER],
        types=dict.fromkeys(TYPES, Opens.DIRECT),
        second={OK: "P1", ONLY_THERE: "P7"},
    )


# -- another Orthanc, with credentials of its own


@pytest.mark.parametrize("kind", [VIEWER, DOWNLOAD, PAGE, "stone-viewer-publication"])
async def test_another_orthanc_has_no_use_for_a_token_that_it_got_hold_of(kind: str) -> None:
    service = two()
    token = await service.make(kind, OK)
    assert await service.granted(token, OK)
    made_up = f"kht_{'a' * 16}_{'a' * 32}"
    for method in ("get", "post", "put", "delete"):
        assert not await service.granted(token, OK, method, by="other")
    assert await service.decoded(token, by="other") == await service.decoded(made_up, by="other")
    assert await service.profile(token, by="other") == await service.profile(made_up, by="other")
    there = await service.make(kind, OK, by="other")
    assert await service.granted(there, OK, by="other")
    assert not await service.granted(there, OK)
    assert (await service.decoded(there))["resources"] == []


async def test_another_orthanc_mails_no_link_of_this_one() -> None:
    service = two()
    made = await service.ask("PUT", f"tokens/{PAGE}", {"resources": [{"dicom-uid": OK}]})
    mail = {"destination-email": "a@example.org", "email-title": "x", "email-content": f"<p>{made.json()['url']}</p>"}
    refused = await service.ask("POST", "emails/send", mail, by="other")
    assert (refused.status, service.outbox.sent) == (400, [])
    assert (await service.ask("POST", "emails/send", mail)).status == 200
    assert len(service.outbox.sent) == 1


async def test_another_orthanc_makes_no_link_to_what_only_this_one_has() -> None:
    service = two()
    answers = [
        (await service.ask("PUT", f"tokens/{VIEWER}", {"resources": [wanted]}, by="other")).json()
        for wanted in ({"dicom-uid": BAD}, {"dicom-uid": "1.2.3.4.5"}, {"dicom-uid": BAD, "orthanc-id": "x"})
    ]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0]["status"] == 400
    assert await service.make(VIEWER, ONLY_THERE, by="other")


async def test_an_orthanc_that_calls_itself_otherwise_is_told_nothing() -> None:
    named = Caller(name="orthanc", archive="main", server_id="mine")
    service = Service(callers=[named])
    made = await service.ask("PUT", f"tokens/{VIEWER}", {"resources": [{"dicom-uid": OK}], "server-id": "mine"})
    token = made.json()["token"]
    _, key = await service.gate.new_key("administrator")
    for theirs in (None, "", "other", "MINE", "mine ", ["mine"], 1):
        assert not await service.granted(token, OK, **{"server-id": theirs}), theirs
        assert (await service.profile(key, **{"server-id": theirs}))["permissions"] == [], theirs
        order = {"resources": [{"dicom-uid": OK}], "server-id": theirs}
        assert (await service.ask("PUT", f"tokens/{VIEWER}", order)).status in (400, 403), theirs
    assert await service.granted(token, OK, **{"server-id": "mine"})
    assert (await service.profile(key, **{"server-id": "mine"}))["permissions"]


# -- a neighbour on the internal network, without credentials


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_neighbour_is_told_nothing_by_any_route(method: str, path: str) -> None:
    service = Service()
    token = await service.make(VIEWER, OK)
    body = json.dumps({"method": "get", "level": "study", "dicom-uid": OK, "token-value": token}).encode()
    basic_token = base64.b64encode(f"orthanc:{token}".encode()).decode()
    said = set()
    for headers in (
        {},
        {"authorization": "Basic"},
        {"authorization": "Basic Og=="},
        {"authorization": f"Bearer {token}"},
        {"authorization": f"Basic {basic_token}"},
        {"token": token, "x-forwarded-user": "orthanc", "x-remote-user": "orthanc"},
        {"cookie": f"token={token}"},
    ):
        service.gate.after(timedelta(minutes=1))
        answer = await asgi.Caller(service.app).call(method, f"/plugin/{path}?token={token}", headers, [body])
        assert answer.status == 401
        said.add(answer.body)
        unknown = await asgi.Caller(service.app).call(method, "/plugin/nothing/here", headers, [body])
        said.add(unknown.body)
    assert len(said) == 1, "whether there is a route can be told"


async def test_a_neighbour_who_guesses_stops_nobody_but_themselves() -> None:
    service = Service()
    token = await service.make(VIEWER, OK)
    wrong = {"authorization": "Basic " + base64.b64encode(b"orthanc:wrong").decode()}
    statuses = [
        (await asgi.Caller(service.app).call("POST", "/plugin/tokens/validate", wrong, [b"{}"])).status
        for _ in range(100)
    ]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    assert await service.granted(token, OK), "the plugin is where the guesses come from as well"


@pytest.mark.parametrize(
    "target",
    [
        "/plugin/tokens//validate",
        "/plugin/tokens/validate/",
        "/plugin/tokens/%76alidate",
        "/plugin/tokens/../tokens/validate",
        "/plugin/TOKENS/validate",
        "/plugin/tokens/validate;x=1",
        "/plugin/tokens/",
        "/plugin/",
        "/plugin/tokens/{name}",
        "/plugin/emails/templates/..%2fkeys",
        "/plugin/emails/templates/%2e%2e",
    ],
)
async def test_a_path_that_is_spelt_otherwise_is_none(target: str) -> None:
    service = Service()
    for method in ("GET", "POST", "PUT"):
        answer = await asgi.Caller(service.app).call(method, target, basic(), [b"{}"])
        assert answer.status in (404, 405), (method, target)


# -- whoever holds a link


async def test_a_token_is_no_credential_of_an_orthanc_nor_of_a_user() -> None:
    service = Service()
    token = await service.make(VIEWER, OK)
    for key in ("token", "Authorization", "api-key", "", None):
        for value in (token, f"Bearer {token}", f"Basic {token}"):
            told = await service.profile(value, **{"token-key": key})
            assert (told["permissions"], told["authorized-labels"], told["user-id"]) == ([], [], None)
    assert (await service.profile("", **{"user-id": f"share:{token.split('_')[1]}", "token-value": None})) == {}


async def test_neither_the_links_secret_nor_another_shares_value_makes_a_token() -> None:
    service = Service()
    one, other = await service.make(VIEWER, OK), await service.make(VIEWER, BAD)
    share = await service.the_share(one)
    secret = service.gate.secret(share)
    _, share_id, value = one.split("_")
    for forged in (
        f"kht_{share_id}_{secret[:32]}",
        f"kht_{share_id}_{other.split('_')[2]}",
        f"kht_{other.split('_')[1]}_{value}",
        f"kht_{share_id}_{value.upper()}",
        f"kht_{share_id}_{value[:-1]}",
        f"kht_{share_id}_{value}a",
        f"khv_{share_id}_{value}",
        f"{one}\n",
        f"{one}\0",
        f"{one},{other}",
        f"Bearer Bearer {one}",
        f"Bearer\u00a0{one}",
    ):
        allowed = forged.strip(" \t\r\n") == one
        assert await service.granted(forged, OK) is allowed, repr(forged)
        assert bool((await service.decoded(forged))["resources"]) is allowed, repr(forged)


async def test_a_token_beside_the_body_is_not_looked_at() -> None:
    service = Service()
    token = await service.make(VIEWER, OK)
    question = {"method": "get", "level": "study", "dicom-uid": OK, "token-key": "token", "token-value": "nonsense"}
    more = {"token": token, "x-token": token, "cookie": f"token={token}"}
    answer = await service.send("POST", f"tokens/validate?token={token}", json.dumps(question).encode(), more=more)
    assert answer.json()["granted"] is False


async def test_a_page_link_gives_its_holder_nothing_of_the_study_before_its_conditions() -> None:
    service = Service()
    made = (await service.ask("PUT", f"tokens/{PAGE}", {"resources": [{"dicom-uid": OK}]})).json()
    told = json.dumps(await service.decoded(made["token"]))
    assert OK not in told.replace(made["url"], "")
    assert service.name(OK) not in told
    for study in (OK, SECOND, SIBLING, BAD):
        assert not await service.granted(made["token"], study)


# -- whoever may share in the Explorer


@pytest.mark.parametrize("path", ["tokens/validate", "tokens/decode", "tokens/..", "tokens/", "tokens/inbox-link"])
async def test_no_link_is_made_beside_the_table_of_types(path: str) -> None:
    service = Service(callers=[TRUSTED])
    for kind in (path.rpartition("/")[2], VIEWER):
        answer = await service.ask("PUT", path, {"type": kind, "resources": [{"dicom-uid": OK}]})
        assert answer.status in (400, 404, 405)
    assert not await service.gate.store.shares()


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"type": DOWNLOAD}, id="another type in the body"),
        pytest.param({"type": f"{VIEWER} "}, id="nearly the type"),
        pytest.param({"resources": [{"dicom-uid": OK}, {"dicom-uid": ONLY_THERE}]}, id="a study of another archive"),
        pytest.param({"resources": [{"dicom-uid": "*"}]}, id="every study"),
        pytest.param({"resources": [{"dicom-uid": f"{OK}\\{BAD}"}]}, id="two in one"),
        pytest.param({"resources": [{"dicom-uid": "P*", "level": "patient"}]}, id="every patient"),
        pytest.param({"resources": [{"level": "study"}]}, id="no name"),
        pytest.param({"resources": [{"dicom-uid": OK, "level": "system"}]}, id="the system"),
        pytest.param({"resources": [{"dicom-uid": OK, "level": "instance"}]}, id="an instance"),
        pytest.param({"resources": [{"dicom-uid": OK}] * 10_000}, id="ten thousand"),
        pytest.param({"expiration-date": "2020-01-01T00:00:00Z"}, id="an end that has been"),
        pytest.param({"server-id": {"a": 1}}, id="no name of a server"),
    ],
)
async def test_an_order_with_a_trick_in_it_makes_nothing(more: dict[str, Any]) -> None:
    service = two()
    order = {"type": VIEWER, "resources": [{"dicom-uid": OK}], **more}
    assert (await service.ask("PUT", f"tokens/{VIEWER}", order)).status in (400, 413)
    assert not await service.gate.store.shares()


async def test_what_a_person_adds_to_an_order_decides_nothing() -> None:
    service = Service()
    order = {
        "resources": [{"dicom-uid": OK, "url": "javascript:alert(1)", "kind": "download"}],
        "id": "x" * 1000,
        "creator": "user:boss",
        "kind": "download",
        "bearer": True,
        "archive": "second",
        "expires_at": "2999-01-01T00:00:00Z",
        "max_visits": 0,
    }
    made = (await service.ask("PUT", f"tokens/{PAGE}", order)).json()
    share = await service.the_share(made["token"])
    assert (share.creator, share.archive, share.bearer, share.kind) == ("plugin:orthanc", "main", False, "view")
    assert share.expires_at - share.created_at == timedelta(days=7)
    assert "javascript" not in json.dumps([made, await service.decoded(made["token"])])


async def test_nothing_that_was_shown_or_given_is_on_the_trail() -> None:
    service = two()
    token = await service.make(VIEWER, OK)
    _, key = await service.gate.new_key("reader")
    await service.granted(token, OK)
    await service.granted(token, OK, by="other")
    await service.granted(key, OK)
    await service.decoded(token)
    await service.profile(key)
    await service.profile(f"Basic {base64.b64encode(b'anna:her-password').decode()}")
    await service.gate.ledger.flush()
    rows = repr([row.record for row in await service.gate.store.trail(TrailQuery(limit=1000))])
    for secret in (token, token.split("_")[2], key, key.rpartition("_")[2], "her-password"):
        assert secret not in rows
