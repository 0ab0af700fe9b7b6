"""What is said to be allowed is what the gateway lets through, and nothing else."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyhole.access.decision import Allow, Deny, Event, Reason, Record
from keyhole.access.resource import Action, Level, Resource
from keyhole.access.secret import new_secret
from keyhole.access.share import ShareChange
from keyhole.cli.advice import MEANING
from keyhole.dicom import dicomweb, orthanc_call
from keyhole.dicom.orthanc import OrthancName, name_of
from keyhole.errors import ArchiveTimeout
from keyhole.gateway.fetch import Answer, Order
from keyhole.gateway.judge import Judge, Named, Sent, Shown
from keyhole.gateway.question import Understanding
from tests.asgi import Caller
from tests.gateway.gate import DAY, HOUR, NOW, OK, SECOND, SERIES, SIBLING, Gate, Visitor, prepared
from tests.gateway.judging import judge_of


@dataclass
class Everything:
    """An archive that has all that is asked for, and notes what reaches it."""

    orders: list[Order] = field(default_factory=list)

    @asynccontextmanager
    async def __call__(self, order: Order) -> AsyncIterator[Answer]:
        self.orders.append(order)
        yield Answer(body=_nothing(), content_type="application/dicom+json")


async def _nothing() -> AsyncIterator[bytes]:
    yield b"[]"


NAMES: dict[OrthancName, Resource] = {
    OrthancName(level, name_of("P", *uids)): Resource.of("main", *uids)
    for level, uids in (
        (Level.STUDY, (OK,)),
        (Level.SERIES, (OK, SERIES)),
        (Level.INSTANCE, (OK, SERIES, f"{SERIES}.1")),
        (Level.STUDY, (SECOND,)),
        (Level.SERIES, (SECOND, "1.2.2.1")),
    )
}


class Orthanc:
    """What Orthanc's names stand for."""

    async def resource(self, name: OrthancName) -> Resource | None:
        return NAMES.get(name)


class Broken:
    """An Orthanc that does not say."""

    async def resource(self, name: OrthancName) -> Resource | None:
        raise ArchiveTimeout("no answer")


@dataclass(frozen=True)
class Asker:
    """Somebody with a credential: its header, and the names that the gateway's judge knows them by."""

    name: str
    header: Mapping[str, str]
    names: tuple[str, ...]
    visit: str | None = None

    @property
    def shown(self) -> Shown:
        headers = tuple((name.encode(), value.encode()) for name, value in self.header.items())
        return Shown(headers, self.visit if "cookie" in self.header else None)


