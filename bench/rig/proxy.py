"""nginx, as a proxy with its defaults and as an archive that serves files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.process import Process, free_port, listens

_NGINX = "/usr/sbin/nginx"
_CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000;
  sendfile on;
  {http}
  server {{
    listen 127.0.0.1:{port};
    {server}
  }}
}}
"""

_PROXY = """
    location / {
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host:$server_port;
      proxy_pass http://archive;
    }
"""


@dataclass(frozen=True, slots=True)
class Nginx:
    """A running nginx of one worker."""

    port: int
    process: Process


@contextmanager
def nginx(folder: Path, name: str, server: str, http: str = "") -> Iterator[Nginx]:
    """Run nginx with *server* in its one server block; its files lie in *folder*."""
    port = free_port()
    home = folder / name
    home.mkdir()
    home.chmod(0o755)
    text = _CONFIGURATION.format(folder=home, port=port, server=server, http=http)
    (home / "nginx.conf").write_text(text)
    command = [_NGINX, "-e", "stderr", "-p", str(home), "-c", str(home / "nginx.conf")]
    process = Process(command, home / "nginx.log", lambda: listens(port))
    with process:
        yield Nginx(port, process)


@contextmanager
def nginx_before(folder: Path, port: int) -> Iterator[Nginx]:
    """nginx with ``proxy_pass`` to *port* and its default buffers; like Keyhole, it keeps its connections."""
    upstream = f"upstream archive {{ server 127.0.0.1:{port}; keepalive 64; }}"
    with nginx(folder, "proxy", _PROXY, upstream) as running:
        yield running
