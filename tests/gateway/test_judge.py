"""What is said to be allowed is what the gateway lets through, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from keyhole.access.decision import Allow, Deny, Event, Reason, Record
from keyhole.access.resource import Action
from keyhole.access.secret import new_secret
from keyhole.access.share import ShareChange
from keyhole.dicom import dicomweb
from keyhole.gateway.fetch import Answer, Order
from keyhole.gateway.judge import Named, Sent, Shown
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
        self.caller = Caller(replace(self.gate.gateway, fetch=self.reached))
        self.judge = judge_of(self.gate)
        self.askers: list[Asker] = []
        self.roots = ["/dicom-web", "/dicom-web", "/dicomweb", "/v/aaaaaaaaaaaaaaaa/dicom-web", "/v/x/dicom-web", ""]

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
METHODS = st.sampled_from([*(["GET"] * 6), "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"])
TIMES = st.sampled_from([timedelta(0), timedelta(minutes=20), 2 * HOUR, 13 * HOUR, 8 * DAY])


def test_a_decision_allows_what_the_gateway_lets_through_and_nothing_else() -> None:
    with asyncio.Runner() as runner:
        world = World()
        runner.run(world.people())

        @settings(max_examples=600, deadline=None)
        @given(
            asker=st.sampled_from(world.askers),
            method=METHODS,
            root=st.sampled_from(world.roots),
            below=st.one_of(BELOW, BELOW, BELOW, ODD),
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
    # The law would hold of a gateway that lets nothing through as well: it was seen doing both, for many a reason.
    assert {"allowed", Reason.NO_GRANT, Reason.CEILING, Reason.BAD_CREDENTIAL, Reason.WITHDRAWN} <= outcomes


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
