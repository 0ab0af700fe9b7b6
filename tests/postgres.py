"""A private PostgreSQL cluster for tests, from Debian's packages. A machine without it fails, and does not skip.

Import the fixtures where they are needed: ``from tests.postgres import postgres, postgresql_url``.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "64MB",
    "max_connections": "100",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "autovacuum": "off",
    "jit": "off",
    "log_min_messages": "fatal",
}
"""fsync stays on: what is tested is durability."""


def programs() -> Path:
    """Where Debian puts initdb and postgres; the newest version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if not found:
        pytest.fail("PostgreSQL is missing: apt-get install postgresql")
    return found[-1].parent


def _identity() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: whoever is root runs it as the package's user."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "env": {"PATH": os.environ["PATH"]}}


class Cluster:
    """One server with its own data, on the loopback."""

    def __init__(self) -> None:
        """Make an empty cluster; it is not started."""
        self._programs = programs()
        self._identity = _identity()
        self._folder = Path(tempfile.mkdtemp(prefix="keyhole-postgres-"))
        if self._identity:
            os.chown(self._folder, self._identity["user"], self._identity["group"])
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self._initialise()

    def _initialise(self) -> None:
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        subprocess.run(
            [self._programs / "initdb", "-D", self._folder / "data", *options],
            check=True,
            capture_output=True,
            cwd="/",
            **self._identity,
        )

    def start(self) -> None:
        """Start on a free port, the same one as before when there was one."""
        for _ in range(20):
            port = self.port or 20000 + secrets.randbelow(12000)
            if self._started(port):
                self.port = port
                return
        pytest.fail("PostgreSQL does not start: " + self._log().read_text(errors="replace")[-2000:])

    def _started(self, port: int) -> bool:
        settings = {**_SETTINGS, "port": str(port), "unix_socket_directories": str(self._folder)}
        with self._log().open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._programs / "postgres",
                    "-D",
                    self._folder / "data",
                    *(f"--{name}={value}" for name, value in settings.items()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                **self._identity,
            )
        until = time.monotonic() + 30
        while self._process.poll() is None and time.monotonic() < until:
            try:
                psycopg.connect(self.url("postgres", "postgres", port), connect_timeout=2).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return True
        self.stop()
        return False

    def _log(self) -> Path:
        return self._folder.with_suffix(".log")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop: SIGINT ends every session, SIGQUIT is a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def remove(self) -> None:
        """Stop, and leave nothing behind."""
        self.stop()
        shutil.rmtree(self._folder)
        self._log().unlink(missing_ok=True)

    def url(self, database: str, user: str = "keyhole", port: int | None = None) -> str:
        """The address of *database* for *user*."""
        return f"postgresql://{user}@127.0.0.1:{port or self.port}/{database}"

    def run(self, statement: str, database: str = "postgres") -> None:
        """Run *statement* as the superuser."""
        with psycopg.connect(self.url(database, "postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A running cluster, for the whole session, with a role ``keyhole`` that is no superuser."""
    cluster = Cluster()
    cluster.start()
    try:
        cluster.run("CREATE ROLE keyhole LOGIN")
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture
def postgresql_url(postgres: Cluster) -> Iterator[str]:
    """The address of a fresh, empty database."""
    name = f"keyhole_{secrets.token_hex(6)}"
    postgres.run(f"CREATE DATABASE {name} OWNER keyhole")
    yield postgres.url(name)
    postgres.run(f"DROP DATABASE {name} WITH (FORCE)")
