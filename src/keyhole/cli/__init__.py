"""The command line: data on standard output, words on standard error, and every error says what to do.

Exit status: 0 done; 1 something is broken (the database, an archive); 2 it was used wrongly, or cannot be done.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from typer import Abort
from typer.exceptions import TyperException

from keyhole.cli.commands import app
from keyhole.cli.speech import say
from keyhole.errors import ArchiveFailed, KeyholeError, Misconfigured, Refused, StoreFailed

BROKEN, WRONG, INTERRUPTED = 1, 2, 130


def main() -> NoReturn:
    """Run the command that the process was started with."""
    status = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output, such as head, has had enough; what is left goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status."""
    try:
        return app(args=list(arguments), prog_name="keyhole", standalone_mode=False) or 0
    except TyperException as error:
        return _misused(error)
    except KeyholeError as error:
        return _failed(error)
    except (Abort, KeyboardInterrupt):
        return INTERRUPTED


def _misused(error: TyperException) -> int:
    """What the parser found wrong, in our form; *error* knows which command it was about."""
    words = error.format_message().rstrip(".")
    where = getattr(getattr(error, "ctx", None), "command_path", "keyhole")
    say(words[:1].lower() + words[1:], hint=f"see {where} --help")
    return WRONG


def _failed(error: KeyholeError) -> int:
    match error:
        case Refused():
            say(error.problem, hint=error.hint)
            return WRONG
        case Misconfigured():
            for problem in error.problems:
                say(problem)
            return WRONG
        case StoreFailed():
            say(str(error), hint="is it running, and may this user write it and its folder? See KEYHOLE_DATA")
        case ArchiveFailed():
            say(str(error), hint="is it running, and is KEYHOLE_ARCHIVE its DICOMweb root?")
        case _:
            say(str(error))
    return BROKEN
