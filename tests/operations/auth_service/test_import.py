"""The settings of the service before, as settings of Keyhole: each variable carried, or named with what to do."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keyhole.errors import Misconfigured, Refused
from keyhole.operations.auth_service import files, variables
from keyhole.operations.auth_service.carry import Given, carry
from keyhole.operations.auth_service.outcome import Fate
from keyhole.operations.auth_service.variables import NAMES
from keyhole.settings import Settings, load_settings
from keyhole.sharing.token import Creation

PASSWORD = "not-a-real-password"
USERS = json.dumps({"orthanc": PASSWORD})
WHOLE = {
    "SECRET_KEY": "legacy-secret-key-for-test-vectors-only",
    "USERS": USERS,
    "SERVER_ID": "orthanc-1",
    "PUBLIC_ORTHANC_ROOT": "https://orthanc.example.org/",
    "PUBLIC_OHIF_ROOT": "https://orthanc.example.org/ohif/",
    "ENABLE_KEYCLOAK": "true",
    "KEYCLOAK_URI": "https://keycloak.example.org/realms/orthanc/",
    "KEYCLOAK_ADMIN_URI": "https://keycloak.example.org/admin/realms/orthanc/",
    "KEYCLOAK_CLIENT_SECRET": "a-client-secret-of-length",
    "ENABLE_KEYCLOAK_API_KEYS": "true",
    "MEDDREAM_TOKEN_SERVICE_URL": "http://user:pass%40word@meddream:8088/v3/generate",
    "PUBLIC_MEDDREAM_ROOT": "https://meddream.example.org/",
    "ENABLE_EMAILS": "true",
    "EMAILS_SENDER_ADDRESS": "Radiology <radiology@clinic.example>",
    "EMAILS_SMTP_SERVER_HOSTNAME": "mail.example.org",
    "EMAILS_SMTP_SERVER_PORT": "587",
    "EMAILS_SMTP_SERVER_USER_NAME": "mailer",
    "EMAILS_SMTP_SERVER_PWD": "a-mail-password",
}
ADDED = Given(legacy_until="2027-03-31", issuer="https://keycloak.example.org/realms/orthanc")


def loaded(folder: Path) -> Settings:
    rest = {"KEYHOLE_ARCHIVE": str(folder), "KEYHOLE_DATA": str(folder), "KEYHOLE_PUBLIC_URL": "http://127.0.0.1:8000"}
    return load_settings(rest, folder / files.TOML)


def imported(folder: Path, given_: Given = ADDED, **changed: str) -> Settings:
    files.write(carry(WHOLE | changed, given_), folder)
    return loaded(folder)


def fate(variable: str, given_: Given = ADDED, **changed: str) -> tuple[Fate, str]:
    (told,) = [each for each in carry(WHOLE | changed, given_).told if each.variable == variable]
    return told.fate, told.words


def test_every_variable_of_the_fact_sheets_table_is_known() -> None:
    assert len(NAMES) == 26


def test_every_variable_is_told_of_once() -> None:
    for told in (carry({}, Given()), carry(WHOLE, ADDED), carry({"USERS": USERS}, Given())):
        assert sorted(each.variable for each in told.told) == sorted(NAMES)


def test_all_that_can_be_carried_is_carried(tmp_path: Path) -> None:
    found = imported(tmp_path)
    (caller,) = found.every_caller().values()
    assert (caller.user, caller.password.get_secret_value(), caller.server_id) == ("orthanc", PASSWORD, "orthanc-1")
    assert found.plugin_legacy_secret is not None
    assert found.plugin_legacy_secret.get_secret_value() == WHOLE["SECRET_KEY"]
    assert found.plugin_orthanc_url == "https://orthanc.example.org"
    assert found.oidc_issuer == "https://keycloak.example.org/realms/orthanc"
    assert found.keycloak_api_keys
    assert (found.smtp_host, found.smtp_port, found.smtp_user) == ("mail.example.org", 587, "mailer")


def test_a_link_goes_no_further_than_it_does_by_default(tmp_path: Path) -> None:
    (caller,) = imported(tmp_path).every_caller().values()
    assert caller.creation is Creation.LANDING


def test_credentials_in_an_address_become_settings_of_their_own(tmp_path: Path) -> None:
    found = imported(tmp_path)
    assert found.plugin_meddream_token_url == "http://meddream:8088/v3/generate"
    assert found.plugin_meddream_password is not None
    assert found.plugin_meddream_password.get_secret_value() == "pass@word"


def test_several_users_become_tables(tmp_path: Path) -> None:
    users = json.dumps({"North Site": PASSWORD, "north-site": PASSWORD + "2", "***": PASSWORD + "3"})
    callers = imported(tmp_path, USERS=users).every_caller()
    assert {name: caller.user for name, caller in callers.items()} == {
        "north-site": "North Site",
        "north-site-2": "north-site",
        "orthanc": "***",
    }


def test_files_are_their_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    for path in files.write(carry(WHOLE, ADDED), folder):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path for path in folder.iterdir() if path.name.startswith(".")] == []


def test_no_secret_is_told_or_stands_among_the_settings(tmp_path: Path) -> None:
    outcome = carry(WHOLE, ADDED)
    files.write(outcome, tmp_path)
    told = repr(outcome) + (tmp_path / files.TOML).read_text() + str([each.words for each in outcome.told])
    for secret in (
        PASSWORD,
        WHOLE["SECRET_KEY"],
        "a-client-secret-of-length",
        "a-mail-password",
        "pass@word",
        "pass%40",
    ):
        assert secret not in told


def test_nothing_is_overwritten_without_being_told_to(tmp_path: Path) -> None:
    (tmp_path / "plugin-password").write_text("mine")
    with pytest.raises(Refused, match="plugin-password"):
        imported(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["plugin-password"]
    files.write(carry(WHOLE, ADDED), tmp_path, overwrite=True)
    assert (tmp_path / "plugin-password").read_text() == PASSWORD


def test_a_link_in_the_way_is_replaced_and_not_followed(tmp_path: Path) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "folder"
    elsewhere.write_text("mine")
    folder.mkdir()
    (folder / "plugin-password").symlink_to(elsewhere)
    files.write(carry(WHOLE, ADDED), folder, overwrite=True)
    assert elsewhere.read_text() == "mine"


@pytest.mark.parametrize(
    ("variable", "changed", "fate_", "words"),
    [
        ("USERS", {"USERS": ""}, Fate.PROBLEM, "not a JSON object"),
        ("USERS", {"USERS": '{"a": 1}'}, Fate.PROBLEM, "not a JSON object"),
        ("USERS", {"USERS": '{"a": "short"}'}, Fate.PROBLEM, "shorter than 8"),
        ("USERS", {"USERS": "[" * 9999}, Fate.PROBLEM, "not a JSON object"),
        ("SERVER_ID", {"PUBLIC_ORTHANC_ROOT": "", "PUBLIC_OHIF_ROOT": ""}, Fate.LEFT, "was not looked at"),
        ("SECRET_KEY", {"SECRET_KEY": "short"}, Fate.LEFT, "forged"),
        ("PUBLIC_ORTHANC_ROOT", {"PUBLIC_ORTHANC_ROOT": "nothing"}, Fate.PROBLEM, "not a URL"),
        ("PUBLIC_LANDING_ROOT", {"PUBLIC_LANDING_ROOT": "https://a.example/l"}, Fate.LEFT, "Keyhole's own page"),
        ("OHIF_DATA_SOURCE", {"OHIF_DATA_SOURCE": "dicom-json"}, Fate.LEFT, "DICOMweb"),
        ("PUBLIC_MEDDREAM_ROOT", {"MEDDREAM_TOKEN_SERVICE_URL": ""}, Fate.LEFT, "did nothing without"),
        ("PERMISSIONS_FILE_PATH", {"PERMISSIONS_FILE_PATH": "/x/permissions.json"}, Fate.LEFT, "--permissions"),
        ("ANONYMOUS_PROFILE_FILE_PATH", {"ANONYMOUS_PROFILE_FILE_PATH": "/x/a.json"}, Fate.LEFT, "--anonymous-profile"),
        ("KEYCLOAK_URI", {"KEYCLOAK_URI": "http://keycloak:8080/realms/o/"}, Fate.LEFT, "not https"),
        ("KEYCLOAK_ADMIN_URI", {"KEYCLOAK_ADMIN_URI": "http://keycloak:8080/a/"}, Fate.LEFT, "not https"),
        ("KEYCLOAK_ADMIN_URI", {"KEYCLOAK_CLIENT_SECRET": ""}, Fate.LEFT, "needs KEYCLOAK_CLIENT_SECRET"),
        ("ENABLE_KEYCLOAK", {"ENABLE_KEYCLOAK": "True"}, Fate.LEFT, "was not `true`"),
        ("EMAILS_SMTP_SERVER_PORT", {"EMAILS_SMTP_SERVER_PORT": "²"}, Fate.PROBLEM, "not a port"),
        ("EMAILS_SMTP_SERVER_PWD", {"EMAILS_SMTP_SERVER_USES_TLS": "false"}, Fate.PROBLEM, "could be read"),
        ("EMAILS_SENDER_ADDRESS", {"EMAILS_SENDER_ADDRESS": "nobody"}, Fate.PROBLEM, "not an address"),
        ("EMAILS_SMTP_SERVER_TIMEOUT", {"EMAILS_SMTP_SERVER_TIMEOUT": "99"}, Fate.LEFT, "15 s"),
        ("EMAILS_TEMPLATES_ROOT", {}, Fate.LEFT, "copy the folder"),
    ],
)
def test_what_is_not_carried_is_told_with_what_to_do(
    variable: str, changed: dict[str, str], fate_: Fate, words: str
) -> None:
    found = fate(variable, **changed)
    assert found[0] is fate_
    assert words in found[1]


def test_old_links_end_unless_somebody_says_until_when() -> None:
    assert "--legacy-until" in fate("SECRET_KEY", Given(issuer="https://login.example.org"))[1]


def test_a_provider_whose_issuer_nobody_named_is_a_problem() -> None:
    assert fate("ENABLE_KEYCLOAK", Given())[0] is Fate.PROBLEM
    assert fate("ENABLE_KEYCLOAK", Given(issuer="http://keycloak:8080/realms/o"))[0] is Fate.PROBLEM


def test_a_provider_without_https_is_taken_when_that_is_forced(tmp_path: Path) -> None:
    forced = Given(issuer="http://keycloak:8080/realms/o", insecure_http=True)
    found = imported(tmp_path, forced, KEYCLOAK_URI="", KEYCLOAK_ADMIN_URI="")
    assert found.oidc_url == "http://keycloak:8080/realms/orthanc"
    assert found.insecure_http


# -- the two files of roles


def test_permissions_are_carried_with_names_that_nobody_knows(tmp_path: Path) -> None:
    file = tmp_path / "permissions.json"
    file.write_text('{"roles": {"d": {"permissions": ["view", "made-up"], /* */ "authorized-labels": ["*"]}}} // end')
    imported(tmp_path / "to", Given(issuer=ADDED.issuer, permissions=file))
    assert json.loads((tmp_path / "to" / files.ROLES).read_text()) == {
        "roles": {"d": {"permissions": ["view", "made-up"], "authorized-labels": ["*"]}},
        "available-labels": [],
    }


@pytest.mark.parametrize("text", ["[]", "{}", '{"roles": {"a": {}}}', "nothing", "[" * 9999, '"\udc80"'])
def test_a_file_that_holds_no_roles_is_a_problem(tmp_path: Path, text: str) -> None:
    file = tmp_path / "permissions.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert fate("PERMISSIONS_FILE_PATH", Given(permissions=file))[0] is Fate.PROBLEM


def test_what_strangers_could_do_they_can_and_each_permission_is_told(tmp_path: Path) -> None:
    file = tmp_path / "anonymous.json"
    file.write_text('{"name": "Anonymous", "permissions": ["upload", "view"], "authorized-labels": []}')
    given_ = Given(issuer=ADDED.issuer, anonymous=file)
    assert "upload, view" in fate("ANONYMOUS_PROFILE_FILE_PATH", given_, ANONYMOUS_PROFILE_FILE_PATH="/a")[1]
    found = imported(tmp_path / "to", given_, ANONYMOUS_PROFILE_FILE_PATH="/a")
    (role,) = found.plugin_anonymous_roles
    assert json.loads((tmp_path / "to" / files.ROLES).read_text())["roles"][role]["permissions"] == ["upload", "view"]


def test_an_anonymous_profile_that_was_not_set_is_not_honoured(tmp_path: Path) -> None:
    file = tmp_path / "anonymous.json"
    file.write_text('{"permissions": ["upload"], "authorized-labels": []}')
    assert not imported(tmp_path / "to", Given(issuer=ADDED.issuer, anonymous=file)).plugin_anonymous_roles


# -- where variables come from


def test_a_file_of_secrets_overrules_a_variable(tmp_path: Path) -> None:
    (tmp_path / "SECRET_KEY").write_text("  from the file \n")
    (tmp_path / "USERS").write_text("not one of those")
    assert variables.of_service(WHOLE | {"PATH": "/bin"}, tmp_path) == WHOLE | {"SECRET_KEY": "from the file"}


def test_lines_are_read_as_compose_reads_them(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text('# one\nexport A=\'x # y\'\nUSERS={"a": "b$c"}\nB="two\\nlines"\nEMPTY=\n')
    assert variables.of_file(file) == {"A": "x # y", "USERS": '{"a": "b$c"}', "B": "two\nlines", "EMPTY": ""}


def test_a_line_that_is_none_is_told_by_its_number(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("A=b\n'SECRET\n")
    with pytest.raises(Refused, match="line 2"):
        variables.of_file(file)


COMPOSE = """
services:
  orthanc: {image: orthancteam/orthanc, environment: {A: b}}
  auth:
    image: orthancteam/orthanc-auth-service
    environment:
      USERS: '{"orthanc": "a$$b"}'
      ENABLE_KEYCLOAK: true
      PORT: 25
      NOTHING:
