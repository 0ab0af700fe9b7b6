"""A real Keyhole: ``keyhole serve`` as anybody starts it, on free ports, with data of its own."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.dataset import PATIENTS
from tests.servers.process import Process, free_port
from tests.servers.viewer import FOLDER as VIEWER

COMMAND = Path(sys.executable).parent / "keyhole"
COOKIE = "keyhole_visit"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, whole. Header names are lower-case; repeated headers are joined with a comma."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Opened:
    """A visit, as a program that opened the link holds it."""

    id: str
    url: str
    bearer: str = field(repr=False)
    cookie: str = field(repr=False)

    @property
    def below(self) -> str:
        """The path that everything of the visit lies below."""
        return f"/v/{self.id}/"

    @property
    def as_bearer(self) -> dict[str, str]:
        """The header that a program shows."""
        return {"Authorization": f"Bearer {self.bearer}"}

    @property
    def as_cookie(self) -> dict[str, str]:
        """The header that a browser shows."""
        return {"Cookie": f"{COOKIE}={self.cookie}"}


@dataclass
class Keyhole:
    """A running Keyhole, and the command line beside it."""

    environment: Mapping[str, str]
    port: int
    staff_port: int
    internal_port: int
    data: Path
    process: Process
    secrets: set[str] = field(default_factory=set)
    """Whatever must be in no log and no database: every link and credential that was given out."""

    @property
    def public_url(self) -> str:
        """Where recipients reach it."""
        return self.environment["KEYHOLE_PUBLIC_URL"]

    # -- the command line

    def run(self, *words: str, given: str | None = None, fails: bool = False) -> subprocess.CompletedProcess[str]:
        """Run ``keyhole`` with *words*; unless *fails*, it must not."""
        done = subprocess.run(
            [COMMAND, *words],
            input=given or "",
            capture_output=True,
            text=True,
            env={**os.environ, **self.environment},
            timeout=120,
            check=False,
        )
        assert (done.returncode != 0) is fails, f"keyhole {words[0]} ended with {done.returncode}: {done.stderr}"
        return done

    def share(
        self,
        *studies: str,
        days: int = 7,
        visits: int | None = None,
        series: str | None = None,
        download: bool = False,
        pictures: bool = False,
    ) -> str:
        """Share *studies*, or one *series* of one study; the link."""
        words = ["share", *studies, "--for", f"{days}d"]
        words += ["--visits", str(visits), "--force"] if visits else []
        words += ["--series", series] if series else []
        words += ["--download"] if download else []
        words += ["--pictures"] if pictures else []
        link = self.run(*words).stdout.strip()
        assert re.fullmatch(rf"{re.escape(self.public_url)}/s/[a-z2-7]{{16}}#[a-z2-7]{{35}}", link), link
        self.secrets.add(link.partition("#")[2])
        return link

    def revoke(self, link: str) -> None:
        """Withdraw the share of *link*."""
        self.run("revoke", share_id(link))

    def trail(self, *words: str) -> list[dict[str, Any]]:
        """The trail's rows."""
        return [json.loads(line) for line in self.run("trail", "--json", *words).stdout.splitlines()]

    def verify_trail(self) -> None:
        """Fail unless the chain is whole."""
        self.run("trail", "--verify")

    def key(self, name: str, *roles: str) -> str:
        """A new API key."""
        words = ["key", "create", name, *(word for role in roles for word in ("--role", role))]
        value = self.run(*words).stdout.strip().split()[-1]
        self.secrets.add(value)
        return value

    # -- HTTP

    def ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        port: int | None = None,
    ) -> Answer:
        """One request to the public listener, its target sent as it is."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=60)
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            named = {name.lower(): answer.headers.get_all(name, []) for name in answer.headers}
            return Answer(answer.status, {name: ", ".join(values) for name, values in named.items()}, answer.read())
        finally:
            connection.close()

    def get(self, target: str, headers: Mapping[str, str] | None = None) -> Answer:
        """GET *target*."""
        return self.ask("GET", target, headers)

    def post_json(self, target: str, content: Mapping[str, Any]) -> Answer:
        """POST *content* as JSON, the way a program does."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        return self.ask("POST", target, headers, json.dumps(content).encode())

    def try_open(self, link: str) -> Answer:
        """Begin a visit of *link*, or be refused."""
        return self.post_json(f"/s/{share_id(link)}/visits", {"secret": link.partition("#")[2]})

    def open(self, link: str) -> Opened:
        """Begin a visit of *link*."""
        answer = self.try_open(link)
        assert answer.status == 201, f"the link opened nothing: {answer.status} {answer.body[:300]!r}"
        given = answer.json()
        cookie = re.search(rf"{COOKIE}=([^;]+)", answer.headers["set-cookie"])
        assert cookie is not None
        opened = Opened(given["visit"], given["url"], given["bearer"], cookie[1])
        self.secrets |= {opened.cookie, opened.bearer, opened.bearer.rpartition("_")[2]}
        return opened

    def raw(self, request: bytes, seconds: float = 10) -> bytes:
        """Send bytes and return what comes back until the connection closes or *seconds* have passed."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            connection.sendall(request)
            received = b""
            try:
                while chunk := connection.recv(65536):
                    received += chunk
            except (TimeoutError, ConnectionResetError):
                pass
            return received

    # -- what must not be said

    def leaks(self) -> list[str]:
        """Which secrets and personal values the log or the database holds; nothing is the only good answer."""
        ring = json.loads((self.data / "keys.json").read_text()) if (self.data / "keys.json").exists() else {}
        secrets = {*self.secrets, *ring.get("keys", {}).values()}
        personal = {word for patient in PATIENTS for word in (patient.id, *patient.name.split("^"))}
        said = self.process.said()
        found = [f"the log holds {value[:6]}…" for value in secrets | personal if value in said]
        kept = b"".join(path.read_bytes() for path in self.data.glob("keyhole.db*"))
        return found + [f"the database holds {value[:6]}…" for value in secrets if value.encode() in kept]


def share_id(link: str) -> str:
    """The id of a link's share."""
    return link.partition("#")[0].rpartition("/")[2]


