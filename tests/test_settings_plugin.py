"""The callers of the web service for Orthanc's plugin: one by flat names, more in tables, told apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keyhole.errors import Misconfigured
from keyhole.settings import Settings, load_settings
from keyhole.sharing.token import Creation, Opens

PASSWORD = "not-a-real-password"
FLAT = {"KEYHOLE_PLUGIN_USER": "orthanc", "KEYHOLE_PLUGIN_PASSWORD": PASSWORD}
NORTH = f'[plugin_callers.north]\nuser = "north"\npassword = "{PASSWORD}"\n'


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


def problem(env: dict[str, str], tmp_path: Path, toml: str = "") -> str:
    with pytest.raises(Misconfigured) as caught:
        load(env, tmp_path, toml)
    return "\n".join(caught.value.problems)


def test_without_a_caller_there_is_no_service(enough: dict[str, str], tmp_path: Path) -> None:
    assert load(enough, tmp_path).every_caller() == {}


def test_one_caller_is_two_settings(enough: dict[str, str], tmp_path: Path) -> None:
    (caller,) = load(enough | FLAT, tmp_path).every_caller().values()
    assert (caller.user, caller.password.get_secret_value(), caller.archive) == ("orthanc", PASSWORD, None)
    assert (caller.creation, caller.longest) == (Creation.LANDING, timedelta(days=7))


def test_more_callers_are_tables(enough: dict[str, str], tmp_path: Path) -> None:
    toml = NORTH + 'server_id = "north-1"\ncreation = "off"\nlongest = "2d"\n'
    callers = load(enough | FLAT, tmp_path, toml).every_caller()
    assert list(callers) == ["orthanc", "north"]
    assert (callers["north"].creation, callers["north"].longest) == (Creation.OFF, timedelta(days=2))


def test_a_callers_password_may_come_from_a_file(enough: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(PASSWORD + "\n")
    toml = f'[plugin_callers.north]\nuser = "north"\npassword_file = "{tmp_path / "secret"}"\n'
    assert load(enough, tmp_path, toml).every_caller()["north"].password.get_secret_value() == PASSWORD


def test_a_user_name_without_password_is_refused(enough: dict[str, str], tmp_path: Path) -> None:
    assert "KEYHOLE_PLUGIN_USER are needed together" in problem(enough | {"KEYHOLE_PLUGIN_USER": "o"}, tmp_path)


@pytest.mark.parametrize("user", ["a:b", ""])
def test_a_user_name_that_could_be_anothers_is_refused(user: str, enough: dict[str, str], tmp_path: Path) -> None:
    assert "is no user name" in problem(enough, tmp_path, NORTH.replace('user = "north"', f'user = "{user}"'))


def test_a_colon_in_the_flat_user_name_is_refused_as_well(enough: dict[str, str], tmp_path: Path) -> None:
    told = problem(enough | FLAT | {"KEYHOLE_PLUGIN_USER": "a:b"}, tmp_path)
    assert told == "KEYHOLE_PLUGIN_USER is no user name: it is empty, or holds a colon: 'a:b'"


@pytest.mark.parametrize("name", ["North", "north pole", "n" * 33])
def test_callers_have_names_fit_for_the_trail(name: str, enough: dict[str, str], tmp_path: Path) -> None:
    assert "is not a name" in problem(enough, tmp_path, NORTH.replace("callers.north", f'callers."{name}"'))


def test_a_short_password_is_refused_and_not_shown(enough: dict[str, str], tmp_path: Path) -> None:
    told = problem(enough | FLAT | {"KEYHOLE_PLUGIN_PASSWORD": "hunter2"}, tmp_path)
    assert told == "KEYHOLE_PLUGIN_PASSWORD is shorter than 8 characters"


def test_callers_are_told_apart_by_their_user_names(enough: dict[str, str], tmp_path: Path) -> None:
    assert "holds a user name twice" in problem(enough | FLAT | {"KEYHOLE_PLUGIN_USER": "north"}, tmp_path, NORTH)
    assert "holds a user name twice" in problem(enough, tmp_path, NORTH + NORTH.replace("callers.north", "callers.b"))


def test_a_callers_name_is_taken_once(enough: dict[str, str], tmp_path: Path) -> None:
    assert "that of KEYHOLE_PLUGIN_USER" in problem(enough | FLAT, tmp_path, NORTH.replace(".north", ".orthanc"))


def test_a_caller_is_an_archive_that_there_is(enough: dict[str, str], tmp_path: Path) -> None:
    assert "has no pacs, which plugin_callers.north names" in problem(enough, tmp_path, NORTH + 'archive = "pacs"\n')
    toml = NORTH + f'archive = "pacs"\n[archives.pacs]\nroot = "{tmp_path}"\n'
    assert load(enough, tmp_path, toml).every_caller()["north"].archive == "pacs"


@pytest.mark.parametrize(
    ("given", "problem_told"),
    [
        (
            {"SMTP_HOST": "mail.example"},
            "KEYHOLE_MAIL_FROM is not set: who mail is from, needed with KEYHOLE_SMTP_HOST",
        ),
        ({"MAIL_FROM": "nobody"}, "KEYHOLE_MAIL_FROM is not an address such as Radiology <radiology@clinic.example>"),
        ({"MAIL_FROM": "a@b.example, c@d.example"}, "KEYHOLE_MAIL_FROM is not an address"),
        ({"MAIL_FROM": "a@b.example, C <c@d.example>"}, "KEYHOLE_MAIL_FROM is not an address"),
        ({"MAIL_FROM": "A <a@b.example>, C <c@d.example>"}, "KEYHOLE_MAIL_FROM is not an address"),
        ({"MAIL_FROM": "A\nBcc: x <a@b.example>"}, "KEYHOLE_MAIL_FROM is not an address"),
        ({"MAIL_FROM": "=?utf-8?q?x=0D=0ABcc:_x?= <a@b.example>"}, "KEYHOLE_MAIL_FROM is not an address"),
        ({"MAIL_FROM": "Staff: a@b.example;"}, "KEYHOLE_MAIL_FROM is not an address"),
        ({"MAIL_FROM": "Radiology <r@röntgen.example>"}, "KEYHOLE_MAIL_FROM is not an address"),
        ({"SMTP_USER": "k"}, "KEYHOLE_SMTP_PASSWORD and KEYHOLE_SMTP_USER are needed together"),
        (
            {"SMTP_HOST": "mail.example", "SMTP_USER": "k", "SMTP_PASSWORD": PASSWORD, "SMTP_SECURITY": "none"},
            "KEYHOLE_SMTP_PASSWORD could be read on the way",
        ),
    ],
)
def test_what_mail_needs_is_told(
    enough: dict[str, str], tmp_path: Path, given: dict[str, str], problem_told: str
) -> None:
    assert problem_told in problem(enough | {f"KEYHOLE_{name}": value for name, value in given.items()}, tmp_path)


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("radiology@clinic.example", "radiology@clinic.example"),
        ("Radiology <radiology@clinic.example>", "Radiology <radiology@clinic.example>"),
        ("Radiology, Example Hospital <r@clinic.example>", '"Radiology, Example Hospital" <r@clinic.example>'),
        ('"Radiology, Example Hospital" <r@clinic.example>', '"Radiology, Example Hospital" <r@clinic.example>'),
        ("Dr. Röntgen (X-ray) <r@clinic.example>", '"Dr. Röntgen (X-ray)" <r@clinic.example>'),
    ],
)
def test_a_name_that_mail_is_from_needs_no_quotes(
    enough: dict[str, str], tmp_path: Path, given: str, written: str
) -> None:
    mail = {"KEYHOLE_SMTP_HOST": "mail.example", "KEYHOLE_MAIL_FROM": given}
    assert load(enough | mail, tmp_path).mail_from == written


def test_what_types_open_can_be_changed(enough: dict[str, str], tmp_path: Path) -> None:
    types = "stone-viewer-publication=direct, download-instant-link=off"
    found = load(enough | {"KEYHOLE_PLUGIN_TYPES": types}, tmp_path).plugin_types
    assert found == {"stone-viewer-publication": Opens.DIRECT, "download-instant-link": Opens.OFF}


@pytest.mark.parametrize("types", ["inbox-link=landing", "stone-viewer-publication=on", "viewer-instant-link=landing"])
def test_what_types_cannot_open_is_told(enough: dict[str, str], tmp_path: Path, types: str) -> None:
    assert "KEYHOLE_PLUGIN_TYPES" in problem(enough | {"KEYHOLE_PLUGIN_TYPES": types}, tmp_path)


def test_those_who_show_nothing_have_no_role_unless_it_is_said(enough: dict[str, str], tmp_path: Path) -> None:
    assert load(enough, tmp_path).plugin_anonymous_roles == frozenset()
    found = load(enough | {"KEYHOLE_PLUGIN_ANONYMOUS_ROLES": "uploader, guest"}, tmp_path).plugin_anonymous_roles
    assert found == {"uploader", "guest"}


def test_links_of_the_service_before_need_a_last_day(enough: dict[str, str], tmp_path: Path) -> None:
    secret = {"KEYHOLE_PLUGIN_LEGACY_SECRET": PASSWORD}
    assert "KEYHOLE_PLUGIN_LEGACY_SECRET are needed together" in problem(enough | secret, tmp_path)
    for text in ("2027-03-31", "2027-03-31T00:00:00Z", "2027-03-31T02:00:00+02:00"):
        settings = load(enough | secret | {"KEYHOLE_PLUGIN_LEGACY_UNTIL": text}, tmp_path)
        assert settings.plugin_legacy_until == datetime(2027, 3, 31, tzinfo=UTC)
