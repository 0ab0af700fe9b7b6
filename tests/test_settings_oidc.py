"""The settings of the identity provider: what belongs together, and that nobody on the way can be it."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyhole.errors import Misconfigured
from keyhole.settings import Settings, load_settings

ISSUER = "https://login.example.org/realms/orthanc"
OIDC = {"KEYHOLE_OIDC_ISSUER": ISSUER, "KEYHOLE_OIDC_AUDIENCE": "account"}
ADMIN = {
    "KEYHOLE_KEYCLOAK_ADMIN_URL": "https://login.example.org/admin/realms/orthanc",
    "KEYHOLE_KEYCLOAK_CLIENT_SECRET": "the-secret",
}
INSIDE = "http://keycloak:8080/realms/orthanc"


@pytest.fixture
def enough(tmp_path: Path) -> dict[str, str]:
    """The least that serves."""
    return {
        "KEYHOLE_ARCHIVE": str(tmp_path),
        "KEYHOLE_DATA": str(tmp_path),
        "KEYHOLE_PUBLIC_URL": "http://127.0.0.1:8000",
    }


def load(*given: dict[str, str]) -> Settings:
    return load_settings({name: value for each in given for name, value in each.items()})


def problem(*given: dict[str, str]) -> str:
    with pytest.raises(Misconfigured) as caught:
        load(*given)
    return "\n".join(caught.value.problems)


def test_without_an_issuer_there_are_no_users_from_elsewhere(enough: dict[str, str]) -> None:
    found = load(enough)
    assert (found.oidc_issuer, found.oidc_audience, found.keycloak_admin_url) == (None, None, None)
    assert (found.oidc_roles, found.oidc_groups) == ("realm_access.roles", "groups")


@pytest.mark.parametrize(
    "issuer", [ISSUER, "https://tenant.example/", "https://a.example:8443/x", "http://localhost:8080"]
)
def test_an_issuer_is_kept_letter_by_letter(enough: dict[str, str], issuer: str) -> None:
    assert load(enough, OIDC, {"KEYHOLE_OIDC_ISSUER": issuer}).oidc_issuer == issuer


@pytest.mark.parametrize(
    "issuer", ["login.example.org", "ftp://a.example", "https://u:p@a.example", "https://a.example?x"]
)
def test_what_is_no_issuer_is_told_without_what_may_be_a_password(enough: dict[str, str], issuer: str) -> None:
    told = problem(enough, OIDC, {"KEYHOLE_OIDC_ISSUER": issuer})
    assert told.startswith("KEYHOLE_OIDC_ISSUER ")
    assert "u:p" not in told


@pytest.mark.parametrize("left", OIDC)
def test_issuer_and_audience_belong_together(enough: dict[str, str], left: str) -> None:
    told = problem(enough, {name: value for name, value in OIDC.items() if name != left})
    assert "KEYHOLE_OIDC_AUDIENCE and KEYHOLE_OIDC_ISSUER are needed together" in told


@pytest.mark.parametrize("left", ADMIN)
def test_the_admin_api_and_its_secret_belong_together(enough: dict[str, str], left: str) -> None:
    told = problem(enough, OIDC, {name: value for name, value in ADMIN.items() if name != left})
    assert "KEYHOLE_KEYCLOAK_CLIENT_SECRET and KEYHOLE_KEYCLOAK_ADMIN_URL are needed together" in told


def test_the_admin_api_needs_an_issuer(enough: dict[str, str]) -> None:
    assert "KEYHOLE_KEYCLOAK_CLIENT_SECRET needs KEYHOLE_OIDC_ISSUER" in problem(enough, ADMIN)


def test_api_keys_of_users_need_the_admin_api(enough: dict[str, str]) -> None:
    keys = {"KEYHOLE_KEYCLOAK_API_KEYS": "yes"}
    assert "KEYHOLE_KEYCLOAK_API_KEYS needs KEYHOLE_KEYCLOAK_CLIENT_SECRET" in problem(enough, OIDC, keys)
    assert load(enough, OIDC, ADMIN, keys).keycloak_api_keys


def test_the_secret_may_be_a_file_and_is_never_shown(enough: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the-secret\n")
    file = {"KEYHOLE_KEYCLOAK_CLIENT_SECRET_FILE": str(tmp_path / "secret")}
    given = {name: value for name, value in ADMIN.items() if "SECRET" not in name}
    found = load(enough, OIDC, given, file)
    assert found.keycloak_client_secret is not None
    assert found.keycloak_client_secret.get_secret_value() == "the-secret"
    assert "the-secret" not in repr(found)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"KEYHOLE_OIDC_ISSUER": INSIDE}, "KEYHOLE_OIDC_ISSUER"),
        ({"KEYHOLE_OIDC_ISSUER": INSIDE.replace("http:", "HTTP:")}, "KEYHOLE_OIDC_ISSUER"),
        ({"KEYHOLE_OIDC_URL": INSIDE}, "KEYHOLE_OIDC_URL"),
        ({**ADMIN, "KEYHOLE_KEYCLOAK_ADMIN_URL": INSIDE}, "KEYHOLE_KEYCLOAK_ADMIN_URL"),
    ],
)
def test_a_provider_without_https_is_refused_unless_forced(
    enough: dict[str, str], given: dict[str, str], name: str
) -> None:
    told = problem(enough, OIDC, given)
    assert f"{name} does not start with https:" in told
    assert "KEYHOLE_INSECURE_HTTP=yes forces it" in told
    load(enough, OIDC, given, {"KEYHOLE_INSECURE_HTTP": "yes"})


def test_a_provider_on_this_machine_needs_no_https(enough: dict[str, str]) -> None:
    load(enough, OIDC, {"KEYHOLE_OIDC_ISSUER": "http://127.0.0.1:8080/realms/orthanc"})


def test_an_issuer_without_https_that_is_reached_elsewhere_is_only_a_name(enough: dict[str, str]) -> None:
    load(enough, OIDC, {"KEYHOLE_OIDC_ISSUER": INSIDE, "KEYHOLE_OIDC_URL": ISSUER})
