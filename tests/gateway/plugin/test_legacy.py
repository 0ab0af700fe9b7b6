"""Links of the service before: shares from the first time they are shown, until the operator's last day."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import OctKey

from keyhole.access.decision import Event, Reason
from keyhole.access.share import Origin, ShareKind
from keyhole.gateway.plugin.legacy import LegacyTokens
from keyhole.gateway.plugin.naming import Naming
from keyhole.gateway.plugin.tokens import OwnTokens, Tokens
from keyhole.identity.legacy_token import share_id
from keyhole.sharing.token import Opens
from keyhole.store.trail import TrailQuery
from tests.gateway.plugin.world import BAD, OK, PATIENTS, SECOND, SIBLING, World, name, trusted

KEY = "a-key-of-the-service-before-us"
TYPE = "stone-viewer-publication"


def resource(study: str, **changes: Any) -> dict[str, Any]:
    known = name(study) if study in PATIENTS else None
    return {"dicom_uid": study, "orthanc_id": known, "url": None, "level": "study", **changes}


def token(*resources: dict[str, Any], key: str = KEY, **changes: Any) -> str:
    claims = {
        "id": "v1",
        "resources": resources or (resource(OK),),
        "type": TYPE,
        "expiration_date": None,
        "validity_duration": None,
        **changes,
    }
    return jws.serialize_compact({"alg": "HS256", "typ": "JWT"}, json.dumps(claims), OctKey.import_key(key.encode()))


@dataclass
class Before(World):
    """An Orthanc that another service answered before."""

    lasts: timedelta = timedelta(days=30)
    until: datetime = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        gate = self.gate
        self.until = gate.now + self.lasts
        legacy = LegacyTokens(
            rows=gate.current,
            shares=gate.store,
            naming=Naming(gate.finder.studies, {"main": self.names}),
            ring=gate.ring,
            caller=trusted(),
            key=KEY,
            until=self.until,
            now=gate.clock,
        )
        tokens = Tokens((OwnTokens(gate.current, gate.ring), legacy), self.types)
        object.__setattr__(self.validator, "tokens", tokens)
        object.__setattr__(self.reader, "tokens", tokens)

    async def created(self) -> int:
        rows = await self.gate.store.trail(TrailQuery())
        return sum(row.record.event is Event.SHARE_CREATED for row in rows)


async def test_an_old_link_goes_on_working_for_its_study_and_no_other() -> None:
    world, old = Before(), token()
    assert await world.granted(old)
    assert await world.granted("Bearer " + old)
    assert await world.granted(old, method="post")
    assert await world.granted(old, orthanc_id="")
    for other in (SECOND, SIBLING, BAD):
        assert not await world.granted(old, other)
    assert not await world.granted(old, OK, orthanc_id=name(SECOND))


@pytest.mark.parametrize("method", ["put", "delete"])
async def test_an_old_link_never_writes(method: str) -> None:
    assert not await Before().granted(token(), method=method)


async def test_it_becomes_a_share_when_it_is_first_shown_and_only_then() -> None:
    world, old = Before(), token()
    assert await world.created() == 0
    for _ in range(3):
        await world.granted(old)
    share = await world.gate.store.share(share_id(old))
    assert share is not None
    assert (share.origin, share.token_type, share.kind) == (Origin.LEGACY, TYPE, ShareKind.VIEW)
    assert share.expires_at == world.until
    assert await world.created() == 1


async def test_its_own_end_holds_when_it_is_the_earlier_one() -> None:
    world = Before()
    ends = world.gate.now + timedelta(hours=1)
    old = token(expiration_date=ends.isoformat())
    assert await world.granted(old)
    world.after(timedelta(hours=2))
    assert not await world.granted(old)


async def test_after_the_last_day_none_of_them_opens_anything() -> None:
    world, shown, unseen = Before(), token(), token(id="v2")
    assert await world.granted(shown)
    world.after(world.lasts)
    assert not await world.granted(shown)
    assert not await world.granted(unseen)
    assert await world.created() == 1


async def test_it_is_withdrawn_like_any_share() -> None:
    world, old = Before(), token()
    assert await world.granted(old)
    share = await world.gate.store.share(share_id(old))
    assert share is not None
    await world.withdraw(share)
    world.gate.current.forget([share.id])
    assert not await world.granted(old)
    told = await world.reader.read(world.caller, old)
    assert (told.error, told.resources) == ("expired", ())


async def test_a_link_that_has_ended_is_not_kept_and_is_told_as_ended() -> None:
    world, old = Before(), token(expiration_date="2020-01-01T00:00:00+00:00")
    assert not await world.granted(old)
    told = await world.reader.read(world.caller, old)
    assert (told.error, told.resources) == ("expired", ())
    assert await world.created() == 0


async def test_it_is_decoded_with_its_resources() -> None:
    world = Before()
    told = await world.reader.read(world.caller, token(resource(OK), resource(SIBLING)))
    assert [(each.study, orthanc) for each, orthanc in told.resources] == [(OK, name(OK)), (SIBLING, name(SIBLING))]


@pytest.mark.parametrize(
    "old",
    [
        pytest.param(token(key=KEY + "x"), id="another key"),
        pytest.param(token(type="inbox-link"), id="an unknown type"),
        pytest.param(token(resources=[]), id="no resource"),
        pytest.param(token(resource(OK, level="system")), id="an unknown level"),
        pytest.param(token(resource(OK, orthanc_id=name(SECOND))), id="names of two studies"),
        pytest.param(token(resource("1.2.3.4.5.6")), id="a study that is not there"),
        pytest.param(token(*[resource(OK)] * 10_000), id="10 000 resources"),
        pytest.param(token(nbf=4_000_000_000), id="not yet"),
    ],
)
async def test_what_an_old_token_cannot_be(old: str) -> None:
    world = Before()
    assert not await world.granted(old)
    assert (await world.reader.read(world.caller, old)).resources == ()


async def test_a_type_that_is_switched_off_is_off_for_old_links_too() -> None:
    world = Before(types={TYPE: Opens.OFF})
    assert not await world.granted(token())


async def test_two_workers_that_see_it_first_keep_one_share() -> None:
    world, old = Before(), token()
    legacy = world.validator.tokens.kinds[1]
    first = await legacy.share(old)
    world.gate.current.forget([share_id(old)])
    object.__setattr__(legacy, "rows", Blind())
    assert await legacy.share(old) == first
    assert await world.created() == 1


class Blind:
    """A worker that has not seen the share yet."""

    async def share(self, _: str) -> None:
        return None


async def test_somebody_elses_token_is_not_one_of_these() -> None:
    legacy = Before().validator.tokens.kinds[1]
    for text in (token(key=KEY + "x"), "garbage", "kht_" + "a" * 16 + "_" + "a" * 32):
        assert await legacy.share(text) is None
    assert await legacy.share(token(type="inbox-link")) is Reason.BAD_CREDENTIAL
