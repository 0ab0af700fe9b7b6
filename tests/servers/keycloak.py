"""A real Keycloak in memory, with realms that tests make."""

from __future__ import annotations

import http.client
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.servers.process import Process, free_port

CACHE = Path(os.environ.get("KEYHOLE_TEST_CACHE") or Path.home() / ".cache/keyhole")
HOME = CACHE / "keycloak-26.3.5"
"""Where scripts/install-test-servers.sh puts it, built for a database in memory."""

_ADMIN = "root"


@dataclass(frozen=True, slots=True)
class Realm:
    """A realm of a running Keycloak."""

    keycloak: Keycloak
    name: str

    @property
    def issuer(self) -> str:
        """What its tokens say of who made them."""
        return f"{self.keycloak.root}/realms/{self.name}"

    @property
    def admin(self) -> str:
        """The root of its admin API."""
        return f"{self.keycloak.root}/admin/realms/{self.name}"

    def ask(self, method: str, path: str, content: object = None) -> Any:
        """One request to the admin API as the administrator of everything."""
        return self.keycloak.ask(method, f"/admin/realms/{self.name}{path}", content)

    def token(self, client: str, user: str, password: str, which: str = "access_token") -> str:
        """What signing in gives (RFC 6749 section 4.3)."""
        form = {
            "grant_type": "password",
            "client_id": client,
            "username": user,
            "password": password,
            "scope": "openid",
        }
        status, given = self.keycloak.post_form(f"/realms/{self.name}/protocol/openid-connect/token", form)
        assert status == 200, f"Keycloak did not let {user} in: {given}"
        return str(given[which])

    def user_id(self, name: str) -> str:
        """The id of a user."""
        return str(self.ask("GET", f"/users?{urlencode({'username': name, 'exact': 'true'})}")[0]["id"])

    def change_user(self, name: str, **changes: object) -> None:
        """Change members of a user's representation."""
        found = self.ask("GET", f"/users/{self.user_id(name)}")
        self.ask("PUT", f"/users/{found['id']}", found | changes)

    def rotate(self, priority: int) -> None:
        """Sign with another key from now on, if its *priority* is the highest; the former ones go on to verify."""
        config = {"priority": [str(priority)], "keySize": ["2048"], "algorithm": ["RS256"]}
        kind = {"providerId": "rsa-generated", "providerType": "org.keycloak.keys.KeyProvider"}
        self.ask("POST", "/components", {"name": f"key-{priority}", "config": config, **kind})


@dataclass(slots=True)
class Keycloak:
    """A running Keycloak."""

    port: int
    password: str = field(repr=False)
    process: Process | None = field(default=None, repr=False)

    @property
    def root(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def add_realm(self, representation: Mapping[str, Any]) -> Realm:
        """Import a realm from its JSON."""
        self.ask("POST", "/admin/realms", representation)
        return Realm(self, representation["realm"])

    def ask(self, method: str, path: str, content: object = None) -> Any:
        """One request of the administrator's."""
        form = {"grant_type": "password", "client_id": "admin-cli", "username": _ADMIN, "password": self.password}
        _, given = self.post_form("/realms/master/protocol/openid-connect/token", form)
        headers = {"Authorization": f"Bearer {given['access_token']}", "Content-Type": "application/json"}
        body = None if content is None else json.dumps(content).encode()
        status, answer = self._send(method, path, body, headers)
        assert status // 100 == 2, f"Keycloak answered {status} to {method} {path}: {answer!r}"
        return json.loads(answer) if answer else None

    def post_form(self, path: str, form: Mapping[str, str]) -> tuple[int, Any]:
        """Status and JSON."""
        typed = {"Content-Type": "application/x-www-form-urlencoded"}
        status, answer = self._send("POST", path, urlencode(form).encode(), typed)
        return status, json.loads(answer)

    def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON, of what everybody may see."""
        status, answer = self._send("GET", path, None, {})
        return status, json.loads(answer)

    def _send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def answers(self) -> bool:
        """Whether it is up."""
        try:
            return self._send("GET", "/realms/master", None, {})[0] == 200
        except OSError:
            return False


@contextmanager
def keycloak(folder: Path) -> Iterator[Keycloak]:
    """Run Keycloak with nothing in it but its own realm; its log lies in *folder*."""
    assert (HOME / "bin" / "kc.sh").is_file(), "make servers brings Keycloak"
    port, management, password = free_port(), free_port(), secrets.token_hex(16)
    running = Keycloak(port, password)
    command = [
        str(HOME / "bin" / "kc.sh"),
        "start",
        "--optimized",
        "--cache=local",
        "--http-enabled=true",
        "--hostname-strict=false",
        "--http-host=127.0.0.1",
        f"--http-port={port}",
        f"--http-management-port={management}",
    ]
    environment = {
        "KC_BOOTSTRAP_ADMIN_USERNAME": _ADMIN,
        "KC_BOOTSTRAP_ADMIN_PASSWORD": password,
        "JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx512m",
    }
    process = Process(command, folder / "keycloak.log", running.answers, environment, starts_within=240)
    running.process = process
    with process:
        yield running
