"""Shares, visits and keys as rows: what cannot be kept, and the grants that follow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keyhole.access.condition import ConditionName, Conditions
from keyhole.access.decision import Allow, Ask, Deny, Reason
from keyhole.access.pdp import decide
from keyhole.access.resource import Action, Resource
from keyhole.access.share import ALLOWS, ApiKey, PatientName, Priors, Share, ShareKind, Visit
from keyhole.access.subject import READING, Kind
from tests.access.world import ANNA, ARCHIVE, HOUR, INSTANCE, NOW, OTHER, SERIES, STUDY, TWIN

SHARE_ID, VISIT_ID, KEY_ID = "abcdefghijklmnop", "qrstuvwxyz234567", "k" * 16


def a_share(
    *resources: Resource,
    kind: ShareKind = ShareKind.VIEW,
    max_visits: int | None = None,
    orthanc_ids: tuple[str, ...] = (),
) -> Share:
    return Share(
        id=SHARE_ID,
        archive="main",
        resources=resources,
        kind=kind,
        creator="user:anna",
        created_at=NOW,
        expires_at=NOW + HOUR,
        key_id="first",
        max_visits=max_visits,
        orthanc_ids=orthanc_ids,
    )


def a_visit(share: str | None = SHARE_ID, *resources: Resource) -> Visit:
    return Visit(
        id=VISIT_ID,
        digest=b"",
        subject="key:k1",
        archive="main",
        created_at=NOW,
        ends_at=NOW + HOUR,
        share=share,
        resources=resources,
    )


def a_key(**changes: object) -> ApiKey:
    values: dict[str, object] = {
        "id": KEY_ID,
        "name": "portal",
        "digest": b"",
        "roles": frozenset({"viewer"}),
        "ceiling": frozenset({Action.SEARCH, Action.ADMINISTER}),
        "creator": "user:anna",
        "created_at": NOW,
    }
    return ApiKey(**values | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "resources",
    [
        pytest.param((), id="nothing"),
        pytest.param((ARCHIVE,), id="a whole archive"),
        pytest.param((ANNA,), id="a patient"),
        pytest.param((INSTANCE,), id="an instance"),
        pytest.param((STUDY, TWIN), id="two archives"),
    ],
)
def test_what_cannot_be_shared(resources: tuple[Resource, ...]) -> None:
    with pytest.raises(ValueError):
        a_share(*resources)


@pytest.mark.parametrize("visits", [0, -1])
def test_a_share_that_can_never_be_opened_is_none(visits: int) -> None:
    with pytest.raises(ValueError):
        a_share(STUDY, max_visits=visits)


def test_a_share_may_be_for_one_opening() -> None:
    assert a_share(STUDY, max_visits=1).max_visits == 1


@pytest.mark.parametrize("kind", ShareKind)
def test_no_kind_of_share_allows_more_than_reading(kind: ShareKind) -> None:
    assert ALLOWS[kind] <= READING


def test_a_share_to_view_does_not_download_and_one_to_download_does() -> None:
    visit = a_visit().as_subject()
    ask = Ask(Action.DOWNLOAD, STUDY)
    view, download = a_share(STUDY), a_share(STUDY, kind=ShareKind.DOWNLOAD)
    assert decide(ask, visit, view.grants(), NOW) == Deny(Reason.NO_GRANT, STUDY)
    assert isinstance(decide(ask, visit, download.grants(), NOW), Allow)


def test_a_share_grants_each_of_its_resources_to_who_holds_the_link() -> None:
    grants = a_share(STUDY, Resource.of("main", "1.2.30", "1.2.30.1")).grants()
    assert [grant.target for grant in grants] == [STUDY, Resource.of("main", "1.2.30", "1.2.30.1")]
    assert {(grant.principal, grant.cause) for grant in grants} == {(f"share:{SHARE_ID}", f"share:{SHARE_ID}")}
    assert all(grant.live(NOW) and not grant.live(NOW + HOUR) for grant in grants)


def test_a_share_s_grants_begin_and_are_withdrawn_with_it() -> None:
    later = replace(a_share(STUDY, SERIES), not_before=NOW + HOUR / 2)
    assert [(grant.live(NOW), grant.live(NOW + HOUR / 2)) for grant in later.grants()] == [(False, True)] * 2
    withdrawn = replace(later, withdrawn_at=NOW)
    assert not any(grant.live(NOW + HOUR / 2) for grant in withdrawn.grants())


def test_a_visit_acts_as_itself_and_as_its_share() -> None:
    subject = a_visit().as_subject()
    assert (subject.kind, subject.name) == (Kind.VISIT, f"visit:{VISIT_ID}")
    assert subject.principals == {f"visit:{VISIT_ID}", f"share:{SHARE_ID}"}
    assert a_visit().grants() == ()


def test_a_visit_without_share_grants_what_was_opened_and_nothing_else() -> None:
    visit = a_visit(None, SERIES)
    subject = visit.as_subject()
    assert subject.principals == {f"visit:{VISIT_ID}"}
    assert isinstance(decide(Ask(Action.RETRIEVE, SERIES), subject, visit.grants(), NOW), Allow)
    assert decide(Ask(Action.RETRIEVE, OTHER), subject, visit.grants(), NOW) == Deny(Reason.NO_GRANT, OTHER)
    assert decide(Ask(Action.RETRIEVE, SERIES), subject, visit.grants(), NOW + HOUR) == Deny(Reason.EXPIRED, SERIES)
    ended = replace(visit, ended_at=NOW)
    assert decide(Ask(Action.RETRIEVE, SERIES), subject, ended.grants(), NOW) == Deny(Reason.WITHDRAWN, SERIES)
    assert [grant.cause for grant in visit.grants()] == ["visit of key:k1"]


def test_a_key_acts_under_its_roles_below_its_ceiling() -> None:
    subject = a_key().as_subject()
    assert subject.name == f"key:{KEY_ID}"
    assert subject.principals == {f"key:{KEY_ID}", "role:viewer"}
    assert subject.ceiling == {Action.SEARCH}


@pytest.mark.parametrize(
    ("changes", "live"),
    [
        pytest.param({}, True, id="without an end it stays"),
        pytest.param({"expires_at": NOW + HOUR}, True, id="until its end"),
        pytest.param({"expires_at": NOW}, False, id="not at its end"),
        pytest.param({"revoked_at": NOW + HOUR}, False, id="not once it is revoked"),
    ],
)
def test_when_a_key_opens(changes: dict[str, object], live: bool) -> None:
    assert a_key(**changes).live(NOW) is live


def test_orthancs_names_are_those_of_the_resources() -> None:
    with pytest.raises(ValueError):
        a_share(STUDY, orthanc_ids=("one", "two"))


def test_a_token_acts_as_its_share_and_only_reads() -> None:
    share = a_share(STUDY, kind=ShareKind.DOWNLOAD)
    subject = share.as_subject()
    assert (subject.kind, subject.name, subject.ceiling) == (Kind.TOKEN, f"share:{SHARE_ID}", READING)
    assert subject.principals == {f"share:{SHARE_ID}"}
    assert isinstance(decide(Ask(Action.RETRIEVE, STUDY), subject, share.grants(), NOW), Allow)
    assert decide(Ask(Action.DELETE, STUDY), subject, share.grants(), NOW) == Deny(Reason.CEILING, STUDY)


@pytest.mark.parametrize(
    ("conditions", "names"),
    [
        (Conditions(), ()),
        (Conditions(passcode="$argon2id$…"), (ConditionName.PASSCODE,)),
        (Conditions(birth_date=b"x" * 32, terms=True), (ConditionName.BIRTH_DATE, ConditionName.TERMS)),
        (Conditions(mail_code=True), (ConditionName.MAIL_CODE,)),
        (Conditions(passcode="", birth_date=b""), (ConditionName.PASSCODE, ConditionName.BIRTH_DATE)),
    ],
)
def test_conditions_name_what_is_asked_in_its_order(conditions: Conditions, names: tuple[ConditionName, ...]) -> None:
    assert conditions.names == names
    assert bool(conditions) is bool(names)


def test_what_conditions_are_held_to_is_not_told() -> None:
    told = repr(Conditions(passcode="$argon2id$hash", birth_date=b"digest"))
    assert "argon2id" not in told
    assert "digest" not in told


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"bearer": True, "conditions": Conditions(terms=True)}, "go around its conditions"),
        ({"conditions": Conditions(mail_code=True)}, "mailed to somebody"),
        ({"priors": Priors.FUTURE}, "of a patient"),
        ({"patient": PatientName("P-1")}, "of a patient"),
    ],
)
def test_a_share_that_contradicts_itself_is_none(fields: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        replace(a_share(STUDY), **fields)


def test_a_patient_is_not_told() -> None:
    share = replace(a_share(STUDY), priors=Priors.PRESENT, patient=PatientName("P-1234", "hospital"))
    assert "P-1234" not in repr(share)
