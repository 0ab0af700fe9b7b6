"""What a link asks, and what answers it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.access.condition import ConditionName, Conditions
from keyhole.access.decision import Reason
from keyhole.access.mail import MailCode
from keyhole.access.resource import Resource
from keyhole.access.secret import new_secret
from keyhole.access.share import Share, ShareKind
from keyhole.sharing import condition
from keyhole.sharing.condition import NO_ANSWERS, Answers, Happening, Terms, Tries, after
from keyhole.sharing.link import KeyRing

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TODAY = NOW.date()
RING = KeyRing.new()
TICKET = new_secret().reveal()
ASKED = Conditions(passcode="$argon2id$…", birth_date=b"d", mail_code=True, terms=True)
TERMS = Terms({"en": "Tell nobody.", "de": "Niemandem erzählen."})
ALL = Answers(passcode="correct horse", birth_date="19800229", mail_code="012345", ticket=TICKET, terms=TERMS.version)


def share(**more: Any) -> Share:
    values: dict[str, Any] = {
        "id": "a" * 16,
        "archive": "main",
        "resources": (Resource.of("main", "1.2.3"),),
        "kind": ShareKind.VIEW,
        "creator": "user:anna",
        "created_at": NOW,
        "expires_at": NOW + timedelta(days=7),
        "key_id": RING.current,
        "mail_to": "maria@example.org",
    }
    return Share(**{**values, **more})


class TestWhatIsMissing:
    def test_is_all_that_is_asked_in_its_order(self) -> None:
        assert condition.missing(ASKED, NO_ANSWERS, TERMS.version) == tuple(ConditionName)

    def test_is_nothing_when_all_was_answered_right_or_not(self) -> None:
        assert condition.missing(ASKED, ALL, TERMS.version) == ()

    def test_is_nothing_of_what_is_not_asked(self) -> None:
        assert condition.missing(Conditions(), NO_ANSWERS, None) == ()
        assert condition.missing(Conditions(terms=True), Answers(terms=TERMS.version), TERMS.version) == ()

    @pytest.mark.parametrize(
        ("changes", "name"),
        [
            pytest.param({"passcode": ""}, ConditionName.PASSCODE, id="an empty passcode"),
            pytest.param({"passcode": " \t"}, ConditionName.PASSCODE, id="a blank for a passcode"),
            pytest.param({"birth_date": "1980"}, ConditionName.BIRTH_DATE, id="a year"),
            pytest.param({"birth_date": "19800230"}, ConditionName.BIRTH_DATE, id="a day that there is not"),
            pytest.param({"birth_date": "١٩٨٠٠٢٢٩"}, ConditionName.BIRTH_DATE, id="digits of another script"),
            pytest.param({"birth_date": ""}, ConditionName.BIRTH_DATE, id="no day"),
            pytest.param({"mail_code": "12345"}, ConditionName.MAIL_CODE, id="five digits"),
            pytest.param({"mail_code": "12345a"}, ConditionName.MAIL_CODE, id="a letter among the digits"),
            pytest.param({"mail_code": "0123456"}, ConditionName.MAIL_CODE, id="seven digits"),
            pytest.param({"ticket": None}, ConditionName.MAIL_CODE, id="a browser that did not ask for the code"),
            pytest.param({"ticket": "x"}, ConditionName.MAIL_CODE, id="what is no ticket"),
            pytest.param({"terms": None}, ConditionName.TERMS, id="terms that were not accepted"),
            pytest.param({"terms": "0123456789ab"}, ConditionName.TERMS, id="terms of yesterday"),
        ],
    )
    def test_is_what_could_be_right_for_nobody(self, changes: dict[str, Any], name: ConditionName) -> None:
        assert condition.missing(ASKED, replace(ALL, **changes), TERMS.version) == (name,)

    def test_are_the_terms_where_there_are_none(self) -> None:
        assert condition.missing(Conditions(terms=True), Answers(), None) == (ConditionName.TERMS,)

    def test_shows_no_answer(self) -> None:
        assert "horse" not in repr(ALL)
        assert TICKET not in repr(ALL)
        assert repr(ALL) == "Answers()"


class TestPasscodes:
    @pytest.mark.parametrize(
        ("text", "hashed"),
        [
            pytest.param("correct horse", "correct horse", id="is hashed as it is"),
            pytest.param("  correct horse\n", "correct horse", id="without white space around"),
            pytest.param("Correct Horse", "Correct Horse", id="with its case"),
            pytest.param("\uff43orrect horse", "correct horse", id="wide letters are letters"),
            pytest.param("cafe\u0301 noir", "café noir", id="however accents are typed"),
            pytest.param("abcd-efgh-jk", "ABCDEFGHJK", id="made up ones in any case"),
            pytest.param("ABCD EFGH JK", "ABCDEFGHJK", id="and groups"),
            pytest.param("open sesame", "0PENSESAME", id="which some that were chosen look like"),
            pytest.param("obcdefghil", "0BCDEFGH11", id="and with look-alikes"),
            pytest.param("12345678", "12345678", id="with eight characters at least"),
            pytest.param("1234567", None, id="not seven"),
            pytest.param("x" * 64, "x" * 64, id="64 at most"),
            pytest.param("x" * 65, None, id="not 65"),
            pytest.param("x" * 1_000_000, None, id="not a million"),
            pytest.param("\ufdfa" * 8, None, id="not what becomes longer when it is made plain"),
            pytest.param("\ud800" * 10, None, id="not halves of letters"),
            pytest.param("", None, id="not nothing"),
        ],
    )
    def test_are_made_plain(self, text: str, hashed: str | None) -> None:
        assert condition.normalised_passcode(text) == hashed

    @given(st.text(max_size=300))
    def test_are_the_same_when_they_are_made_plain_again(self, text: str) -> None:
        plain = condition.normalised_passcode(text)
        assert plain is None or (condition.normalised_passcode(plain) == plain and 8 <= len(plain) <= 64)


class TestBirthDates:
    @pytest.mark.parametrize("text", ["19800229", "20260301", "19500101", " 19800229", "19800229\0"])
    def test_that_prove_something(self, text: str) -> None:
        assert condition.usable_birth_date(text, TODAY) == text.strip(" \0")

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("", id="empty"),
            pytest.param("1980", id="a year alone"),
            pytest.param("198002", id="without its day"),
            pytest.param("00000000", id="all zero"),
            pytest.param("19800000", id="zero for month and day"),
            pytest.param("00010101", id="where calendars begin"),
            pytest.param("19000101", id="where some systems begin"),
            pytest.param("18991230", id="where others begin"),
            pytest.param("19700101", id="where Unix begins"),
            pytest.param("19810229", id="a day that there was not"),
            pytest.param("19801301", id="a thirteenth month"),
            pytest.param("20260302", id="tomorrow"),
            pytest.param("99991231", id="the end of time"),
            pytest.param("18000615", id="nobody lives so long"),
            pytest.param("1980-2-29", id="another way of writing"),
            pytest.param("١٩٨٠٠٢٢٩", id="digits of another script"),
            pytest.param("19800229-19800301", id="a range"),
        ],
    )
    def test_that_prove_nothing(self, text: str) -> None:
        assert condition.usable_birth_date(text, TODAY) is None

    @given(st.dates())
    def test_are_never_in_the_future(self, day: date) -> None:
        usable = condition.usable_birth_date(f"{day:%Y%m%d}".zfill(8), TODAY)
        assert usable is None or day <= TODAY

    def kept(self, day: str) -> Share:
        digest = condition.birth_date_digest(RING, RING.current, "a" * 16, day)
        return share(conditions=Conditions(birth_date=digest))

    def test_are_right_when_they_are_those_that_were_kept(self) -> None:
        kept = self.kept("19800229")
        assert condition.birth_date_right(kept, Answers(birth_date="19800229"), RING)
        assert not condition.birth_date_right(kept, Answers(birth_date="19800228"), RING)
        assert not condition.birth_date_right(kept, NO_ANSWERS, RING)

    def test_that_were_not_kept_are_not_right(self) -> None:
        assert not condition.birth_date_right(share(), Answers(birth_date="19800229"), RING)
        assert not condition.birth_date_right(self.kept(""), NO_ANSWERS, KeyRing.new())

    def test_tell_nothing_of_another_share_with_the_same_day(self) -> None:
        digests = {condition.birth_date_digest(RING, RING.current, name * 16, "19800229") for name in "abc"}
        assert len(digests) == 3


class TestMailedCodes:
    CODE = MailCode(
        share="a" * 16,
        generation=1,
        nonce="n" * 16,
        ticket=condition.ticket_digest(TICKET),
        created_at=NOW,
        ends_at=NOW + condition.CODE_LASTS,
    )
    SHARE = share(conditions=Conditions(mail_code=True))
    DIGITS = condition.mail_code(RING, RING.current, "a" * 16, 1, "n" * 16)

    def right(self, **more: Any) -> bool:
        values: dict[str, Any] = {"share": self.SHARE, "code": self.CODE, "ring": RING, "now": NOW} | more
        answers = more.pop("answers", Answers(mail_code=self.DIGITS, ticket=TICKET))
        return condition.mail_code_right(values["share"], values["code"], answers, values["ring"], values["now"])

    def test_are_right_in_time_in_the_browser_that_asked(self) -> None:
        assert self.right()
        assert self.right(now=NOW + condition.CODE_LASTS - timedelta(microseconds=1))

    @pytest.mark.parametrize(
        "more",
        [
            pytest.param({"code": None}, id="none was mailed, or it is spent"),
            pytest.param({"now": NOW + condition.CODE_LASTS}, id="too late"),
            pytest.param({"now": NOW - timedelta(seconds=1)}, id="a clock that was set back"),
            pytest.param({"code": replace(CODE, ticket=condition.ticket_digest("b" * 32))}, id="of another browser"),
            pytest.param({"code": replace(CODE, generation=2)}, id="of another link"),
            pytest.param({"code": replace(CODE, share="b" * 16)}, id="of another share"),
            pytest.param({"code": replace(CODE, nonce="m" * 16)}, id="of an earlier mail"),
            pytest.param({"code": replace(CODE, ends_at=NOW + timedelta(days=1)), "now": NOW + timedelta(hours=1)},
                         id="longer than any code lasts"),
            pytest.param({"ring": KeyRing.new()}, id="of a key that is gone"),
            pytest.param({"answers": Answers(mail_code="000000", ticket=TICKET)}, id="other digits"),
            pytest.param({"answers": Answers(mail_code=None, ticket=TICKET)}, id="no digits"),
            pytest.param({"answers": Answers(mail_code=DIGITS)}, id="no ticket"),
            pytest.param({"answers": Answers(mail_code=DIGITS, ticket="\ud800")}, id="half a letter for a ticket"),
        ],
    )  # fmt: skip
    def test_are_wrong_otherwise(self, more: dict[str, Any]) -> None:
        assert self.DIGITS != "000000"
        assert not self.right(**more)

    @given(st.text(min_size=1))
    def test_are_six_digits(self, nonce: str) -> None:
        made = condition.mail_code(RING, RING.current, "a" * 16, 1, nonce)
        assert condition.digits(made) == made

    @pytest.mark.parametrize("text", ["012345", " 012 345 ", "012-345", "\uff1012345", "012\u2013345"])
    def test_are_read_as_people_type_them(self, text: str) -> None:
        assert condition.digits(text) == "012345"

    @pytest.mark.parametrize("text", [None, "", "١٢٣٤٥٦", "1" * 100_000, "12345x", "\uff112345"])
    def test_are_not_read_from_anything(self, text: str | None) -> None:
        assert condition.digits(text) is None

    @pytest.mark.parametrize(
        ("address", "shown"),
        [
            ("maria@example.org", "m•••@example.org"),
            ("m@example.org", "•••@example.org"),
            ("a@b@example.org", "a•••@example.org"),
        ],
    )
    def test_go_to_an_address_that_its_reader_knows_again(self, address: str, shown: str) -> None:
        assert condition.masked(address) == shown


class TestTerms:
    def test_are_another_version_whatever_changes(self) -> None:
        versions = {
            Terms(texts).version
            for texts in ({"en": "a"}, {"en": "b"}, {"en": "a", "de": "a"}, {"en": "a", "fr": "a"}, {"en": "aa"})
        }
        assert len(versions) == 5
        assert TERMS.version == Terms(dict(reversed(TERMS.texts.items()))).version
        assert len(TERMS.version) == 12

    def test_are_shown_in_english_where_there_is_no_other_text(self) -> None:
        assert TERMS.text("de") == ("Niemandem erzählen.", "de")
        assert TERMS.text("fr") == ("Tell nobody.", "en")


class TestTries:
    """The counters, one event after the other."""

    def test_a_wrong_answer_costs_one_and_a_right_one_none(self) -> None:
        tries, _ = after(Tries(), Happening.TAKEN_UP, 5, NOW)
        assert tries == Tries(attempts=1, tried_at=NOW)
        assert after(tries, Happening.WRONG, 5, NOW) == (tries, None)
        assert tries.left(5) == 4
        right, _ = after(tries, Happening.RIGHT, 5, NOW)
        assert right.left(5) == 5

    def test_the_last_wrong_answer_locks_until_there_is_a_new_link(self) -> None:
        tries = Tries(attempts=4, tried_at=NOW)
        tries, _ = after(tries, Happening.TAKEN_UP, 5, NOW)
        locked, _ = after(tries, Happening.WRONG, 5, NOW)
        assert locked.locked_at == NOW
        assert locked.left(5) == 0
        assert after(locked, Happening.TAKEN_UP, 5, NOW) == (locked, Reason.LOCKED)
        assert after(locked, Happening.RIGHT, 5, NOW) == (locked, Reason.LOCKED)
        assert after(locked, Happening.WRONG, 5, NOW) == (locked, None)
        assert after(locked, Happening.NEW_LINK, 5, NOW) == (Tries(), None)

    def test_no_more_are_under_way_than_may_be_wrong(self) -> None:
        tries = Tries(attempts=5, tried_at=NOW)
        assert after(tries, Happening.TAKEN_UP, 5, NOW + timedelta(seconds=59)) == (tries, Reason.TOO_MANY)

    def test_what_is_under_way_for_a_minute_was_wrong(self) -> None:
        tries = Tries(attempts=5, tried_at=NOW)
        later = NOW + condition.UNDER_WAY
        assert after(tries, Happening.TAKEN_UP, 5, later) == (replace(tries, locked_at=later), Reason.LOCKED)

    def test_a_clock_that_was_set_back_locks_nobody_out_and_lets_nobody_in(self) -> None:
        tries, _ = after(Tries(attempts=4, tried_at=NOW), Happening.TAKEN_UP, 5, NOW - timedelta(days=1))
        assert tries.tried_at == NOW
        assert after(tries, Happening.TAKEN_UP, 5, NOW - timedelta(days=1)) == (tries, Reason.TOO_MANY)

    def test_are_those_that_a_share_keeps(self) -> None:
        kept = share(attempts=3, passed=1, tried_at=NOW)
        assert Tries.of(kept) == Tries(3, 1, NOW)
        assert Tries.of(kept).left(5) == 3
