"""What the administrator asks of every share, by the roles of its sender."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.access.condition import ConditionName
from keyhole.access.secret import Secret
from keyhole.errors import Refused
from keyhole.gateway.order import NO_WISHES, ShareOrder, Wishes
from keyhole.gateway.policy import PROVING, ConditionsNeeded, Policy, Required

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PASSCODE = Secret("winter garden")
NAMES = st.frozensets(st.sampled_from(ConditionName))
REQUIRED = st.builds(Required, st.booleans(), NAMES)


def order(wishes: Wishes = NO_WISHES, **more: Any) -> ShareOrder:
    return ShareOrder(archive="main", resources=(("1.2.3",),), expires_at=NOW, wishes=wishes, **more)


@pytest.mark.parametrize(
    ("text", "held", "met"),
    [
        ("none", set(), True),
        ("any", set(), False),
        ("any", {ConditionName.PASSCODE}, True),
        ("any", {ConditionName.BIRTH_DATE}, True),
        ("any", {ConditionName.MAIL_CODE}, True),
        pytest.param("any", {ConditionName.TERMS}, False, id="terms prove nothing"),
        ("passcode,terms", {ConditionName.PASSCODE}, False),
        ("passcode,terms", {ConditionName.PASSCODE, ConditionName.TERMS}, True),
        ("birth-date", {ConditionName.PASSCODE}, False),
        ("passcode + birth-date", set(ConditionName), True),
    ],
)
def test_what_a_link_must_have(text: str, held: set[ConditionName], met: bool) -> None:
    required = Required.parse(text)
    if met:
        required.demand(held)
        assert not required.lacking(held)
    else:
        with pytest.raises(ConditionsNeeded):
            required.demand(held)


@pytest.mark.parametrize("text", ["", "some", "any,passcode", "none,terms", "pass code", ","])
def test_what_says_nothing_clear_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is neither any nor none"):
        Required.parse(text)


def test_a_refusal_names_what_is_missing_and_what_to_do() -> None:
    with pytest.raises(ConditionsNeeded) as refused:
        Required.parse("passcode,birth-date").demand({ConditionName.PASSCODE})
    assert refused.value.names == (ConditionName.BIRTH_DATE,)
    assert refused.value.problem == "a link needs the condition birth-date (this Keyhole requires it)"
    assert refused.value.hint == "add --birth-date"
    with pytest.raises(ConditionsNeeded) as refused:
        Required.parse("any").demand(set())
    assert refused.value.hint == "add --passcode generate"


@given(REQUIRED, NAMES)
def test_what_is_lacking_is_enough_and_the_strictest_asks_for_all(required: Required, held: frozenset[Any]) -> None:
    required.demand(held | required.lacking(held))


@given(REQUIRED, REQUIRED, NAMES)
def test_of_two_requirements_both_hold(one: Required, other: Required, held: frozenset[ConditionName]) -> None:
    def met(required: Required) -> bool:
        try:
            required.demand(held)
        except ConditionsNeeded:
            return False
        return True

    assert met(one | other) is (met(one) and met(other))


@given(REQUIRED)
def test_what_is_written_can_be_read(required: Required) -> None:
    read = Required.parse(str(required))
    assert read.names == required.names
    assert read.any_one is (required.any_one and not required.names)


def test_the_strictest_of_a_senders_roles_counts() -> None:
    policy = Policy(
        required=Required.parse("any"),
        of_roles={"sharer": Required.parse("none"), "administrator": Required.parse("passcode,terms")},
    )
    assert str(policy.required_of({"sharer"})) == "none"
    assert str(policy.required_of({"reader"})) == "any"
    assert policy.required_of({"sharer", "reader"}) == Required(any_one=True)
    assert policy.required_of({"sharer", "administrator"}).names == {ConditionName.PASSCODE, ConditionName.TERMS}
    assert str(policy.required_of(set())) == "any", "who has no role has no privilege"


def test_openings_that_anybody_can_use_up_are_not_counted_unless_forced() -> None:
    policy = Policy(terms=True)
    for wishes in (NO_WISHES, Wishes(terms=True)):
        with pytest.raises(ConditionsNeeded, match="scanners"):
            policy.applied(order(wishes, max_visits=1), {"sharer"})
        assert policy.applied(order(wishes, max_visits=1, forced=True), {"sharer"}).max_visits == 1
        assert policy.applied(order(wishes), {"sharer"}).max_visits is None
    for wishes in (Wishes(passcode=PASSCODE), Wishes(birth_date=True)):
        assert policy.applied(order(wishes, max_visits=1), {"sharer"}).max_visits == 1


def test_force_does_not_go_around_what_is_required() -> None:
    with pytest.raises(ConditionsNeeded):
        Policy(required=Required.parse("any")).applied(order(max_visits=1, forced=True), {"sharer"})


def test_the_bound_on_openings_is_given_to_who_names_none_and_refused_to_who_names_more() -> None:
    policy = Policy(most_visits=3)
    passcode = Wishes(passcode=PASSCODE)
    assert policy.applied(order(passcode), {"sharer"}).max_visits == 3
    assert policy.applied(order(passcode, max_visits=2), {"sharer"}).max_visits == 2
    with pytest.raises(Refused, match="3 times at most"):
        policy.applied(order(passcode, max_visits=4), {"sharer"})
    with pytest.raises(ConditionsNeeded):
        policy.applied(order(), {"sharer"})


def test_a_share_without_an_end_lasts_as_long_as_is_usual() -> None:
    assert Policy(lasts=timedelta(days=7)).end(NOW) == NOW + timedelta(days=7)
    with pytest.raises(Refused, match="needs an end"):
        Policy().end(NOW)


@pytest.mark.parametrize(
    ("policy", "wishes", "more", "words"),
    [
        pytest.param(Policy(), Wishes(terms=True), {}, "no terms", id="terms that there are not"),
        pytest.param(
            Policy(mails=False), Wishes(mail_code=True), {"mail_to": "j@example.org"}, "sends no mail", id="no mail"
        ),
        pytest.param(Policy(mails=False), NO_WISHES, {"notify": "s@example.org"}, "sends no mail", id="nobody told"),
        pytest.param(
            Policy(mail_domains=frozenset({"example.org"})), NO_WISHES, {"mail_to": "j@else.example"}, "only", id="far"
        ),
        pytest.param(Policy(), NO_WISHES, {"mail_to": "J <j@example.org>"}, "address", id="a name beside the address"),
        pytest.param(Policy(), NO_WISHES, {"notify": "j@example.org\nBcc: x@y.example"}, "address", id="two headers"),
        pytest.param(Policy(), Wishes(paper=True), {}, "paper", id="a code for paper that is all that is asked"),
        pytest.param(Policy(terms=True), Wishes(paper=True, terms=True), {}, "paper", id="or with terms alone"),
    ],
)
def test_what_nobody_could_meet_is_refused(policy: Policy, wishes: Wishes, more: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=words) as refused:
        policy.applied(order(wishes, **more), {"sharer"})
    assert "Bcc" not in str(refused.value)


def test_addresses_are_kept_as_mail_servers_read_them() -> None:
    applied = Policy().applied(order(mail_to="Jane@EXAMPLE.org", notify="s@Example.ORG"), {"sharer"})
    assert (applied.mail_to, applied.notify) == ("Jane@example.org", "s@example.org")


def test_what_proves_something_is_everything_but_terms() -> None:
    assert set(ConditionName) - PROVING == {ConditionName.TERMS}
