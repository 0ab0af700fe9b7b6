"""Users of Orthanc from a real Keycloak, as Orthanc's plugin is told of them by a running Keyhole."""

from __future__ import annotations

import base64
import json
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import OctKey, RSAKey

from tests.servers.keycloak import Keycloak, Realm
from tests.servers.keyhole import Keyhole, keyhole
from tests.servers.process import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

USER, PASSWORD = "orthanc", "a-password-of-some-length"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
SECRET = "the-secret-of-admin-cli"
API_KEY = "annas-key-0123456789abcdef"
ROLES = {
    "roles": {
        "doctor": {"permissions": ["view", "download"], "authorized-labels": ["clinic-a"]},
        "former": {"permissions": ["view"], "authorized-labels": ["*"]},
        "uploader": {"permissions": ["upload"], "authorized-labels": []},
    },
    "available-labels": [],
}
GONE_WITHIN = 40
"""Seconds: what Keyhole holds, and how long a machine with other work may take."""


def user(name: str, *roles: str, **more: Any) -> dict[str, Any]:
    return {
        "username": name,
        "enabled": True,
        "firstName": name.title(),
        "lastName": "Example",
        "email": f"{name}@clinic.example",
        "realmRoles": list(roles),
        "clientRoles": {"account": ["view-profile"]},
        "credentials": [{"type": "password", "value": f"{name}s-password"}],
        **more,
    }


def client(name: str, *mappers: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "clientId": name,
        "publicClient": True,
        "directAccessGrantsEnabled": True,
        "protocolMappers": list(mappers),
        **more,
    }


def mapper(kind: str, **config: str) -> dict[str, Any]:
    return {"name": kind, "protocol": "openid-connect", "protocolMapper": f"oidc-{kind}-mapper", "config": config}


def profile_of_users() -> dict[str, Any]:
    """That users have the attribute ``api-key``, which administrators alone may see and change."""
    everybody, administrators = ["admin", "user"], ["admin"]
    names = [
        {"name": name, "permissions": {"view": everybody, "edit": everybody}}
        for name in ("username", "email", "firstName", "lastName")
    ]
    own = {"name": "api-key", "permissions": {"view": administrators, "edit": administrators}}
    config = {"kc.user.profile.config": [json.dumps({"attributes": [*names, own]})]}
    kind = "org.keycloak.userprofile.UserProfileProvider"
    return {kind: [{"providerId": "declarative-user-profile", "config": config}]}


def representation(name: str) -> dict[str, Any]:
    groups = mapper("group-membership", **{"claim.name": "groups", "full.path": "false", "access.token.claim": "true"})
    elsewhere = mapper("audience", **{"included.custom.audience": "elsewhere", "access.token.claim": "true"})
    return {
        "realm": name,
        "enabled": True,
        "roles": {"realm": [{"name": each} for each in ("doctor", "uploader", "secretary")]},
        "groups": [{"name": "radiology"}],
        "components": profile_of_users(),
        "clients": [
            client("orthanc", groups),
            client("brief", attributes={"access.token.lifespan": "2"}),
            client("elsewhere", elsewhere, fullScopeAllowed=False),
            {"clientId": "admin-cli", "publicClient": False, "secret": SECRET, "serviceAccountsEnabled": True},
        ],
        "users": [
            user("anna", "doctor", groups=["/radiology"], attributes={"api-key": [API_KEY]}),
            user("bert", "doctor"),
            user("carl", "uploader"),
            user("dora"),
            {
                "username": "service-account-admin-cli",
                "enabled": True,
                "serviceAccountClientId": "admin-cli",
                "clientRoles": {"realm-management": ["view-users", "query-users", "view-realm"]},
            },
        ],
    }


@pytest.fixture(scope="module")
def realm(identity_provider: Keycloak) -> Realm:
    return identity_provider.add_realm(representation("orthanc"))


