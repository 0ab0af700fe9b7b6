"""Links to MedDream: its token service is asked, and what it does not say opens nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from keyhole.access.decision import Event, Reason
from keyhole.errors import ProviderFailed
from keyhole.gateway.plugin.meddream import MedDream
from keyhole.gateway.upstream import JsonServer, basic
from keyhole.sharing.address import Addresses
from keyhole.sharing.token import Opens
from tests.gateway.plugin.world import OK, SECOND, World, name, trusted
from tests.servers.meddream import MedDreamServer, meddream

pytestmark = pytest.mark.loopback

ROOT = "https://meddream.example.org"
INSTANT, PAGE = "meddream-instant-link", "meddream-viewer-publication"
ORDER = {"resources": [{"dicom-uid": OK, "orthanc-id": name(OK)}, {"dicom-uid": SECOND}], "validity-duration": 60}
DIRECT = {PAGE: Opens.DIRECT}


@pytest.fixture
async def server() -> AsyncIterator[MedDreamServer]:
    async with meddream() as running:
        yield running
        assert running.wrong == []


@pytest.fixture
async def service(server: MedDreamServer) -> AsyncIterator[MedDream]:
    posts = JsonServer()
    yield MedDream(posts=posts, service=server.service, root=ROOT, headers=basic(server.user, server.password))
    await posts.close()


async def test_a_token_opens_the_studies_that_were_asked_for(server: MedDreamServer, service: MedDream) -> None:
    token = await service.token([OK, SECOND])
    assert server.opens == {token: [OK, SECOND]}


async def test_an_address_has_a_token_of_its_own_each_time(server: MedDreamServer, service: MedDream) -> None:
    one, other = await service.address([OK]), await service.address([OK])
    assert one != other
    assert {one, other} == {f"{ROOT}/?token={token}" for token in server.opens}


@pytest.mark.parametrize(
    "says",
    [
        pytest.param(web.Response(status=500), id="it is broken"),
        pytest.param(web.Response(status=302, headers={"Location": "/elsewhere"}), id="it sends elsewhere"),
        pytest.param(web.Response(status=403), id="it refuses"),
        pytest.param(web.Response(text=""), id="it says nothing"),
        pytest.param(web.Response(status=204), id="it has nothing to say"),
        pytest.param(web.Response(text="<html>sign in</html>"), id="it is a page"),
        pytest.param(web.Response(text="token&study=1.2.3"), id="what it says would change the address"),
        pytest.param(web.Response(text="aaaaaaaa\r\nbbbbbbbb"), id="it says two lines"),
        pytest.param(web.Response(body=b"\xff" * 20), id="it is no text"),
        pytest.param(web.Response(text="a" * 9000), id="it says too much"),
    ],
)
async def test_what_is_no_token_is_a_failure(server: MedDreamServer, service: MedDream, says: web.Response) -> None:
    server.says = says
    with pytest.raises(ProviderFailed, match="MedDream"):
        await service.token([OK])


async def test_wrong_credentials_are_a_failure_that_does_not_repeat_them(server: MedDreamServer) -> None:
    posts = JsonServer()
    wrong = MedDream(posts=posts, service=server.service, root=ROOT, headers=basic("somebody", "else-altogether"))
    with pytest.raises(ProviderFailed, match="status 401") as failed:
        await wrong.token([OK])
    await posts.close()
    assert "else" not in f"{failed.value}{failed.value.__cause__}{wrong}"


async def test_nobody_there_is_a_failure() -> None:
    posts = JsonServer()
    gone = MedDream(posts=posts, service="http://127.0.0.1:9/v3/generate", root=ROOT)
    with pytest.raises(ProviderFailed, match="MedDream"):
        await gone.token([OK])
    await posts.close()


# -- as Orthanc asks


async def test_an_instant_link_is_the_services_token(server: MedDreamServer, service: MedDream) -> None:
    world = World(meddream=service)
    answer = await world.put(f"tokens/{INSTANT}", ORDER)
    assert answer.status == 200
    made = answer.json()
    assert server.opens == {made["token"]: [OK, SECOND]}
    assert made["url"] is None
    assert not await world.granted(made["token"]), "what MedDream takes is nothing to Orthanc"


async def test_a_publication_gets_its_token_when_it_is_opened(server: MedDreamServer, service: MedDream) -> None:
    world = World(caller=trusted(), meddream=service, types=DIRECT)
    made = (await world.put(f"tokens/{PAGE}", ORDER)).json()
    assert made["url"] == f"https://orthanc.example.org/ui/app/token-landing.html?token={made['token']}"
    assert server.opens == {}
    told = (await world.post("tokens/decode", {"token-value": made["token"]})).json()
    (token,) = server.opens
    assert told["redirect-url"] == f"{ROOT}/?token={token}"
    assert [resource["dicom-uid"] for resource in told["resources"]] == [OK, SECOND]


async def test_a_withdrawn_publication_gets_no_token(server: MedDreamServer, service: MedDream) -> None:
    world = World(caller=trusted(), meddream=service, types=DIRECT)
    made = (await world.put(f"tokens/{PAGE}", ORDER)).json()
    (share,) = await world.gate.store.shares()
    await world.withdraw(share)
    told = (await world.post("tokens/decode", {"token-value": made["token"]})).json()
    assert (told["error-code"], told["redirect-url"], told["resources"]) == ("expired", None, [])
    assert server.opens == {}


async def test_a_publication_leads_to_keyholes_page_as_it_comes(server: MedDreamServer, service: MedDream) -> None:
    world = World(meddream=service)
    made = (await world.put(f"tokens/{PAGE}", ORDER)).json()
    assert "/s/" in made["url"]
    assert (await world.post("tokens/decode", {"token-value": made["token"]})).json()["redirect-url"] == made["url"]
    assert server.opens == {}


async def test_what_the_service_fails_at_is_told_and_leaves_no_share(server: MedDreamServer, service: MedDream) -> None:
    world = World(meddream=service)
    server.says = web.Response(status=500)
    assert (await world.put(f"tokens/{INSTANT}", ORDER)).status == 503
    assert not await world.gate.store.shares()


async def test_an_opening_that_the_service_fails_at_says_so(server: MedDreamServer, service: MedDream) -> None:
    world = World(caller=trusted(), meddream=service, types=DIRECT)
    made = (await world.put(f"tokens/{PAGE}", ORDER)).json()
    server.says = web.Response(status=500)
    told = await world.post("tokens/decode", {"token-value": made["token"]})
    assert (told.status, told.json()["error-code"], told.json()["redirect-url"]) == (200, "unknown", None)
    (row,) = await world.gate.trail(Event.FAILURE)
    assert row.reason is Reason.PROVIDER_FAILED


@pytest.mark.parametrize("kind", [INSTANT, PAGE])
async def test_without_a_service_such_links_are_refused(kind: str) -> None:
    world = World(caller=trusted(), types=DIRECT)
    assert (await world.put(f"tokens/{kind}", ORDER)).status == 400
    assert not await world.gate.store.shares()


async def test_without_the_explorers_address_there_is_no_way_to_a_publication(service: MedDream) -> None:
    world = World(caller=trusted(), meddream=service, types=DIRECT, addresses=Addresses())
    assert (await world.put(f"tokens/{PAGE}", ORDER)).status == 400
