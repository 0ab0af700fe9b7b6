"""A real nginx with the configuration of ``deploy/``, on the loopback."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.servers.process import Process, free_port, listens

PROGRAM = "/usr/sbin/nginx"


@contextmanager
def nginx(folder: Path, configuration: Path, port: int, instead: Mapping[str, str]) -> Iterator[str]:
    """Run *configuration* with *instead* put in: its URL. *port* is what it listens on, and gives way to a free one."""
    here = free_port()
    text = configuration.read_text(encoding="utf-8")
    changes = {f"listen {port};": f"listen 127.0.0.1:{here};", "/tmp/": f"{folder}/", **instead}
    for old, new in changes.items():
        assert old in text, f"{configuration.name} does not say {old!r}"
        text = text.replace(old, new)
    (folder / "nginx.conf").write_text(f"daemon off;\n{text}", encoding="utf-8")
    command = [PROGRAM, "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
    with Process(command, folder / "nginx.log", lambda: listens(here)):
        yield f"http://127.0.0.1:{here}"