@pytest.fixture(scope="module")
def other_realm(identity_provider: Keycloak) -> Realm:
    return identity_provider.add_realm(representation("another"))


def settings(realm: Realm, studies: Path) -> dict[str, str]:
    return {
        "KEYHOLE_ARCHIVE": str(studies),
        "KEYHOLE_PLUGIN_USER": USER,
        "KEYHOLE_PLUGIN_PASSWORD": PASSWORD,
        "KEYHOLE_OIDC_ISSUER": realm.issuer,
        "KEYHOLE_OIDC_AUDIENCE": "account",
    }


@pytest.fixture(scope="module")
def server(realm: Realm, studies: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyhole]:
    """A Keyhole that may ask the admin API."""
    more = {
        "KEYHOLE_KEYCLOAK_ADMIN_URL": realm.admin,
        "KEYHOLE_KEYCLOAK_CLIENT_SECRET": SECRET,
        "KEYHOLE_KEYCLOAK_API_KEYS": "yes",
    }
    folder = tmp_path_factory.mktemp("keyhole with users")
    with keyhole(folder, settings(realm, studies) | more) as running:
        put_roles(running, folder)
        running.secrets |= {SECRET, API_KEY}
        yield running


@pytest.fixture(scope="module")
def server_without_admin(realm: Realm, studies: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyhole]:
    folder = tmp_path_factory.mktemp("keyhole with tokens alone")
    with keyhole(folder, settings(realm, studies)) as running:
        put_roles(running, folder)
        yield running


def put_roles(server: Keyhole, folder: Path) -> None:
    (folder / "roles.json").write_text(json.dumps(ROLES))
    server.run("roles", "put", str(folder / "roles.json"))


def ask(server: Keyhole, method: str, path: str, content: object = None) -> Any:
    body = None if content is None else json.dumps(content).encode()
    answer = server.ask(method, f"/plugin/{path}", {"Authorization": BASIC}, body, server.internal_port)
    assert answer.status == 200, answer.body
    return answer.json()


def profile(server: Keyhole, token: str, key: str = "Authorization") -> Any:
    """What Orthanc is told of whoever shows *token*, which nothing is to keep."""
    server.secrets |= {token} if token else set()
    shown = f"Bearer {token}" if key == "Authorization" else token
    return ask(server, "POST", "user/get-profile", {"server-id": None, "token-key": key, "token-value": shown})


def signed_in(realm: Realm, name: str, at: str = "orthanc") -> str:
    return realm.token(at, name, f"{name}s-password")


def is_nobody(found: Mapping[str, Any]) -> bool:
    return (found["name"], found["permissions"], found["authorized-labels"]) == ("Anonymous", [], [])


