"""The viewer, brought once into its cache: ``python -m tests.servers.viewer``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rich.console import Console

from keyhole.web.install_viewer import Manifest, install_viewer, progress_bar

FOLDER = Path(os.environ.get("KEYHOLE_VIEWER", "~/.cache/keyhole/ohif-3.13.2")).expanduser()


def installed() -> bool:
    """Whether the viewer that this version serves is in its folder."""
    manifest = Manifest.read(FOLDER)
    return manifest is not None and manifest.current


if __name__ == "__main__" and not installed():
    with progress_bar(Console(file=sys.stderr)) as progress:
        install_viewer(FOLDER, progress)