def at_rest(
    folder: Path,
    archive: Mapping[str, str],
    *,
    workers: int = 1,
    database: str | None = None,
    options: Sequence[str] = (),
    **more: str,
) -> Keyhole:
    """A Keyhole before *archive* (its settings) that was never started, with an empty data folder in *folder*."""
    port, staff_port, internal_port = free_port(), free_port(), free_port()
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    environment = {
        "KEYHOLE_DATA": str(data),
        "KEYHOLE_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "KEYHOLE_BIND": f"127.0.0.1:{port}",
        "KEYHOLE_STAFF_BIND": f"127.0.0.1:{staff_port}",
        "KEYHOLE_INTERNAL_BIND": f"127.0.0.1:{internal_port}",
        "KEYHOLE_VIEWER": str(VIEWER),
        "KEYHOLE_WORKERS": str(workers),
        "KEYHOLE_REQUIRED_CONDITIONS": "none",
        "KEYHOLE_PLUGIN_CONDITIONS": "none",
        **({"KEYHOLE_DATABASE": database} if database else {}),
        **archive,
        **more,
    }

    def ready() -> bool:
        try:
            return server.ask("GET", "/readyz", port=internal_port).status == 200
        except OSError:
            return False

    process = Process([str(COMMAND), "serve", *options], folder / "keyhole.log", ready, environment)
    server = Keyhole(environment, port, staff_port, internal_port, data, process)
    return server


@contextmanager
def keyhole(
    folder: Path,
    archive: Mapping[str, str],
    *,
    workers: int = 1,
    database: str | None = None,
    options: Sequence[str] = (),
    **more: str,
) -> Iterator[Keyhole]:
    """Serve *archive* (its settings) with data in *folder*; look for leaks when it is over."""
    server = at_rest(folder, archive, workers=workers, database=database, options=options, **more)
    with server.process:
        yield server
    assert not server.leaks()