@contextmanager
def frozen(provider: Keycloak) -> Iterator[None]:
    """While *provider* answers nothing."""
    assert provider.process is not None
    os.killpg(provider.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(provider.process.pid, signal.SIGCONT)


def test_whoever_signs_in_has_the_labels_and_permissions_of_their_roles(server: Keyhole, realm: Realm) -> None:
    token = signed_in(realm, "anna")
    for key in ("Authorization", "token"):
        found = profile(server, token, key)
        assert found == {
            "name": "Anna Example",
            "user-id": realm.user_id("anna"),
            "permissions": ["view", "download"],
            "authorized-labels": ["clinic-a"],
            "groups": ["radiology"],
            "validity": 5,
        }
    given = [row for row in server.trail() if row["event"] == "profile-given"]
    assert given[-1]["subject"] == f"user:{realm.user_id('anna')}"
    assert given[-1]["detail"]["roles"] == "doctor"
    assert given[-1]["name"] == "Anna Example"
    assert "Anna" not in json.dumps(given[-1]["detail"])


def test_a_user_without_a_role_that_is_described_may_do_nothing(server: Keyhole, realm: Realm) -> None:
    found = profile(server, signed_in(realm, "dora"))
    assert (found["name"], found["permissions"], found["authorized-labels"]) == ("Dora Example", [], [])


def test_a_user_with_permissions_has_at_least_one_label(server: Keyhole, realm: Realm) -> None:
    found = profile(server, signed_in(realm, "carl"))
    assert (found["permissions"], found["authorized-labels"]) == (["upload"], ["keyhole-no-study"])


def test_a_token_for_somebody_else_is_nobodys(server: Keyhole, realm: Realm) -> None:
    assert is_nobody(profile(server, signed_in(realm, "anna", "elsewhere")))


def test_a_token_of_another_realm_is_nobodys(server: Keyhole, other_realm: Realm) -> None:
    assert is_nobody(profile(server, signed_in(other_realm, "anna")))


@pytest.mark.parametrize("kind", ["id_token", "refresh_token"])
def test_a_token_for_something_else_is_nobodys(kind: str, server: Keyhole, realm: Realm) -> None:
    assert is_nobody(profile(server, realm.token("orthanc", "anna", "annas-password", kind)))


def test_a_profile_ends_with_the_token(server: Keyhole, realm: Realm) -> None:
    token = signed_in(realm, "anna", "brief")
    assert profile(server, token)["validity"] <= 2
    wait_until(lambda: is_nobody(profile(server, token)), GONE_WITHIN, "an expired token goes on to open")


def test_keys_that_the_realm_rotates_to_are_found_and_former_ones_serve_on(server: Keyhole, realm: Realm) -> None:
    before = signed_in(realm, "anna")
    assert profile(server, before)["name"] == "Anna Example"
    for priority in (1000, 2000):
        realm.rotate(priority)
        after = signed_in(realm, "anna")
        assert jws.extract_compact(after.encode()).headers() != jws.extract_compact(before.encode()).headers()
        wait_until(lambda token=after: not is_nobody(profile(server, token)), GONE_WITHIN, "a new key is not found")
        assert profile(server, before)["name"] == "Anna Example"


def test_a_user_who_is_disabled_is_nobody_within_seconds(server: Keyhole, realm: Realm) -> None:
    token = signed_in(realm, "bert")
    assert profile(server, token)["permissions"] == ["view", "download"]
    realm.change_user("bert", enabled=False)
    wait_until(lambda: is_nobody(profile(server, token)), GONE_WITHIN, "a disabled user goes on to look")
    found = ask(server, "POST", "user/get-profile", {"server-id": None, "user-id": realm.user_id("bert")})
    assert (found["name"], found["permissions"]) == ("Bert Example", [])


def test_an_api_key_is_that_of_the_user_who_has_it_as_an_attribute(server: Keyhole, realm: Realm) -> None:
    found = profile(server, API_KEY, "API-Key")
    assert (found["name"], found["permissions"]) == ("Anna Example", ["view", "download"])
    assert found["user-id"] == realm.user_id("anna")
    for wrong in (API_KEY[:-1], API_KEY + "f", "*" * 20, f"{API_KEY} enabled:true", "api-key:" + API_KEY, ""):
        assert is_nobody(profile(server, wrong, "api-key"))
    assert is_nobody(profile(server, API_KEY, "Authorization"))
    assert is_nobody(profile(server, signed_in(realm, "anna"), "api-key"))


def test_an_api_key_that_two_users_have_is_nobodys(server: Keyhole, realm: Realm) -> None:
    shared = "the-same-key-0123456789"
    for name in ("carl", "dora"):
        realm.change_user(name, attributes={"api-key": [shared]})
    assert is_nobody(profile(server, shared, "api-key"))


def test_a_user_is_found_by_id_and_nobody_is_null(server: Keyhole, realm: Realm) -> None:
    found = ask(server, "POST", "user/get-profile", {"server-id": None, "user-id": realm.user_id("anna")})
    assert (found["name"], found["permissions"]) == ("Anna Example", ["view", "download"])
    for nobody in ("00000000-0000-0000-0000-000000000000", "../roles", "?search=anna", "x" * 5000):
        assert ask(server, "POST", "user/get-profile", {"server-id": None, "user-id": nobody}) is None


def test_roles_of_the_realm_are_beside_those_in_force_and_former_ones_are_kept_and_marked(
    server: Keyhole, realm: Realm
) -> None:
    told = ask(server, "GET", "settings/roles")
    assert {name: told["roles"][name] for name in ROLES["roles"]} == ROLES["roles"]
    assert told["roles"]["secretary"] == {"permissions": [], "authorized-labels": []}
    assert told["unknown-to-provider"] == ["former"]
    ask(server, "PUT", "settings/roles", {**told, "server-id": None})
    listed = json.loads(server.run("roles", "list", "--json").stdout)
    assert listed["roles"] == ROLES["roles"]
    assert listed["unknown_to_provider"] == ["former"]
    assert listed["version"] == 1


def test_the_public_key_is_no_shared_secret(server: Keyhole, realm: Realm) -> None:
    token = signed_in(realm, "anna")
    header = jws.extract_compact(token.encode()).headers()
    listed = server_keys(realm)
    public = RSAKey.import_key(next(key for key in listed if key["kid"] == header["kid"]))
    claims = base64.urlsafe_b64decode(token.split(".")[1] + "==")
    for secret in (public.as_pem(private=False), public.as_der(private=False)):
        key = OctKey.import_key(base64.urlsafe_b64encode(secret).decode())
        forged = jws.serialize_compact({**header, "alg": "HS256"}, claims, key, algorithms=["HS256"])
        assert is_nobody(profile(server, forged))
    unsigned = base64.urlsafe_b64encode(json.dumps({**header, "alg": "none"}).encode()).decode().rstrip("=")
    for signature in ("", ".", token.rpartition(".")[2]):
        assert is_nobody(profile(server, f"{unsigned}.{token.split('.')[1]}.{signature}"))


def server_keys(realm: Realm) -> list[dict[str, Any]]:
    status, content = realm.keycloak.get(f"/realms/{realm.name}/protocol/openid-connect/certs")
    assert status == 200
    return list(content["keys"])


def test_while_keycloak_does_not_answer_its_users_are_nobody_and_afterwards_somebody_again(
    server: Keyhole, realm: Realm, identity_provider: Keycloak
) -> None:
    token = signed_in(realm, "anna")
    assert profile(server, token)["name"] == "Anna Example"
    with frozen(identity_provider):
        wait_until(lambda: is_nobody(profile(server, token)), GONE_WITHIN, "who cannot be asked about goes on")
        assert profile(server, token)["validity"] == 1
        assert is_nobody(profile(server, "another-key-0123456789", "api-key"))
        assert set(ask(server, "GET", "settings/roles")["roles"]) >= set(ROLES["roles"])
    wait_until(lambda: not is_nobody(profile(server, token)), GONE_WITHIN, "nobody comes back")
    wait_until(
        lambda: any(row["reason"] == "provider-failed" for row in server.trail()), GONE_WITHIN, "nothing on the trail"
    )


def test_without_the_admin_api_tokens_hold_while_keycloak_does_not_answer(
    server_without_admin: Keyhole, realm: Realm, identity_provider: Keycloak
) -> None:
    token = signed_in(realm, "anna")
    assert profile(server_without_admin, token)["permissions"] == ["view", "download"]
    with frozen(identity_provider):
        assert profile(server_without_admin, token)["permissions"] == ["view", "download"]
    assert is_nobody(profile(server_without_admin, API_KEY, "api-key"))
    assert ask(server_without_admin, "POST", "user/get-profile", {"user-id": realm.user_id("anna")}) is None
    assert set(ask(server_without_admin, "GET", "settings/roles")) == {"roles", "available-labels"}
