"""What a serving process does beside answering."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from keyhole.gateway import fault

_PAUSE = 0.5
"""Seconds before something in the background is begun anew."""

Work = Callable[[], Coroutine[Any, Any, None]]
"""Begins something that never ends."""


@asynccontextmanager
async def in_background(*work: Work) -> AsyncIterator[None]:
    """Do all *work* meanwhile, whatever befalls one piece of it."""
    tasks = [asyncio.ensure_future(_for_ever(each)) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _for_ever(work: Work) -> None:
    """Do *work*, and begin anew should it end: without it nothing is withdrawn, counted or confirmed."""
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - the last one who could notice
            fault.note(error, "working in the background")
        await asyncio.sleep(_PAUSE)
