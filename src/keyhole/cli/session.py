"""What commands share: the settings, the desk, and who sits at it."""

from __future__ import annotations

import asyncio
import getpass
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import typer

from keyhole.access.secret import is_id
from keyhole.access.subject import Kind, Subject
from keyhole.errors import Refused
from keyhole.gateway.desk import Desk
from keyhole.gateway.judge import Judge
from keyhole.settings import Settings, load_settings

T = TypeVar("T")

_NOT_IN_A_NAME = re.compile(r"[\s\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Session:
    """One run of the command line. ``config`` is the TOML file that was named, if any."""

    config: Path | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def settings(self, options: Mapping[str, Any] | None = None) -> Settings:
        """The settings, with *options* of the command above all else."""
        return load_settings(self.environment, self.config, options)

    def at_desk(self, work: Callable[[Desk], Awaitable[T]]) -> T:
        """What *work* returns, done at the desk."""
        return asyncio.run(self._at_desk(work))

    async def _at_desk(self, work: Callable[[Desk], Awaitable[T]]) -> T:
        from keyhole.app import open_desk  # noqa: PLC0415 - half a second that --help need not wait for

        async with open_desk(self.settings()) as desk:
            return await work(desk)

    def before_judge(self, work: Callable[[Desk, Judge], Awaitable[T]]) -> T:
        """What *work* returns, done at the desk with whoever judges as the gateway does."""
        return asyncio.run(self._before_judge(work))

    async def _before_judge(self, work: Callable[[Desk, Judge], Awaitable[T]]) -> T:
        from keyhole.app import open_judge  # noqa: PLC0415 - the same

        async with open_judge(self.settings()) as (desk, judge):
            return await work(desk, judge)


def session(context: typer.Context) -> Session:
    """The session of a command."""
    held = context.find_root().obj
    return held if isinstance(held, Session) else Session()


def operator() -> Subject:
    """The person at the command line, who holds the database and the keys anyway."""
    try:
        name = _NOT_IN_A_NAME.sub("_", getpass.getuser())[:200]
    except (KeyError, OSError):  # a container's user may have no name
        name = ""
    principal = f"user:{name or os.getuid()}"
    return Subject(Kind.OPERATOR, principal, frozenset({principal, "role:administrator"}))


def share_id(text: str) -> str:
    """The id that *text* is. A link is refused: it is a secret, and the shell keeps what is typed."""
    if "#" in text:
        named = text.partition("#")[0].rpartition("/")[2]
        hint = (
            f"give the share's id: {named}" if is_id(named) else "give the share's id; list them with: keyhole shares"
        )
        raise Refused("links are secrets, and the shell remembers what is typed", hint)
    return text.rpartition("/s/")[2]
