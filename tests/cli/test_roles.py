"""``keyhole roles list`` where an identity provider is set up; the rest is in tests/transcripts/roles.txt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from keyhole.gateway.plugin.keycloak import Keycloak
from tests.cli.transcript import Run

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def provider(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of a provider."""
    monkeypatch.setenv("KEYHOLE_OIDC_ISSUER", f"{NOWHERE}/realms/orthanc")
    monkeypatch.setenv("KEYHOLE_OIDC_AUDIENCE", "account")
    monkeypatch.setenv("KEYHOLE_KEYCLOAK_ADMIN_URL", f"{NOWHERE}/admin/realms/orthanc")
    monkeypatch.setenv("KEYHOLE_KEYCLOAK_CLIENT_SECRET", "the-secret-of-admin-cli")


def test_a_role_that_the_provider_does_not_know_is_marked(
    provider: None, here: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def known(self: Keycloak) -> frozenset[str]:
        return frozenset({"reader", "sharer", "administrator", "nurse"})

    monkeypatch.setattr(Keycloak, "roles", known)
    listed = here(["roles", "list"], "")
    rows = [line.split() for line in listed.out.splitlines()]
    assert rows[0][-1] == "PROVIDER"
    assert ["reader", "view,", "download", "*", "known"] in rows
    assert ["uploader", "upload", "*", "not", "known"] in rows
    assert listed.err.startswith("keyhole: 1 role is not known to the identity provider")
    assert json.loads(here(["roles", "list", "--json"], "").out)["unknown_to_provider"] == ["uploader"]


@pytest.mark.loopback
def test_a_provider_that_does_not_answer_is_told_and_stops_nothing(provider: None, here: Run) -> None:
    listed = here(["roles", "list"], "")
    assert listed.status == 0
    assert "uploader" in listed.out
    assert "the identity provider does not answer" in listed.err
    assert "the-secret" not in listed.out + listed.err
    assert json.loads(here(["roles", "list", "--json"], "").out)["unknown_to_provider"] is None
