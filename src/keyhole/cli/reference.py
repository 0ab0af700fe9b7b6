"""The reference page of commands, printed from the commands. A test keeps ``docs/reference/cli.md`` equal to it."""

from __future__ import annotations

from collections.abc import Iterator

import typer
from typer.core import TyperGroup

from keyhole.cli.commands import app

_WIDTH = 80
_HEAD = """# Command line

Printed from the commands themselves. Data goes to standard output, words to standard error. What each command says in
every case is in `tests/transcripts`, which the tests play.

Settings come from options, the environment (`KEYHOLE_…`) and a TOML file (`--config` or `KEYHOLE_CONFIG`), in this
order: see [settings](settings.md). Times are in UTC.

| exit status | means |
|---|---|
| 0 | done |
| 1 | something is broken: the database, an archive, or a trail that does not verify |
| 2 | used wrongly, or it cannot be done; the hint says what can |
| 130 | ended by Ctrl-C |

Links and keys are secrets and are never arguments: `keyhole why --link -` reads a link from standard input, everything
else takes the id of a share or key.
"""


def page() -> str:
    """The whole page, as Markdown."""
    root = typer.main.get_command(app)
    return "\n".join((_HEAD, *_sections(root, typer.Context(root, info_name="keyhole", terminal_width=_WIDTH))))


def _sections(command: object, context: typer.Context) -> Iterator[str]:
    yield f"## {context.command_path}"
    yield ""
    yield "```text"
    yield context.get_help()
    yield "```"
    yield ""
    if isinstance(command, TyperGroup):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                yield from _sections(below, typer.Context(below, parent=context, info_name=name, terminal_width=_WIDTH))
