"""``tokens/validate``, ``tokens/decode`` and ``PUT tokens/{type}`` as Orthanc's plugin speaks to them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.errors import StoreFailed
from keyhole.gateway.plugin.caller import Caller
from keyhole.sharing.token import TYPES, Creation, Opens
from tests.gateway.gate import OK, PUBLIC, SECOND
from tests.gateway.plugin.world import INSTANT, PAGE, World, name

NO = {"granted": False, "validity": 0}
UNKNOWN = {"token-type": None, "error-code": "unknown", "redirect-url": None, "resources": []}


def question(token: str | None, **more: Any) -> dict[str, Any]:
    asked = {
        "method": "get",
        "level": "study",
        "orthanc-id": name(OK),
        "dicom-uid": OK,
        "server-id": None,
        "token-key": "token",
        "token-value": token,
    }
    return asked | more


async def test_a_question_is_answered_with_a_truth_value_and_a_whole_number() -> None:
    world = World()
    answer = await world.post("tokens/validate", question(world.token(await world.share())))
    assert (answer.status, answer.text) == (200, '{"granted":true,"validity":1}')
    assert answer.header("content-type") == "application/json"


async def test_a_token_under_any_key_is_read_from_the_body_alone() -> None:
    world = World()
    token = world.token(await world.share())
    for key in ("token", "Authorization", "AUTHORIZATION", "api-key", "", None):
        answer = await world.post("tokens/validate", question(f"Bearer {token}", **{"token-key": key}))
        assert answer.json()["granted"], key
    anonymous = {key: value for key, value in question(None).items() if not key.startswith("token-")}
    assert (await world.post("tokens/validate", anonymous)).json() == {"granted": False, "validity": 1}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="half of it"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'"get"', id="a text"),
        pytest.param(b"{}", id="no field"),
        pytest.param(b'{"method":1}', id="a number for a method"),
        pytest.param(b'{"method":"get","token-value":{}}', id="an object for a token"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b"[" * 50_000, id="deep"),
        pytest.param(b'{"token-value":"\\ud800"}', id="half a character"),
        pytest.param(b'{"a":' * 5_000 + b"1" + b"}" * 5_000, id="deep in a field that nobody knows"),
        pytest.param(b" " * 70_000, id="long"),
    ],
)
async def test_whatever_is_sent_there_is_an_answer_and_it_is_no(body: bytes) -> None:
    world = World()
    await world.share()
    answer = await world.send("POST", "tokens/validate", body)
    assert answer.status == 200
    assert answer.json()["granted"] is False
    told = await world.send("POST", "tokens/decode", body)
    assert told.status == 200
    assert (told.json()["resources"], told.json()["redirect-url"]) == ([], None)
    assert told.json()["error-code"] in ("invalid", "unknown")
    made = await world.send("PUT", f"tokens/{PAGE}", body)
    assert made.status in (400, 413)
    assert made.json()["status"] == made.status


async def test_fields_that_nobody_knows_change_nothing() -> None:
    world = World()
    token = world.token(await world.share())
    answer = await world.post("tokens/validate", question(token, uri=None, labels=None, nonsense=[{"a": 1}]))
    assert answer.json()["granted"]


async def test_a_lost_database_is_a_no_that_is_not_remembered() -> None:
    world = World()
    token = world.token(await world.share())
    world.gate.store.lost = StoreFailed("gone")
    assert (await world.post("tokens/validate", question(token))).json() == NO
    assert (await world.post("tokens/decode", {"token-value": token})).json() == UNKNOWN
    made = await world.put(f"tokens/{PAGE}", {"resources": [{"dicom-uid": OK}]})
    assert made.status == 503
    world.gate.store.lost = None
    assert (await world.post("tokens/validate", question(token))).json()["granted"]


async def test_a_link_is_made_as_the_explorer_asks_for_it() -> None:
    world = World()
    answer = await world.put(
        f"tokens/{PAGE}",
        {
            "server-id": None,
            "type": PAGE,
            "resources": [{"dicom-uid": OK, "orthanc-id": name(OK), "level": "study"}],
            "validity-duration": 1296000,
        },
    )
    assert answer.status == 200
    assert set(answer.json()) == {"token", "url"}
    assert answer.json()["url"].startswith(f"{PUBLIC}/s/")
    told = (await world.post("tokens/decode", {"token-key": "token", "token-value": answer.json()["token"]})).json()
    assert told == {
        "token-type": PAGE,
        "error-code": None,
        "redirect-url": answer.json()["url"],
        "resources": [],
    }


async def test_a_token_that_opens_the_study_names_it_by_both_names() -> None:
    world = World()
    made = await world.put(f"tokens/{INSTANT}", {"type": INSTANT, "resources": [{"dicom-uid": OK}]})
    assert made.json()["url"] is None
    told = (await world.post("tokens/decode", {"token-value": f"Bearer {made.json()['token']}"})).json()
    assert told["resources"] == [{"dicom-uid": OK, "orthanc-id": name(OK), "url": None, "level": "study"}]
    assert (await world.post("tokens/validate", question(made.json()["token"]))).json()["granted"]


@pytest.mark.parametrize(
    ("kind", "content", "status"),
    [
        pytest.param("inbox-link", {"resources": [{"dicom-uid": OK}]}, 400, id="an unknown type"),
        pytest.param(PAGE, {"resources": []}, 400, id="nothing"),
        pytest.param(PAGE, {"resources": None}, 400, id="null"),
        pytest.param(PAGE, {}, 400, id="no resources"),
        pytest.param(PAGE, {"resources": "1.2.3"}, 400, id="a text"),
        pytest.param(PAGE, {"resources": [{"dicom-uid": 1}]}, 400, id="a number"),
        pytest.param(PAGE, {"resources": [{"dicom-uid": "1.9"}]}, 400, id="what is not there"),
        pytest.param(
            PAGE, {"resources": [{"dicom-uid": OK, "orthanc-id": name(SECOND)}]}, 400, id="two studies in one"
        ),
        pytest.param(PAGE, {"resources": [{"dicom-uid": OK}] * 101}, 400, id="too many"),
        pytest.param(PAGE, {"resources": [{"dicom-uid": OK}] * 20_000}, 413, id="far too many"),
        pytest.param(PAGE, {"resources": [{"dicom-uid": OK}], "expiration-date": "soon"}, 400, id="no date"),
    ],
)
async def test_what_makes_no_link_is_said_so(kind: str, content: Any, status: int) -> None:
    world = World()
    answer = await world.put(f"tokens/{kind}", content)
    assert (answer.status, answer.json()["status"]) == (status, status)
    assert not await world.gate.store.shares()


async def test_where_links_are_switched_off_that_is_said() -> None:
    world = World(caller=Caller(name="orthanc", archive="main", creation=Creation.OFF))
    assert (await world.put(f"tokens/{PAGE}", {"resources": [{"dicom-uid": OK}]})).status == 403


async def test_a_validation_is_a_post_and_nothing_else_is_there() -> None:
    world = World()
    token = world.token(await world.share())
    for method in ("GET", "PUT", "DELETE", "HEAD", "PATCH"):
        assert (await world.send(method, "tokens/validate", b"{}")).status == 405
    assert (await world.send("GET", f"tokens/validate?token={token}", b"")).status == 405


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["method", "level", "orthanc-id", "dicom-uid", "token-value", "token-key", "server-id", "labels", "uri"]


@given(content=st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), JSON, max_size=8))
def test_no_json_without_a_token_is_granted(content: dict[str, Any]) -> None:
    async def ask() -> None:
        world = World(types=dict.fromkeys(TYPES, Opens.DIRECT))
        await world.share()
        answer = await world.post("tokens/validate", content)
        assert answer.status == 200
        assert answer.json()["granted"] is False
        assert type(answer.json()["validity"]) is int

    asyncio.run(ask())
