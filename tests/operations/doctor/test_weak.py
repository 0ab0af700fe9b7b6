"""Secrets that can be guessed are told from those that cannot; and none is ever shown."""

from __future__ import annotations

import base64
import secrets as random
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.operations.doctor import weak
from keyhole.operations.doctor.finding import Severity
from keyhole.settings.reference import reference
from tests.operations.doctor.looks import found, settings

GOOD = "kT9vQ2xWz7LmB4nR8sYd"


@pytest.mark.parametrize(
    "secret",
    [
        "orthanc", "orthancorthanc", "Orthanc-2024-Orthanc", "changeme12345", "ChangeMeChangeMe", "passw0rd123456",
        "P4ssw0rd!P4ssw0rd!", "secretsecretsecret", "aaaaaaaaaaaaaaaaaaaa", "12345678901234567890",
        "abcdefghijklmnopqrstuvwxyz",
        "abababababababab", "short1!", "x7Kp2", "keyhole-metrics-token",
    ],
)  # fmt: skip
def test_what_can_be_guessed_is_weak(secret: str) -> None:
    assert weak.weak(secret)


def test_the_users_own_name_is_no_secret() -> None:
    assert weak.weak("gertrude-1948", "gertrude")
    assert not weak.weak(f"{GOOD}gertrude", "gertrude")


@pytest.mark.parametrize(
    "secret", [GOOD, "correct horse battery staple", "Zug-um-7-nach-Basel-Kaffee", "9f86d081884c7d659a2feaa0"]
)
def test_what_cannot_is_not(secret: str) -> None:
    assert not weak.weak(secret)


@given(st.binary(min_size=18, max_size=40))
def test_random_ones_are_never_called_weak(drawn: bytes) -> None:
    seeded = random.token_bytes(18) + drawn  # the shrinker's zeros are no random secret
    assert not weak.weak(base64.b64encode(seeded).decode())
    assert not weak.weak(seeded.hex())


class TestInSettings:
    def test_good_ones_are_well(self) -> None:
        given = settings(
            archive_user="keyhole",
            archive_password=GOOD,
            archive_headers=f"X-Key: Bearer {GOOD}",
            database=f"postgresql://keyhole:{GOOD}@db/keyhole",
            metrics_token=GOOD,
        )
        assert found(weak.secrets(given)) == {"secrets": Severity.OK}

    def test_orthancs_default_is_an_error(self) -> None:
        given = settings(archive_user="orthanc", archive_password="orthanc")
        assert found(weak.secrets(given))["secret-default"] is Severity.ERROR

    @pytest.mark.parametrize(
        "variables",
        [
            {"archive_user": "keyhole", "archive_password": "hospital1"},
            {"archive_headers": "X-Key: secret"},
            {"archive_headers": "Authorization: Bearer changeme-changeme"},
            {"database": "postgresql://keyhole:keyhole@db/keyhole"},
            {"database": "postgresql://db/keyhole?user=keyhole&password=keyhole"},
            {"metrics_token": "metrics-token-token"},
        ],
        ids=["password", "header", "bearer", "database", "database query", "metrics"],
    )
    def test_weak_ones_are_told(self, variables: dict[str, str]) -> None:
        assert found(weak.secrets(settings(**variables))) == {"secret-weak": Severity.WARNING}

    def test_those_of_other_archives_are_told_by_name(self, tmp_path: Path) -> None:
        (tmp_path / "keyhole.toml").write_text(
            '[archives.old]\nroot = "https://old.example.org"\nuser = "orthanc"\npassword = "orthanc"\n'
        )
        told = list(weak.secrets(settings(tmp_path / "keyhole.toml")))
        assert [one.check for one in told] == ["secret-default", "secret-weak"]
        assert "archives.old.password" in told[1].fact

    def test_every_secret_setting_is_looked_at(self, tmp_path: Path) -> None:
        listed = {line.split("`")[1] for line in reference().splitlines() if line.endswith("(secret) |")}
        (tmp_path / "keyhole.toml").write_text(
            f'[archives.old]\nroot = "https://old.example.org"\nuser = "u"\npassword = "{GOOD}"\n'
            f'headers = "A: {GOOD}"\n'
            f'[plugin_callers.one]\nuser = "v"\npassword = "{GOOD}"\n'
        )
        whole = settings(
            tmp_path / "keyhole.toml",
            archive_user="u",
            archive_password=GOOD,
            archive_headers=f"A: {GOOD}",
            database=f"postgresql://u:{GOOD}@db/k",
            metrics_token=GOOD,
            plugin_user="u",
            plugin_password=GOOD,
            plugin_legacy_secret=GOOD,
            plugin_legacy_until="2027-03-31",
            plugin_meddream_user="u",
            plugin_meddream_password=GOOD,
            oidc_issuer="https://login.example.org",
            oidc_audience="account",
            keycloak_admin_url="https://login.example.org/admin",
            keycloak_client_secret=GOOD,
            smtp_user="u",
            smtp_password=GOOD,
        )
        assert listed
        told = " ".join(one.name for one in weak.named(whole))
        missing = [name for name in listed if name.split(".")[-1] not in told]
        assert not missing


ALPHABET = string.ascii_letters + string.digits


@given(st.text(ALPHABET, min_size=8, max_size=24), st.integers(0, 3))
def test_no_secret_is_ever_in_what_is_found(secret: str, which: int) -> None:
    secret = f"Zq{secret}"  # nothing that our own words hold
    variables = [
        {"archive_user": "keyhole", "archive_password": secret},
        {"archive_headers": f"X-Key: {secret}"},
        {"database": f"postgresql://keyhole:{secret}@db/keyhole"},
        {"metrics_token": secret + "0123456789"},
    ][which]
    given = settings(**variables)
    assert secret not in repr(list(weak.secrets(given)))
    assert secret not in repr(list(weak.named(given)))
