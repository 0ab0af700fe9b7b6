from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.language import ENGLISH, LANGUAGES, Language, language, later, negotiated

FRENCH, GERMAN, SPANISH = Language("fr"), Language("de"), Language("es")


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        pytest.param(None, ENGLISH, id="nothing asked is English"),
        pytest.param("", ENGLISH, id="nor is an empty wish one"),
        pytest.param("de", GERMAN, id="one language"),
        pytest.param("DE-at", GERMAN, id="any German is German"),
        pytest.param("de-CH-1996, en;q=0.8", GERMAN, id="the first of those liked as well"),
        pytest.param("pt-BR, fr;q=0.5, es;q=0.7", SPANISH, id="the best liked that there is"),
        pytest.param("it, nl", ENGLISH, id="none that there is"),
        pytest.param("fr;q=0, de;q=0.1", GERMAN, id="what is not acceptable is not given"),
        pytest.param("fr ; q=0.9 ,\tde", GERMAN, id="spaces around"),
        pytest.param("*", ENGLISH, id="any is ours"),
        pytest.param("it, *;q=0.5, fr;q=0.2", ENGLISH, id="any before another"),
        pytest.param("fr;q=2, de;q=0.2", GERMAN, id="a weight that is none"),
        pytest.param("fr;level=1, es", SPANISH, id="a parameter that is none"),
        pytest.param("\x00, \udcff, de", GERMAN, id="nonsense between"),
        pytest.param("x" * 600 + ", de", ENGLISH, id="what nobody's browser sends is not read to its end"),
    ],
)
def test_the_language_is_the_one_a_browser_likes_best(asked: str | None, given: Language) -> None:
    assert negotiated(asked) == given


@given(st.text())
def test_whatever_is_asked_a_language_is_given(asked: str) -> None:
    assert negotiated(asked).tag in LANGUAGES


def test_who_asks_for_none_of_ours_gets_what_the_site_says() -> None:
    assert negotiated("it", GERMAN) == negotiated("*", GERMAN) == GERMAN


@pytest.mark.parametrize(
    ("tag", "given"),
    [(None, "en"), ("", "en"), ("de", "de"), ("fr-CA", "fr"), ("ES", "es"), ("it", "en"), ("../de", "en")],
)
def test_a_tag_names_a_language_or_english(tag: str | None, given: str) -> None:
    assert language(tag).tag == given


def test_there_is_no_language_without_texts() -> None:
    with pytest.raises(ValueError, match="no texts in 'it'"):
        Language("it")


def test_a_text_that_nobody_translated_stays_as_it_is() -> None:
    assert GERMAN.gettext("never said anywhere") == "never said anywhere"
    assert GERMAN.gettext("") == ""
    assert later("as it is") == "as it is"
    assert [ENGLISH.ngettext("one", "many", count) for count in (0, 1, 2)] == ["many", "one", "many"]


def test_a_month_is_named_so_that_no_date_is_mistaken() -> None:
    day = date(2026, 3, 1)
    assert [Language(tag).day(day) for tag in LANGUAGES] == [
        "1 March 2026",
        "1 mars 2026",
        "1. März 2026",
        "1 de marzo de 2026",
    ]
    assert [Language(tag).months()[2] for tag in LANGUAGES] == ["March", "mars", "März", "marzo"]


def test_a_moment_is_told_in_utc_and_says_so() -> None:
    elsewhere = datetime(2026, 3, 1, 23, 5, tzinfo=timezone(timedelta(hours=-3)))
    assert GERMAN.moment(elsewhere) == "2. März 2026, 02:05 UTC"
    assert ENGLISH.moment(datetime(2026, 3, 1, 9, 5, tzinfo=UTC)) == "1 March 2026, 09:05 UTC"


def test_what_a_language_calls_itself() -> None:
    assert [Language(tag).name for tag in LANGUAGES] == ["English", "Français", "Deutsch", "Español"]
