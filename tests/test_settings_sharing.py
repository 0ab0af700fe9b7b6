"""The settings of what links ask and how far they go."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from keyhole.errors import Misconfigured
from keyhole.settings import Settings, load_settings
from keyhole.sharing.token import AsksFor
from keyhole.wiring.policy import policy

PASSWORD = "not-a-real-password"


@pytest.fixture
def enough(tmp_path: Path) -> dict[str, str]:
    """The least that serves."""
    return {
        "KEYHOLE_ARCHIVE": str(tmp_path),
        "KEYHOLE_DATA": str(tmp_path),
        "KEYHOLE_PUBLIC_URL": "http://127.0.0.1:8000",
    }


def load(env: dict[str, str], tmp_path: Path, toml: str = "") -> Settings:
    file = tmp_path / "keyhole.toml"
    file.write_text(toml)
    return load_settings(env, file)


def test_a_new_installation_gives_no_link_away_that_asks_nothing(enough: dict[str, str], tmp_path: Path) -> None:
    settings = load(enough, tmp_path)
    assert str(settings.required_conditions) == "any"
    assert settings.plugin_conditions is AsksFor.BIRTH_DATE
    rules = policy(settings)
    assert str(rules.required_of({"sharer"})) == "any"
    assert (rules.lasts, rules.most_visits, rules.terms, rules.mails, rules.notify) == (None, None, False, False, None)


@pytest.mark.parametrize("text", ["any", "none", "passcode", "passcode,birth-date", "mail-code,terms"])
def test_what_links_need_is_a_word_or_a_list(text: str, enough: dict[str, str], tmp_path: Path) -> None:
    settings = load(enough | {"KEYHOLE_REQUIRED_CONDITIONS": text}, tmp_path)
    assert str(settings.required_conditions) == text
    assert str(load(enough, tmp_path, f'required_conditions = "{text}"').required_conditions) == text


def test_roles_are_a_table_or_pairs(enough: dict[str, str], tmp_path: Path) -> None:
    table = '[required_conditions_of_roles]\nsharer = "passcode,terms"\nadministrator = "none"\n'
    pairs = {"KEYHOLE_REQUIRED_CONDITIONS_OF_ROLES": "sharer=passcode+terms, administrator=none"}
    for settings in (load(enough, tmp_path, table), load(enough | pairs, tmp_path)):
        asked = policy(settings)
        assert str(asked.required_of({"sharer"})) == "passcode,terms"
        assert str(asked.required_of({"administrator"})) == "none"
        assert str(asked.required_of({"reader"})) == "any"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("KEYHOLE_REQUIRED_CONDITIONS", "some", "KEYHOLE_REQUIRED_CONDITIONS is neither any nor none"),
        ("KEYHOLE_REQUIRED_CONDITIONS", "any,passcode", "KEYHOLE_REQUIRED_CONDITIONS is neither any nor none"),
        ("KEYHOLE_REQUIRED_CONDITIONS_OF_ROLES", "doctor=any", "names 'doctor', which is no role"),
        ("KEYHOLE_REQUIRED_CONDITIONS_OF_ROLES", "sharer=some", "is neither any nor none"),
        ("KEYHOLE_MOST_VISITS", "0", "KEYHOLE_MOST_VISITS must be at least 1"),
        ("KEYHOLE_SHARE_LASTS", "soon", "KEYHOLE_SHARE_LASTS is not a duration"),
        ("KEYHOLE_NOTIFY", "Radiology <r@clinic.example>", "KEYHOLE_NOTIFY is not an address"),
        ("KEYHOLE_PLUGIN_CONDITIONS", "passcode", "KEYHOLE_PLUGIN_CONDITIONS"),
    ],
)
def test_what_is_unclear_is_refused(name: str, value: str, words: str, enough: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as caught:
        load(enough | {name: value}, tmp_path)
    assert words in "\n".join(caught.value.problems)


def test_bounds_and_usual_lengths_reach_the_desk(enough: dict[str, str], tmp_path: Path) -> None:
    mail = {"KEYHOLE_SMTP_HOST": "smtp.clinic.example", "KEYHOLE_MAIL_FROM": "r@clinic.example"}
    bounds = {"KEYHOLE_SHARE_LASTS": "7d", "KEYHOLE_MOST_VISITS": "5", "KEYHOLE_NOTIFY": "desk@clinic.example"}
    told = policy(load(enough | mail | bounds, tmp_path))
    assert (told.lasts, told.most_visits, told.notify, told.mails) == (
        timedelta(days=7),
        5,
        "desk@clinic.example",
        True,
    )
    assert policy(load(enough | bounds, tmp_path)).notify is None, "nobody is told where no mail is sent"


def test_each_orthanc_asks_what_its_own_table_says_or_what_holds_for_all(
    enough: dict[str, str], tmp_path: Path
) -> None:
    caller = '[plugin_callers.{0}]\nuser = "{0}"\npassword = "' + PASSWORD + '"\n'
    toml = caller.format("north") + 'conditions = "none"\n' + caller.format("south")
    settings = load(enough, tmp_path, toml)
    callers = settings.every_caller()
    assert (callers["north"].conditions, callers["south"].conditions) == (AsksFor.NONE, None)
