"""Decisions for others: who may ask, what is answered, what is on the trail, and what is never told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from keyhole.access.decision import Event, Reason, Record
from keyhole.access.resource import Action
from keyhole.access.share import ShareChange
from keyhole.errors import StoreFailed
from keyhole.identity.role import ROLES
from keyhole.store.trail import TrailQuery
from keyhole.web import api
from tests.gateway.gate import DAY, NOW, OK, SECOND, SERIES, Gate, Visitor
from tests.gateway.judging import decisions_of
from tests.web.staff.asking import told
from tests.web.staff.client import Answer, Client

DECISIONS = "/api/v1/decisions"
METADATA = f"/dicom-web/studies/{OK}/metadata"
SEARCH = "/dicom-web/studies"


@dataclass
class Desk:
    """The staff API before a gate, and an application that may ask."""

    gate: Gate
    client: Client

    async def ask(self, *questions: dict[str, Any], headers: Any = None) -> Answer:
        full = [{"method": "GET", "path": METADATA, **question} for question in questions]
        return await self.client.ask("POST", DECISIONS, {"questions": full}, headers)

    async def one(self, **question: Any) -> dict[str, Any]:
        answer = await self.ask(question)
        assert answer.status == 200, answer.body
        [decision] = answer.json["decisions"]
        return decision  # type: ignore[no-any-return]

    async def key(self, *roles: str, **more: Any) -> list[tuple[str, str]]:
        return list((await self.gate.key(*roles, **more)).items())


@pytest.fixture
async def desk() -> Desk:
    gate = Gate()
    app = api.staff(
        gate.desk, decisions_of(gate, at_once=100, per_second=10), gate.identity, gate.ledger.refuse, "main"
    )
    header = await gate.key("enforcer")
    return Desk(gate, Client(app, list(header.items())))


def named(visitor: Visitor) -> str:
    return f"visit:{visitor.visit.id}"


def bearer(visitor: Visitor) -> str:
    return visitor.bearer["authorization"].removeprefix("Bearer ")


def cookie(visitor: Visitor) -> dict[str, str]:
    return {"visit": visitor.visit.id, "value": visitor.secret.reveal()}


# -- who may ask


@pytest.mark.parametrize("role", sorted(ROLES))
async def test_only_who_was_given_the_right_to_ask_may_ask(desk: Desk, role: str) -> None:
    answer = await desk.ask({"subject": f"key:{'a' * 16}"}, headers=await desk.key(role))
    if role in {"enforcer", "administrator"}:
        assert answer.status == 200
    else:
        assert told(answer) == (403, "ceiling")


async def test_a_ceiling_below_the_role_holds(desk: Desk) -> None:
    narrow = await desk.key("administrator", ceiling=frozenset(Action) - {Action.ASK})
    assert told(await desk.ask({"subject": f"key:{'a' * 16}"}, headers=narrow)) == (403, "ceiling")


async def test_who_may_ask_may_nothing_else(desk: Desk) -> None:
    for method, target in (("GET", "/api/v1/shares"), ("GET", "/api/v1/studies")):
        answer = await desk.client.ask(method, target)
        assert answer.status == 403 or not any(answer.json.values())
    header = dict(desk.client.headers)
    assert (await desk.gate.caller.get(METADATA, header)).status == 403


async def test_who_may_not_ask_learns_nothing_and_that_is_on_the_trail(desk: Desk) -> None:
    share = await desk.gate.share((OK,))
    sharer = await desk.key("sharer")
    known = await desk.ask({"subject": share.principal}, headers=sharer)
    unknown = await desk.ask({"subject": f"share:{'a' * 16}"}, headers=sharer)
    assert (known.status, known.body) == (unknown.status, unknown.body)
    [refusal] = await desk.gate.trail(Event.REFUSAL)
    assert (refusal.action, refusal.reason, refusal.times) == (Action.ASK, Reason.CEILING, 2)
    assert await desk.gate.trail(Event.ASKED) == []


async def test_a_visit_asks_about_nobody(desk: Desk) -> None:
    visitor = await desk.gate.visitor()
    headers = list(visitor.bearer.items())
    assert told(await desk.ask({"subject": named(visitor)}, headers=headers)) == (403, "ceiling")


# -- what is answered


async def test_a_visit_may_see_its_study_however_it_is_named(desk: Desk) -> None:
    visitor = await desk.gate.visitor((OK,))
    below = f"{visitor.root}/studies/{OK}/metadata"
    for who in (
        {"subject": named(visitor)},
        {"subject": f"share:{visitor.visit.share}"},
        {"bearer": bearer(visitor)},
        {"bearer": bearer(visitor), "path": below},
        {"cookie": cookie(visitor), "path": below},
    ):
        answer = await desk.one(**who)
        assert (answer["decision"], answer["reason"], answer["action"]) == ("allow", None, "retrieve")
        assert answer["resource"] == {
            "level": "study",
            "archive": "main",
            "study": OK,
            "series": None,
            "instance": None,
        }
        assert answer["subject"] in {named(visitor), f"share:{visitor.visit.share}"}


async def test_and_no_other(desk: Desk) -> None:
    visitor = await desk.gate.visitor((OK,))
    answer = await desk.one(subject=named(visitor), path=f"/dicom-web/studies/{SECOND}/metadata")
    assert (answer["decision"], answer["reason"], answer["scope"]) == ("deny", "no-grant", None)
    assert answer["resource"]["study"] == SECOND


async def test_a_search_is_allowed_within_what_was_granted(desk: Desk) -> None:
    visitor = await desk.gate.visitor((OK,), (SECOND, "1.2.2.1"))
    scope = (await desk.one(subject=named(visitor), path=SEARCH))["scope"]
    assert (scope["everything"], scope["filters"]) == (False, [])
    nodes = [(node["level"], node["study"], node["series"]) for node in scope["nodes"]]
    assert nodes == [("study", OK, None), ("series", SECOND, "1.2.2.1")]


async def test_the_metadata_of_a_study_is_allowed_within_what_was_granted(desk: Desk) -> None:
    visitor = await desk.gate.visitor((OK, SERIES))
    answer = await desk.one(subject=named(visitor))
    assert answer["decision"] == "allow"
    assert [node["series"] for node in answer["scope"]["nodes"]] == [SERIES]
    assert answer["scope"]["everything"] is False


async def test_a_reader_searches_everything_and_a_thing_that_is_one_has_no_scope(desk: Desk) -> None:
    key, _ = await desk.gate.new_key("reader")
    scope = (await desk.one(subject=key.principal, path=SEARCH))["scope"]
    assert (scope["everything"], [node["level"] for node in scope["nodes"]]) == (True, ["archive"])
    assert (await desk.one(subject=key.principal, path=f"/dicom-web/studies/{OK}"))["scope"] is None


async def test_a_key_is_known_by_its_bearer(desk: Desk) -> None:
    key, text = await desk.gate.new_key("uploader")
    answer = await desk.one(bearer=text, method="POST", path="/dicom-web/studies")
    assert (answer["decision"], answer["action"], answer["subject"]) == ("allow", "store", key.principal)


async def test_a_cookie_counts_below_its_visit_alone(desk: Desk) -> None:
    visitor, other = await desk.gate.visitor((OK,)), await desk.gate.visitor((OK,))
    for path in (METADATA, f"{other.root}/studies"):
        answer = await desk.one(cookie=cookie(visitor), path=path)
        assert (answer["decision"], answer["reason"]) == ("deny", "no-credential")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(ShareChange(withdrawn_at=NOW), "withdrawn", id="withdrawn"),
        pytest.param(ShareChange(not_before=NOW + DAY), "not-yet", id="put off"),
        pytest.param(ShareChange(expires_at=NOW), "expired", id="ended"),
    ],
)
async def test_what_has_changed_counts_at_once(desk: Desk, change: ShareChange, reason: str) -> None:
    visitor = await desk.gate.visitor((OK,))
    assert (await desk.one(subject=named(visitor)))["decision"] == "allow"
    record = Record(at=NOW, event=Event.SHARE_CHANGED, subject="user:anna")
    await desk.gate.store.change_share(str(visitor.visit.share), change, record)
    for who in ({"subject": named(visitor)}, {"bearer": bearer(visitor)}):
        answer = await desk.one(**who)
        assert (answer["decision"], answer["reason"]) == ("deny", reason)


async def test_answers_come_in_the_order_of_the_questions(desk: Desk) -> None:
    visitor = await desk.gate.visitor((OK,))
    studies = [OK, SECOND] * 50
    questions = [{"subject": named(visitor), "path": f"/dicom-web/studies/{study}/series"} for study in studies]
    answer = await desk.ask(*questions)
    assert [each["decision"] for each in answer.json["decisions"]] == ["allow", "deny"] * 50
    assert answer.json["at"] == "2026-03-01T12:00:00Z"


async def test_an_answer_is_about_now_and_kept_by_nobody(desk: Desk) -> None:
    assert (await desk.ask({"subject": f"key:{'a' * 16}"})).headers["cache-control"] == "private, no-store"


# -- what is not told


async def test_a_wrong_secret_and_none_that_was_ever_given_are_one_answer(desk: Desk) -> None:
    visitor = await desk.gate.visitor((OK,))
    right = bearer(visitor)
    nearly = right[:-1] + ("a" if right[-1] != "a" else "b")
    answers = [
        await desk.one(bearer=text) for text in (nearly, f"khv_{'a' * 16}_{'a' * 32}", "khv_", "anything at all")
    ]
    assert all(answer == answers[0] for answer in answers)
    assert (answers[0]["reason"], answers[0]["subject"], answers[0]["resource"]) == ("bad-credential", None, None)


async def test_a_link_opens_nothing_here(desk: Desk) -> None:
    share = await desk.gate.share((OK,))
    link, secret = desk.gate.desk.link(share), desk.gate.secret(share)
    for text in (link, secret, f"khs_{share.id}_{secret}", f"khv_{share.id}_{secret[:32]}"):
        assert (await desk.one(bearer=text))["reason"] == "bad-credential"
    cookie_of_link = {"visit": share.id, "value": secret[:32]}
    answer = await desk.one(cookie=cookie_of_link, path=f"/v/{share.id}/dicom-web/studies")
    assert answer["reason"] == "bad-credential"
    assert share.visits == 0


async def test_no_secret_is_on_the_trail_or_in_an_answer(desk: Desk) -> None:
    visitor = await desk.gate.visitor((OK,))
    _, key = await desk.gate.new_key("reader")
    answers = [
        await desk.ask({"bearer": bearer(visitor)}, {"bearer": key}, {"bearer": key[:-1] + "2"}),
        await desk.ask({"bearer": key, "subject": named(visitor)}),
        await desk.ask({"cookie": cookie(visitor) | {"other": key}}),
        await desk.ask({"bearer": key + "x" * 200}),
    ]
    rows = "".join(map(str, await desk.gate.trail()))
    for secret in (visitor.secret.reveal(), key.rpartition("_")[2]):
        assert secret not in rows
        assert all(secret.encode() not in answer.body for answer in answers)


# -- what is not of the form


@pytest.mark.parametrize(
    "question",
    [
        pytest.param({}, id="nobody"),
        pytest.param({"subject": f"key:{'a' * 16}", "bearer": "khk_"}, id="two"),
        pytest.param({"subject": "user:anna"}, id="a user"),
        pytest.param({"subject": "share:https://images.example.org/s/x#y"}, id="a link as a name"),
        pytest.param({"subject": f"key:{'a' * 16}", "method": "get"}, id="a method in lower case"),
        pytest.param({"subject": f"key:{'a' * 16}", "path": ""}, id="no path"),
        pytest.param({"subject": f"key:{'a' * 16}", "path": "/" + "a" * 4096}, id="a path without end"),
        pytest.param({"subject": f"key:{'a' * 16}", "archive": "../main"}, id="an archive of no name"),
        pytest.param({"bearer": ""}, id="an empty bearer"),
        pytest.param({"cookie": {"visit": "x", "value": "y"}}, id="a cookie of no visit"),
    ],
)
async def test_an_unclear_question_is_refused_and_asks_nothing(desk: Desk, question: dict[str, Any]) -> None:
    assert told(await desk.ask(question)) == (422, "invalid")
    assert await desk.gate.trail(Event.ASKED) == []


@pytest.mark.parametrize("field", ["path", "bearer", "method"])
async def test_half_a_character_breaks_nothing(desk: Desk, field: str) -> None:
    question = {"subject": f"key:{'a' * 16}", field: "\ud800"}
    assert (await desk.ask(question)).status in {400, 422}


@pytest.mark.parametrize("count", [0, 101])
async def test_there_is_at_least_one_question_and_at_most_a_hundred(desk: Desk, count: int) -> None:
    assert told(await desk.ask(*[{"subject": f"key:{'a' * 16}"}] * count)) == (422, "invalid")


async def test_an_archive_that_is_none_is_told(desk: Desk) -> None:
    assert told(await desk.ask({"subject": f"key:{'a' * 16}", "archive": "elsewhere"})) == (404, "not-found")


@pytest.mark.parametrize("path", ["/dicom-web/studies/%2e%2e", "/dicom-web/studies/1.2/../1.3", "/é", "x", "?", "//"])
async def test_a_path_that_is_none_is_denied(desk: Desk, path: str) -> None:
    key, _ = await desk.gate.new_key("reader")
    answer = await desk.one(subject=key.principal, path=path)
    assert answer["decision"] == "deny"
    assert answer["reason"] in {"not-canonical", "unknown-route"}


async def test_options_asks_nothing(desk: Desk) -> None:
    key, _ = await desk.gate.new_key("reader")
    assert (await desk.one(subject=key.principal, method="OPTIONS"))["reason"] == "method-not-allowed"


# -- how often


async def test_who_asks_too_often_has_to_wait_as_long_as_told(desk: Desk) -> None:
    questions = [{"subject": f"key:{'a' * 16}"}] * 60
    assert (await desk.ask(*questions)).status == 200
    refused = await desk.ask(*questions)
    assert told(refused) == (429, "too-many")
    assert refused.headers["retry-after"] == "2"
    desk.gate.after(timedelta(seconds=2))
    assert (await desk.ask(*questions)).status == 200
    [refusal] = await desk.gate.trail(Event.REFUSAL)
    assert (refusal.reason, refusal.action) == (Reason.TOO_MANY, Action.ASK)


async def test_a_flood_that_is_refused_is_summed_up(desk: Desk) -> None:
    questions = [{"subject": f"key:{'a' * 16}"}] * 100
    assert (await desk.ask(*questions)).status == 200
    for _ in range(30):
        assert (await desk.ask(*questions)).status == 429
    [refusal] = await desk.gate.trail(Event.REFUSAL)
    assert refusal.times == 30


async def test_another_key_is_not_held_up_by_that(desk: Desk) -> None:
    questions = [{"subject": f"key:{'a' * 16}"}] * 100
    await desk.ask(*questions)
    assert (await desk.ask(*questions, headers=await desk.key("enforcer"))).status == 200


# -- the trail


async def test_that_it_was_allowed_is_on_the_trail_before_it_is_told(desk: Desk) -> None:
    visitor = await desk.gate.visitor((OK,))
    await desk.one(subject=named(visitor))
    rows = [row.record for row in await desk.gate.store.trail(TrailQuery())]
    [asked] = [record for record in rows if record.event is Event.ASKED]
    assert asked.subject.startswith("key:")
    assert (asked.action, asked.archive, asked.study, asked.reason) == (Action.ASK, "main", OK, None)
    assert (asked.visit, asked.share) == (visitor.visit.id, visitor.visit.share)
    assert asked.detail == {"about": named(visitor), "asked": "retrieve"}
    assert asked.personal == {"address": "192.0.2.7"}


async def test_while_the_trail_cannot_be_written_nothing_is_allowed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = await desk.gate.visitor((OK,))
    await desk.one(subject=named(visitor), path=SEARCH)  # everything about keys and visits is known

    async def lost(_: object) -> None:
        raise StoreFailed("the disk is full")

    monkeypatch.setattr(desk.gate.store, "append", lost)
    assert told(await desk.ask({"subject": named(visitor)})) == (503, "store-failed")


async def test_the_same_question_is_counted_not_written_again(desk: Desk) -> None:
    visitor = await desk.gate.visitor((OK,))
    await desk.ask(*[{"subject": named(visitor)}] * 20)
    await desk.ask(*[{"subject": named(visitor)}] * 20)
    asked, counted = [row for row in await desk.gate.trail() if row.action is Action.ASK]
    assert (asked.event, counted.event, counted.times) == (Event.ASKED, Event.COUNT, 40)
    assert counted.detail == asked.detail
    assert (counted.images, counted.bytes) == (0, 0)


async def test_about_whom_is_told_apart(desk: Desk) -> None:
    one, other = await desk.gate.visitor((OK,)), await desk.gate.visitor((OK,))
    await desk.ask({"subject": named(one)}, {"subject": named(other)}, {"subject": named(one), "path": SEARCH})
    about = {(row.detail["about"], row.detail["asked"]) for row in await desk.gate.trail(Event.ASKED)}
    assert about == {(named(one), "retrieve"), (named(other), "retrieve"), (named(one), "search")}


async def test_refusals_are_summed_up_and_bounded(desk: Desk) -> None:
    visitor = await desk.gate.visitor((OK,))
    paths = [f"/dicom-web/studies/9.{number}/metadata" for number in range(100)]
    await desk.ask(*({"subject": named(visitor), "path": path} for path in paths))
    rows = await desk.gate.trail(Event.ASKED)
    assert len(rows) < 30
    assert sum(row.times for row in rows) == 100
    assert {row.reason for row in rows} == {Reason.NO_GRANT}


async def test_a_bad_credential_names_nobody_on_the_trail(desk: Desk) -> None:
    await desk.one(bearer=f"khv_{'a' * 16}_{'a' * 32}")
    [row] = await desk.gate.trail(Event.ASKED)
    assert (row.reason, row.detail, row.visit, row.share) == (
        Reason.BAD_CREDENTIAL,
        {"about": "anonymous"},
        None,
        None,
    )
