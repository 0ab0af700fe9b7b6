"""``keyhole`` as it is, but for the HTTP client: pyreqwest asks the archive. One worker only."""

from __future__ import annotations

from keyhole import app, cli
from tests.gateway.pyreqwest_archive import PyreqwestArchive

if __name__ == "__main__":
    app.HttpArchive = PyreqwestArchive  # type: ignore[misc]
    cli.main()
