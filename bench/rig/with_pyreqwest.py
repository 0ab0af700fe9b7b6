"""``keyhole`` as it is, but for the HTTP client: pyreqwest asks the archive. One worker only."""

from __future__ import annotations

from keyhole import cli
from keyhole.wiring import archives
from tests.gateway.pyreqwest_archive import PyreqwestArchive

if __name__ == "__main__":
    archives.HttpArchive = PyreqwestArchive  # type: ignore[misc]
    cli.main()