class World:
    """Every kind of holder, in every state, before an archive that has everything."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.reached = Everything()
        understanding = Understanding("main", {"main": Orthanc(), "research": Broken()})
        # Both archives are set up, so that a key's roles hold in each.
        identity = replace(self.gate.identity, archives=("main", "research"))
        self.gate.gateway = replace(
            self.gate.gateway, fetch=self.reached, understanding=understanding, identity=identity
        )
        self.caller = Caller(self.gate.gateway)
        self.judge = Judge(identity=identity, understanding=understanding, now=self.gate.clock)
        self.askers: list[Asker] = []
        self.roots = [*ROOTS, "/dicomweb", "/v/aaaaaaaaaaaaaaaa/dicom-web", "/v/x/dicom-web", ""]

    async def people(self) -> None:
        gate = self.gate
        await self._visitor("a visitor of one study", await gate.visitor((OK,)))
        await self._visitor("a visitor of a series", await gate.visitor((OK, SERIES), (SECOND,), max_visits=1))
        await self._visitor("a visitor of another archive", await gate.visitor((OK,), archive="research"))
        short = await gate.visitor((OK,), expires_at=NOW + HOUR)
        await self._visitor("a visitor until one o'clock", short)
        withdrawn = await gate.visitor((SECOND,))
        change = ShareChange(withdrawn_at=NOW)
        await gate.store.change_share(str(withdrawn.visit.share), change, _record(Event.SHARE_WITHDRAWN))
        await self._visitor("a visitor who was sent away", withdrawn)
        put_off = await gate.visitor((SECOND,))
        change = ShareChange(not_before=NOW + HOUR)
        await gate.store.change_share(str(put_off.visit.share), change, _record(Event.SHARE_CHANGED))
        await self._visitor("a visitor who was put off", put_off)
        await self._staff_visit()
        for roles in ((), ("reader",), ("sharer",), ("uploader",), ("enforcer",), ("administrator",), ("wizard",)):
            await self._key(*roles)
        await self._key("reader", ceiling=frozenset({Action.SEARCH}))
        await self._key("reader", expires_at=NOW + HOUR)
        gone = await self._key("reader")
        await gate.store.revoke_key(gone, NOW, _record(Event.KEY_REVOKED))

    async def _visitor(self, name: str, visitor: Visitor) -> None:
        names = tuple(sorted(visitor.visit.as_subject().principals))
        self.roots.append(visitor.root)
        for header in (visitor.cookie, visitor.bearer):
            self.askers.append(Asker(name, header, names, visitor.visit.id))

    async def _staff_visit(self) -> None:
        code, secret = new_secret(), new_secret()
        await self.gate.store.prepare_visit(prepared(code, NOW), _record(Event.VISIT_PREPARED))
        visit = await self.gate.store.redeem_visit(
            code.digest(), secret.digest(), NOW, NOW + 12 * HOUR, _record(Event.VISIT_BEGUN)
        )
        assert visit is not None
        await self._visitor("a visit of staff", Visitor(visit, secret))

    async def _key(self, *roles: str, **more: object) -> str:
        key, text = await self.gate.new_key(*roles, **more)  # type: ignore[arg-type]
        header = {"authorization": f"Bearer {text}"}
        self.askers.append(Asker(f"a key {roles} {more}", header, (key.principal,)))
        return key.id

    async def answer_of(self, asker: Asker, sent: Sent) -> tuple[str, Order | None]:
        """What the gateway does: "allowed" and what reached the archive, or its reason."""
        self.reached.orders.clear()
        header = asker.header
        if "cookie" in header and not sent.target.startswith(f"/v/{asker.visit}/"):
            header = {}  # as browsers do: the cookie has a path
        await self.caller.call(sent.method, sent.target, header)
        return self.gate.outcomes[-1], next(iter(self.reached.orders), None)

    async def agree(self, asker: Asker, sent: Sent) -> None:
        """Whoever is named, and whoever shows a credential, is told what the gateway then does."""
        for who in (asker.shown, *map(Named, asker.names if "authorization" in asker.header else ())):
            found = await self.judge.judge(who, sent)
            outcome, order = await self.answer_of(asker, sent)
            if isinstance(who, Named) and who.principal.startswith("share:") and outcome == Reason.VISIT_ENDED:
                continue  # this visit is over, but the share lets another begin
            match found.decision:
                case Allow(scope):
                    assert (outcome, order is not None) == ("allowed", True), (asker, who, sent)
                    assert order is not None
                    assert order.reach == scope
                    assert found.ask is not None
                    assert found.ask.resource.archive == order.archive
                case Deny(reason):
                    assert (outcome, order) == (reason.value, None), (asker, who, sent)


def _record(event: Event) -> Record:
    return Record(at=NOW, event=event, subject="user:anna")


UIDS = st.sampled_from([OK, SECOND, SIBLING, "7.7"])
BELOW = st.builds(
    lambda route, study, series, frames: route.template.format(
        study=study, series=series, instance=f"{series}.1", frames=frames, tags="7FE00010"
    ),
    st.sampled_from(dicomweb.ROUTES),
    UIDS,
    st.sampled_from([SERIES, "1.2.1.2", "1.2.2.1"]),
    st.sampled_from(["1", "1,2", "0"]),
)
UNKNOWN_NAME = OrthancName(Level.STUDY, name_of("P", "7.7"))
NATIVE = st.builds(
    lambda route, name: re.sub(r"\{\w+\}", name.id, route.template),
    st.sampled_from(orthanc_call.ROUTES),
    st.sampled_from([*NAMES, UNKNOWN_NAME]),
)
WADO_URI = st.builds(
    lambda study, series, more: (
        f"/wado?requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={series}.1{more}"
    ),
    UIDS,
    st.sampled_from([SERIES, "1.2.2.1"]),
    st.sampled_from(["", "&contentType=application/dicom", "&contentType=image/jpeg", "&x=1", "&studyUID=1.2"]),
)
ODD = st.sampled_from(
    [
        "",
        "/",
        "/studies/",
        "//studies",
        "/studies/..",
        "/studies/1.2.1/../1.2.2",
        "/studies/%31.2.1",
        "/workitems",
        "/é",
    ]
)
QUERIES = st.sampled_from(
    [
        *([""] * 4),
        "?",
        f"?StudyInstanceUID={OK}",
        f"?StudyInstanceUID={OK},9.9.9",
        f"?StudyInstanceUID={OK}&0020000D={SECOND}",
        "?limit=1&unknown=2",
        "?limit=x",
        "?_method=DELETE",
        "?accept=image/png",
        "?PatientName=A*&fuzzymatching=true",
    ]
)
ROOTS = [
    *(["/dicom-web"] * 3),
    *(["/orthanc"] * 3),
    "/orthanc/dicom-web",
    "/archives/main/dicom-web",
    "/archives/main/orthanc",
    "/archives/research/dicom-web",
    "/archives/research/orthanc",
    "/archives/elsewhere/dicom-web",
]
METHODS = st.sampled_from([*(["GET"] * 6), "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"])
TIMES = st.sampled_from([timedelta(0), timedelta(minutes=20), 2 * HOUR, 13 * HOUR, 8 * DAY])


def test_a_decision_allows_what_the_gateway_lets_through_and_nothing_else() -> None:
    with asyncio.Runner() as runner:
        world = World()
        runner.run(world.people())

        @settings(max_examples=500, deadline=None)
        @given(
            asker=st.sampled_from(world.askers),
            method=METHODS,
            root=st.sampled_from(world.roots),
            below=st.one_of(BELOW, BELOW, BELOW, NATIVE, NATIVE, WADO_URI, ODD),
            query=QUERIES,
            own=st.booleans(),
            after=TIMES,
        )
        def agrees(asker: Asker, method: str, root: str, below: str, query: str, own: bool, after: timedelta) -> None:
            if own and asker.visit is not None:
                root = f"/v/{asker.visit}/dicom-web"
            world.gate.now = NOW + after
            runner.run(world.agree(asker, Sent(method, root + below + query)))

        agrees()
        outcomes = set(world.gate.outcomes)
    assert outcomes - {"allowed"} <= MEANING.keys(), "keyhole why has no words for these"


STUDY_NAME, UNHEARD_OF = name_of("P", OK), name_of("P", "7.7")
PLAIN = [
    ("GET", f"/dicom-web/studies/{OK}/metadata"),
    ("GET", f"/dicom-web/studies/{SECOND}/metadata"),
    ("GET", f"/dicom-web/studies/{OK}"),
    ("GET", "/dicom-web/studies"),
    ("GET", "/dicom-web/studies?limit=x"),
    ("POST", "/dicom-web/studies"),
    ("GET", f"/archives/research/dicom-web/studies/{OK}/metadata"),
    ("GET", f"/orthanc/studies/{STUDY_NAME}"),
    ("GET", f"/orthanc/studies/{UNHEARD_OF}"),
    ("DELETE", f"/orthanc/studies/{STUDY_NAME}"),
    ("GET", f"/archives/research/orthanc/studies/{STUDY_NAME}"),
    ("GET", f"/dicom-web/wado?requestType=WADO&studyUID={OK}&seriesUID={SERIES}&objectUID={SERIES}.1"),
]


async def test_for_everybody_and_with_many_an_outcome() -> None:
    """The law would hold of a gateway that lets nothing through as well: this one is seen doing both."""
    world = World()
    await world.people()
    for after in (timedelta(0), 2 * HOUR, 8 * DAY):
        world.gate.now = NOW + after
        for asker in world.askers:
            for method, target in PLAIN:
                await world.agree(asker, Sent(method, target))
                if asker.visit is not None and target.startswith("/dicom-web"):
                    await world.agree(asker, Sent(method, f"/v/{asker.visit}{target}"))
    assert set(world.gate.outcomes) >= {
        "allowed",
        Reason.NO_CREDENTIAL,
        Reason.VISIT_ENDED,
        Reason.WITHDRAWN,
        Reason.NOT_YET,
        Reason.EXPIRED,
        Reason.CEILING,
        Reason.NO_GRANT,
        Reason.NOT_THERE,
        Reason.METHOD_NOT_ALLOWED,
        Reason.BAD_QUERY,
        Reason.ARCHIVE_TIMEOUT,
    }


async def test_who_is_asked_about_by_name_is_not_in_use_by_that() -> None:
    gate = Gate()
    visitor = await gate.visitor((OK,))
    sent = Sent("GET", f"{visitor.root}/studies")
    gate.after(timedelta(minutes=20))
    assert isinstance((await judge_of(gate).judge(Named(f"visit:{visitor.visit.id}"), sent)).decision, Allow)
    gate.after(timedelta(minutes=20))
    found = await judge_of(gate).judge(Named(f"visit:{visitor.visit.id}"), sent)
    assert found.decision == Deny(Reason.VISIT_ENDED)


async def test_what_is_of_another_archive_than_the_one_that_is_meant_is_denied() -> None:
    gate = Gate()
    visitor = await gate.visitor((OK,))
    named = Named(f"visit:{visitor.visit.id}")
    target = f"/dicom-web/studies/{OK}/metadata"
    reader, _ = await gate.new_key("reader")
    judge = World().judge
    both = replace(judge, identity=replace(gate.identity, archives=("main", "research")))
    asked = (await both.judge(Named(reader.principal), Sent("GET", target, "research"))).ask
    assert asked is not None
    assert asked.resource.archive == "research"
    assert isinstance((await judge_of(gate).judge(named, Sent("GET", target, "main"))).decision, Allow)
    assert (await judge_of(gate).judge(named, Sent("GET", target, "research"))).decision == Deny(Reason.NO_GRANT)


async def test_below_a_visits_pages_a_share_stands_for_that_visit_if_it_is_its_own() -> None:
    gate = Gate()
    share = await gate.share((OK,))
    one, other = await gate.open(share), await gate.visitor((OK,))
    named = Named(share.principal)
    own = await judge_of(gate).judge(named, Sent("GET", f"{one.root}/studies"))
    assert (own.about, isinstance(own.decision, Allow)) == (f"visit:{one.visit.id}", True)
    foreign = await judge_of(gate).judge(named, Sent("GET", f"{other.root}/studies"))
    assert foreign.decision == Deny(Reason.BAD_CREDENTIAL)


async def test_nobody_of_that_name_is_told_from_nothing_else() -> None:
    for kind in ("key", "share", "visit", "user", "role"):
        found = await judge_of(Gate()).judge(Named(f"{kind}:{'a' * 16}"), Sent("GET", "/dicom-web/studies"))
        assert found.decision == Deny(Reason.BAD_CREDENTIAL)


@pytest.mark.parametrize("path", ["/dicom-web/studies/\ud800", "/dicom-web/studies?\udcff=1"])
async def test_what_is_no_text_is_no_path(path: str) -> None:
    gate = Gate()
    key, _ = await gate.new_key("reader")
    found = await judge_of(gate).judge(Named(key.principal), Sent("GET", path))
    assert isinstance(found.decision, Deny)
