"""``keyhole doctor``: look over the settings and the running installation, and say what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import SecretStr
from rich.table import Table
from rich.text import Text

from keyhole.cli import speech
from keyhole.cli.server import bars
from keyhole.cli.session import Session, session
from keyhole.cli.shares import Json
from keyhole.errors import Misconfigured, Refused
from keyhole.operations.doctor.finding import RANK, Chapter, Finding, Severity, worst
from keyhole.settings.values import headers, headers_of, server_root

if TYPE_CHECKING:
    from keyhole.operations.doctor.live import Deployment

STATUS = {Severity.OK: 0, Severity.NOTE: 0, Severity.WARNING: 1, Severity.ERROR: 2}
"""As monitoring plugins say it: 0 fine, 1 warning, 2 critical."""

_STYLES = {Severity.OK: "green", Severity.NOTE: "cyan", Severity.WARNING: "yellow", Severity.ERROR: "bold red"}


def doctor(
    context: typer.Context,
    *,
    orthanc: Annotated[
        str | None, typer.Option(metavar="URL", help="Try this Orthanc, where people with links come, with a study.")
    ] = None,
    orthanc_inside: Annotated[
        str | None, typer.Option(metavar="URL", help="Where the study comes and goes; the same without.")
    ] = None,
    orthanc_credentials: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Header lines of somebody who may upload, view, share and delete there."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors.")] = False,
    as_json: Json = False,
) -> None:
    """Look everything over, and say what to do.

    Settings, archives, database, keys, trail, viewer and a running server, if there is one; in half a minute at most.
    Nothing is changed, but what archives are able to do is kept in the data folder.

    With --orthanc, a study of its own is uploaded there, what a link to it can do is tried, and it is removed again.

    Exit status: 0 nothing worse than a note, 1 warnings, 2 errors.
    """
    deployment = _deployment(orthanc, orthanc_inside, orthanc_credentials)
    chapters = _examined(session(context), deployment)
    status = STATUS[worst(chapters)]
    if quiet:
        chapters = [Chapter(chapter.title, tuple(filter(_is_bad, chapter.findings))) for chapter in chapters]
    if as_json:
        _give_json(chapters)
    else:
        _give(chapter for chapter in chapters if chapter.findings)
        if not quiet or status:
            speech.say(_summary(chapters))
    raise typer.Exit(status)


def _deployment(url: str | None, inside: str | None, credentials: Path | None) -> Deployment | None:
    """The Orthanc to try, if one was named."""
    if url is None:
        if inside is not None or credentials is not None:
            raise Refused("which Orthanc is to be tried?", "name it with --orthanc URL")
        return None
    from keyhole.operations.doctor.live import Deployment  # noqa: PLC0415 - half a second

    if credentials is None:
        raise Refused(
            "trying Orthanc out takes somebody who may upload, view, share and delete there",
            "name a file of header lines with --orthanc-credentials, such as token: khk_…",
        )
    return Deployment(_root("--orthanc", url), _root("--orthanc-inside", inside or url), _headers(credentials))


def _root(option: str, url: str) -> str:
    try:
        return server_root(url)
    except ValueError as problem:
        raise Refused(f"{option} {problem}", f"for example {option} https://orthanc.example.org") from None


def _headers(file: Path) -> dict[str, str]:
    try:
        fields = {name: SecretStr(value) for name, value in headers_of(file.read_text(encoding="utf-8")).items()}
        return {name: value.get_secret_value() for name, value in headers(fields).items()}
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror}") from None
    except ValueError:
        raise Refused(f"{file} holds no header lines", "a line of it is such as token: khk_…") from None


def _examined(found: Session, orthanc: Deployment | None) -> list[Chapter]:
    from keyhole.operations.doctor.examine import examine, misconfigured  # noqa: PLC0415 - half a second

    try:
        settings = found.settings()
    except Misconfigured as problem:
        return misconfigured(problem, found.environment)
    with bars() as bar:
        return asyncio.run(examine(settings, found.environment, found.config, bar("looking it over"), orthanc))


def _is_bad(finding: Finding) -> bool:
    return RANK[finding.severity] > RANK[Severity.NOTE]


def _give_json(chapters: Iterable[Chapter]) -> None:
    for chapter in chapters:
        for found in chapter.findings:
            speech.give_json(
                {
                    "part": chapter.title,
                    "check": found.check,
                    "severity": found.severity.value,
                    "fact": found.fact,
                    "meaning": found.meaning or None,
                    "advice": found.advice or None,
                }
            )


def _give(chapters: Iterable[Chapter]) -> None:
    for chapter in chapters:
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(width=9, no_wrap=True)
        table.add_column(overflow="fold")
        for found in chapter.findings:
            table.add_row(Text(f"  {found.severity}", _STYLES[found.severity]), speech.plain(found.fact))
            for words in filter(None, (found.meaning, found.advice and f"→ {found.advice}")):
                table.add_row("", speech.plain(words))
        speech.give_rich(Text(chapter.title, "bold"), table)


def _summary(chapters: Iterable[Chapter]) -> str:
    counts = dict.fromkeys(Severity, 0)
    for chapter in chapters:
        for found in chapter.findings:
            counts[found.severity] += 1
    told = [speech.plural(counts[each], each.value) for each in (Severity.ERROR, Severity.WARNING) if counts[each]]
    return ", ".join(told) or "nothing is wrong"
