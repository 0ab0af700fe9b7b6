"""``keyhole`` as anybody starts it, but for its queue of mail, which is in a hurry.

Nobody can set how fast it is: for a mail a minute is not long, and a test has no minute.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from keyhole import app
from keyhole.cli import main, server
from keyhole.gateway.post.queue import PACE
from keyhole.serving.listeners import Apps
from keyhole.settings import Settings

HASTY = replace(
    PACE, look=0.1, backoff=(timedelta(milliseconds=500),), claim=timedelta(seconds=5), patience=1.5, farewell=1.0
)

_START = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r}); import {__name__} as h; h.start()"
COMMAND = (sys.executable, "-c", _START)
"""Stands for ``keyhole``."""


def build(settings: Settings) -> Apps:
    """The applications of one process, as :func:`keyhole.app.build` makes them."""
    return app.build(settings, HASTY)


def start() -> None:
    """The command line."""
    server.BUILD = f"{__name__}:build"
    main()
