"""A real PgBouncer between Keyhole and its database."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers.process import Process, free_port, listens

PROGRAM = "/usr/sbin/pgbouncer"


@contextmanager
def pgbouncer(url: str, mode: str) -> Iterator[str]:
    """Pool the database at *url* in pool_mode *mode*; the address to use instead."""
    target, port = urlsplit(url), free_port()
    with tempfile.TemporaryDirectory(prefix="keyhole-pgbouncer-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # it refuses to run as root, and whoever it runs as reads this
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = host={target.hostname} port={target.port} user={target.username}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = any\npool_mode = {mode}\n"
        )
        command = [PROGRAM, str(folder / "pgbouncer.ini")]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command]
        with Process(command, folder / "pgbouncer.log", lambda: listens(port)):
            yield target._replace(netloc=f"{target.username}@127.0.0.1:{port}").geturl()