"""


def test_a_compose_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "docker-compose.yml"
    file.write_text(COMPOSE)
    assert variables.of_file(file) == {
        "USERS": '{"orthanc": "a$b"}',
        "ENABLE_KEYCLOAK": "true",
        "PORT": "25",
        "NOTHING": "",
    }
    assert variables.of_file(file, "orthanc") == {"A": "b"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (COMPOSE.replace("a$$b", "${PASSWORD}"), "fills USERS from elsewhere"),
        ("services: {a: {environment: [USERS=x]}, b: {environment: [USERS=x]}}", "which service"),
        ("services: {}", "which service"),
        ("a: [", "not YAML"),
        ("!!python/object/apply:os.system [ls]", "not YAML"),
        ("[]", "which service"),
    ],
)
def test_a_compose_file_that_does_not_say_is_refused(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "docker-compose.yml"
    file.write_text(text)
    with pytest.raises(Refused, match=words):
        variables.of_file(file)


def test_a_compose_file_of_endless_aliases_is_read_in_a_moment(tmp_path: Path) -> None:
    file = tmp_path / "docker-compose.yml"
    levels = [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 40)]
    service = "services: {auth: {image: *x39, environment: {USERS: *x39, SERVER_ID: a}}}"
    file.write_text("\n".join(["x0: &x0 [lol]", *levels, service]))
    assert variables.of_file(file) == {"USERS": "", "SERVER_ID": "a"}


# -- laws

_TEXT = st.text(st.characters(codec="utf-8") | st.sampled_from("\x00\x7f\n\udc80\"'\\${}"), max_size=30)
_VALUES = st.one_of(
    _TEXT,
    st.sampled_from(["true", "false", "", "587", "https://a.example/", "http://b/", "a@b.example", "x" * 300, USERS]),
    st.dictionaries(_TEXT, _TEXT, max_size=3).map(json.dumps),
)
_ENVIRONMENTS = st.dictionaries(st.sampled_from(sorted(NAMES)), _VALUES)
_GIVEN = st.builds(
    Given,
    legacy_until=st.none() | st.just("2027-03-31"),
    issuer=st.sampled_from([None, "https://a.example", "http://b.example/realms/x", "nothing"]),
    insecure_http=st.booleans(),
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(environment=_ENVIRONMENTS, base=st.booleans(), added=_GIVEN)
def test_any_environment_gives_settings_that_load_or_a_list_of_problems(
    tmp_path: Path, environment: dict[str, str], base: bool, added: Given
) -> None:
    outcome = carry((WHOLE if base else {}) | environment, added)
    assert {each.variable for each in outcome.told} == NAMES
    assert not re.search(r"[\x00-\x1f\ud800-\udfff]", "".join(each.words for each in outcome.told))
    if outcome.problems:
        return
    try:
        files.write(outcome, tmp_path, overwrite=True)
    except Misconfigured as error:
        assert error.problems  # noqa: PT017 - the other answer that may be
    else:
        assert loaded(tmp_path).every_caller()
