"""Laws of the plugin's web service, over any token, any resource and any spelling of their names.

Each is held against the wire: what is sent are bytes, what is looked at is the answer.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from keyhole.access.share import Origin, Share
from keyhole.dicom.orthanc import name_of
from keyhole.sharing.token import TYPES, Opens
from tests.gateway.gate import BAD, OK, SECOND, SIBLING
from tests.web.plugin.service import LANDING, PATIENTS, TRUSTED, Service

STUDIES = (OK, SECOND, SIBLING, BAD)
ALL_DIRECT = dict.fromkeys(TYPES, Opens.DIRECT)
SOME = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def names_of(study: str) -> dict[str, tuple[str, str]]:
    """Every level's UID and Orthanc's name, of what is in or above *study*."""
    patient, series, instance = PATIENTS[study], f"{study}.1", f"{study}.1.1"
    return {
        "patient": (patient, name_of(patient)),
        "study": (study, name_of(patient, study)),
        "series": (series, name_of(patient, study, series)),
        "instance": (instance, name_of(patient, study, series, instance)),
    }


NAMES = {study: names_of(study) for study in STUDIES}
UIDS = [uid for names in NAMES.values() for uid, _ in names.values()]
IDS = [orthanc_id for names in NAMES.values() for _, orthanc_id in names.values()]
TWISTS = (
    lambda text: text,
    str.upper,
    lambda text: text + " ",
    lambda text: " " + text,
    lambda text: text + "\0",
    lambda text: text + "\n",
    lambda text: text.replace("1", "\u0661"),
    lambda text: text.replace("1", "\uff11"),
    lambda text: text.replace("2", "02"),
    lambda text: text + "*",
    lambda text: text[:-1] + "?",
    lambda text: text + ".",
    lambda text: text + f"\\{BAD}",
    lambda text: f"{BAD}\\{text}",
    lambda text: text + f",{BAD}",
    lambda text: text + f"/../{BAD}",
    lambda text: text.replace("-", ""),
    lambda text: text[:-1],
    lambda _: "",
)
LEVELS = [
    "patient",
    "study",
    "series",
    "instance",
    "system",
    "Study",
    "STUDY",
    "archive",
    "",
    "study ",
    None,
    1,
    [],
    {},
]
METHODS = ["get", "post", "put", "delete", "GET", "Post", "head", "patch", "", None, 0, ["get"]]
twisted = st.builds(lambda text, twist: twist(text), st.sampled_from(UIDS + IDS), st.sampled_from(TWISTS))
a_name = st.one_of(
    twisted,
    st.sampled_from(UIDS),
    st.sampled_from(IDS),
    st.sampled_from(["*", "", None, 1, 1.2, True, [], [OK], {"a": OK}]),
    st.text(max_size=20),
)
resource_sets = st.lists(
    st.one_of(st.tuples(st.sampled_from(STUDIES)), st.sampled_from([(study, f"{study}.1") for study in STUDIES])),
    min_size=1,
    max_size=3,
    unique=True,
)
questions = st.fixed_dictionaries(
    {},
    optional={
        "method": st.sampled_from(METHODS),
        "level": st.sampled_from(LEVELS),
        "orthanc-id": a_name,
        "dicom-uid": a_name,
        "labels": st.sampled_from([None, [], ["a"], "a", 1]),
        "uri": st.sampled_from(["/changes", "/system", OK]),
        "server-id": st.sampled_from([None, "", "x", 1]),
        "token-key": st.sampled_from(["token", "Authorization", "", None]),
    },
)
FIELDS = ("method", "level", "dicom-uid", "orthanc-id")
tokens_shown = st.sampled_from(["{}", "Bearer {}", "bearer   {}", "{} ", "\t{}", "BEARER {}"])


async def shared(service: Service, kind: str, resources: list[tuple[str, ...]], **more: Any) -> Share:
    """A share as Orthanc made it, of that type, whose token opens it wherever the type lets it."""
    values: dict[str, Any] = {
        "origin": Origin.PLUGIN,
        "token_type": kind,
        "bearer": True,
        "creator": "plugin:orthanc",
        "kind": TYPES[kind].kind,
        "orthanc_ids": tuple(name_of(PATIENTS[each[0]], *each) for each in resources),
    }
    return await service.gate.share(*resources, **(values | more))


def own(resource: tuple[str, ...]) -> dict[str, str]:
    """The right question about *resource*."""
    level, name = ("study", "series")[len(resource) - 1], name_of(PATIENTS[resource[0]], *resource)
    return {"method": "get", "level": level, "dicom-uid": resource[-1], "orthanc-id": name}


def may_open(resources: list[tuple[str, ...]], question: dict[str, Any], kind: str) -> bool:
    """The most that a link to *resources* may open, written down plainly: exact names, exact levels, reading."""
    reads = question.get("method") == "get" or (
        question.get("method") == "post" and TYPES[kind].posts and not question.get("labels")
    )
    if not reads or question.get("level") not in ("study", "series"):
        return False
    length = {"study": 1, "series": 2}[question["level"]]
    uid, orthanc_id = question.get("dicom-uid") or None, question.get("orthanc-id") or None
    return any(
        len(each) == length
        and (uid or orthanc_id) is not None
        and uid in (None, each[-1])
        and orthanc_id in (None, name_of(PATIENTS[each[0]], *each))
        for each in resources
    )


@SOME
@given(
    st.sampled_from(sorted(TYPES)), resource_sets, questions, st.sets(st.sampled_from(FIELDS), max_size=2), tokens_shown
)
def test_no_token_grants_outside_its_resources_at_any_level_in_any_spelling(
    kind: str, resources: list[tuple[str, ...]], question: dict[str, Any], spoilt: set[str], shown: str
) -> None:
    question = question | {name: value for name, value in own(resources[0]).items() if name not in spoilt}

    async def ask() -> None:
        service = Service(types=ALL_DIRECT)
        token = service.token(await shared(service, kind, resources))
        answer = await service.ask("POST", "tokens/validate", {**question, "token-value": shown.format(token)})
        assert answer.status == 200
        told = answer.json()
        assert type(told["granted"]) is bool
        assert type(told["validity"]) is int
        readable = all(isinstance(question.get(name), str | None) for name in (*FIELDS, "server-id"))
        assert told["granted"] is (readable and may_open(resources, question, kind)), (question, resources)

    run(ask())


@pytest.mark.parametrize("kind", ["viewer-instant-link", "download-instant-link"])
async def test_of_all_pairs_of_names_at_all_levels_those_of_the_link_alone_are_granted(kind: str) -> None:
    service = Service(types=ALL_DIRECT)
    resources: list[tuple[str, ...]] = [(OK,), (SECOND, f"{SECOND}.1")]
    token = service.token(await shared(service, kind, resources))
    names = [NAMES[study].values() for study in (OK, SECOND, BAD)]
    uids = ["", *(uid for each in names for uid, _ in each)]
    ids = ["", *(orthanc_id for each in names for _, orthanc_id in each)]
    granted = 0
    for level, uid, orthanc_id in itertools.product(NAMES[OK], dict.fromkeys(uids), dict.fromkeys(ids)):
        for method, labels in (("get", ["a"]), ("post", []), ("post", ["a"]), ("put", []), ("delete", [])):
            asked = {"level": level, "dicom-uid": uid, "orthanc-id": orthanc_id, "labels": labels}
            allowed = may_open(resources, {"method": method, **asked}, kind)
            assert await service.granted(token, OK, method, **asked) is allowed, (method, asked)
            granted += allowed
    assert granted == (12 if TYPES[kind].posts else 6)


@pytest.mark.parametrize("kind", sorted(TYPES))
async def test_a_name_that_is_spelt_otherwise_is_another_one(kind: str) -> None:
    service = Service(types=ALL_DIRECT)
    for study in STUDIES:
        uid, orthanc_id = NAMES[study]["study"]
        token = service.token(await shared(service, kind, [(study,)]))
        for twist in TWISTS:
            other_uid, other_id = twist(uid), twist(orthanc_id)
            for one, other in (
                (other_uid, ""),
                ("", other_id),
                (other_uid, other_id),
                (other_uid, orthanc_id),
                (uid, other_id),
            ):
                same = one in ("", uid) and other in ("", orthanc_id) and bool(one or other)
                assert await service.granted(token, study, **{"dicom-uid": one, "orthanc-id": other}) is same


@pytest.mark.parametrize(
    "body",
    [
        pytest.param('{{"dicom-uid":"{bad}","dicom-uid":"{ok}"}}', id="a foreign one first"),
        pytest.param('{{"dicom-uid":"{ok}","dicom-uid":"{bad}"}}', id="a foreign one last"),
        pytest.param('{{"orthanc-id":"{bad_id}","dicom-uid":"{ok}","orthanc-id":"{ok_id}"}}', id="names twice"),
        pytest.param('{{"method":"delete","dicom-uid":"{ok}","method":"get"}}', id="methods twice"),
        pytest.param('{{"method":"get","dicom-uid":"{ok}","method":"delete"}}', id="methods twice, the other way"),
    ],
)
async def test_of_keys_that_are_there_twice_the_last_one_counts_as_in_orthanc(body: str) -> None:
    """The plugin writes each once; what matters is that one and the same is judged and answered about."""
    service = Service()
    token = service.token(await shared(service, "viewer-instant-link", [(OK,)]))
    names = {"ok": OK, "bad": BAD, "ok_id": service.name(OK), "bad_id": service.name(BAD)}
    fields = json.loads(body.format(**names))
    head = {"level": "study", "method": "get", "token-value": token}
    sent = json.dumps(head)[:-1] + "," + body.format(**names)[1:]
    answer = await service.send("POST", "tokens/validate", sent.encode())
    wanted = may_open([(OK,)], head | fields, "viewer-instant-link")
    assert answer.json()["granted"] is wanted


@SOME
@given(
    st.sampled_from(sorted(TYPES)),
    resource_sets,
    st.sampled_from(["open", "withdrawn", "ended", "not yet", "used up", "renewed", "no bearer", "elsewhere"]),
    tokens_shown,
)
def test_decode_names_no_more_than_the_token_opens_and_nothing_for_one_that_opens_nothing(
    kind: str, resources: list[tuple[str, ...]], state: str, shown: str
) -> None:
    async def ask() -> None:
        service = Service(types=ALL_DIRECT)
        now = service.gate.now
        more: dict[str, Any] = {
            "withdrawn": {"withdrawn_at": now},
            "ended": {"created_at": now - timedelta(days=2), "expires_at": now},
            "not yet": {"not_before": now + timedelta(seconds=1)},
            "used up": {"max_visits": 1, "visits": 1},
            "no bearer": {"bearer": False},
            "elsewhere": {"archive": "second"},
        }.get(state, {})
        share = await shared(service, kind, resources, **more)
        token = service.token(share)
        if state == "renewed":
            await service.change(share, new_link_key=service.gate.ring.current)
        told = await service.decoded(shown.format(token))
        named = {(each["level"], each["dicom-uid"]) for each in told["resources"]}
        if state == "open":
            assert named == {("study" if len(each) == 1 else "series", each[-1]) for each in resources}
        else:
            assert named == set(), state
        assert told["error-code"] in (None, "expired", "invalid", "unknown")
        assert (told["error-code"] is None) is (state in ("open", "no bearer"))

    run(ask())


@SOME
@given(
    kind=st.sampled_from(sorted(TYPES)),
    trusted=st.booleans(),
    duration=st.one_of(
        st.none(), st.integers(), st.sampled_from([0, -1, 1, 200, 94881346242483, 2**63, 1.5, True, "200", [], 1e300])
    ),
    date=st.one_of(
        st.none(),
        st.datetimes().map(lambda at: at.isoformat()),
        st.datetimes().map(lambda at: at.isoformat() + "Z"),
        st.sampled_from(["", "soon", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"]),
        st.text(max_size=12),
    ),
    longest=st.integers(1, 60),
)
def test_a_link_ends_and_never_later_than_its_maker_may_give(
    kind: str, trusted: bool, duration: Any, date: str | None, longest: int
) -> None:
    async def make() -> None:
        service = Service(callers=[replace(TRUSTED if trusted else LANDING, longest=timedelta(days=longest))])
        order = {"resources": [{"dicom-uid": OK}], "validity-duration": duration, "expiration-date": date}
        answer = await service.ask("PUT", f"tokens/{kind}", order)
        assert answer.status in (200, 400), answer.text
        for share in await service.gate.store.shares():
            lasts = share.expires_at - share.created_at
            most = timedelta(days=30 if trusted else min(30, longest))
            assert timedelta(0) < lasts <= (timedelta(minutes=10) if TYPES[kind].instant else most)
        assert len(await service.gate.store.shares()) == (answer.status == 200)

    run(make())


@SOME
@given(st.integers(0, 100), st.integers(1, 3600), st.booleans())
def test_orthanc_never_remembers_a_yes_beyond_the_end(left: int, validity: int, post: bool) -> None:
    async def ask() -> None:
        service = Service(validity=validity)
        token = await service.make("viewer-instant-link", OK, **{"validity-duration": left or 1})
        if not left:
            service.gate.after(timedelta(seconds=1))
        question = {"method": "post" if post else "get", "level": "study", "dicom-uid": OK, "token-value": token}
        told = (await service.ask("POST", "tokens/validate", question)).json()
        assert told["granted"] is (left > 0)
        assert 0 <= told["validity"] <= (min(left, validity) if left else 1)

    run(ask())


class Links(RuleBasedStateMachine):
    """Links are made, opened, withdrawn, renewed, prolonged and end, in any order; a plain model says what opens."""

    tokens = Bundle("tokens")

    @initialize()
    def begin(self) -> None:
        """Nothing has been made."""
        self.service = Service(types={"stone-viewer-publication": Opens.DIRECT}, callers=[TRUSTED])
        self.open: dict[str, tuple[frozenset[str], Any]] = {}
        self.ended: set[str] = set()

    @rule(
        target=tokens,
        kind=st.sampled_from(["viewer-instant-link", "download-instant-link", "stone-viewer-publication"]),
        studies=st.sets(st.sampled_from(STUDIES), min_size=1, max_size=2),
        seconds=st.integers(1, 600),
    )
    def make(self, kind: str, studies: set[str], seconds: int) -> str:
        token: str = run(self.service.make(kind, *studies, **{"validity-duration": seconds}))
        self.open[token] = frozenset(studies), self.service.gate.now + timedelta(seconds=seconds)
        return token

    @rule(token=tokens, study=st.sampled_from(STUDIES), method=st.sampled_from(["get", "put", "delete"]))
    def ask(self, token: str, study: str, method: str) -> None:
        assert run(self.service.granted(token, study, method)) is (method == "get" and study in self._opens(token))

    @rule(token=tokens)
    def decode(self, token: str) -> None:
        told = run(self.service.decoded(token))
        assert {each["dicom-uid"] for each in told["resources"]} == self._opens(token)

    @rule(token=tokens)
    def ask_for_a_profile(self, token: str) -> None:
        told = run(self.service.profile(token))
        assert (told["permissions"], told["authorized-labels"]) == ([], [])

    @rule(token=consumes(tokens))
    def withdraw(self, token: str) -> None:
        async def end() -> None:
            await self.service.change(await self.service.the_share(token), withdrawn_at=self.service.gate.now)

        run(end())
        self.ended.add(token)

    @rule(target=tokens, token=consumes(tokens))
    def renew(self, token: str) -> str:
        async def again() -> str:
            key = self.service.gate.ring.current
            changed = await self.service.change(await self.service.the_share(token), new_link_key=key)
            return self.service.token(changed)

        new: str = run(again())
        self.open[new] = self.open[token]
        self.ended.add(token)
        return new

    @rule(token=tokens, seconds=st.integers(1, 600))
    def prolong(self, token: str, seconds: int) -> None:
        async def longer() -> None:
            await self.service.change(await self.service.the_share(token), expires_at=ends)

        ends = self.service.gate.now + timedelta(seconds=seconds)
        run(longer())
        self.open[token] = self.open[token][0], ends

    @rule(seconds=st.integers(1, 300))
    def wait(self, seconds: int) -> None:
        self.service.gate.after(timedelta(seconds=seconds))

    @invariant()
    def what_has_ended_stays_so(self) -> None:
        for token in self.ended:
            assert not run(self.service.granted(token, OK))

    def _opens(self, token: str) -> frozenset[str]:
        studies, ends = self.open[token]
        return frozenset() if token in self.ended or self.service.gate.now >= ends else studies


Links.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestLinks = Links.TestCase
