"""``keyhole demo``: everything at once, with an archive of samples, and links to try."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from keyhole.access.share import Share
from keyhole.cli import speech
from keyhole.cli.server import BUILD, bars, have_viewer, index
from keyhole.cli.session import Session, operator
from keyhole.errors import Misconfigured, Refused
from keyhole.gateway.desk import Desk, ShareOrder
from keyhole.settings import Settings
from keyhole.web.shapes import FoundStudy, StudySearch
from keyhole.web.share_shapes import state
from keyhole.web.studies import plain, query

_ENDS_AFTER = timedelta(days=7)
_ONE, _TWO = "demo: one study", "demo: two studies"


@dataclass(frozen=True, slots=True)
class Shown:
    """A share of the demonstration, its link, and what it opens."""

    share: Share
    link: str
    studies: tuple[FoundStudy, ...]


def demo(
    data: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where to keep everything; ~/.local/share/keyhole-demo by default."),
    ] = None,
    bind: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where recipients open links.")] = "127.0.0.1:8000",
    staff_bind: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where staff's programs ask.")
    ] = "localhost:8002",
) -> None:
    """Try Keyhole with sample studies.

    Brings the viewer, writes the studies, serves them, and prints links that open them.
    """
    from keyhole.app import prepare  # noqa: PLC0415 - what --help need not wait for
    from keyhole.serving.workers import serve  # noqa: PLC0415 - the same

    folder = (data or _default_folder()).expanduser().absolute()
    config = _configured(folder, bind, staff_bind)
    session = Session(config, environment={})  # what is set for a real Keyhole is not for the demonstration
    settings = session.settings()
    _check_free(settings)
    have_viewer(settings.viewer)
    _have_samples(folder / "archive")
    prepare(settings)
    index(settings)
    shown = session.at_desk(_links)
    raise typer.Exit(serve(BUILD, settings, lambda _: _welcome(shown, config, settings)))


def _default_folder() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share") / "keyhole-demo"


def _configured(folder: Path, bind: str, staff_bind: str) -> Path:
    """The TOML file of the demonstration: the commands to try next read it as well."""
    for part in (folder / "archive", folder / "data"):
        part.mkdir(mode=0o700, parents=True, exist_ok=True)
    wanted = {
        "archive": str(folder / "archive"),
        "data": str(folder / "data"),
        "public_url": f"http://{bind}",
        "bind": bind,
        "staff_bind": staff_bind,
        "internal_bind": "off",
        "required_conditions": "none",  # a click is enough to try it
    }
    if os.environ.get("KEYHOLE_VIEWER"):
        wanted["viewer"] = os.environ["KEYHOLE_VIEWER"]
    config = folder / "keyhole.toml"
    # A JSON string is a TOML basic string (TOML 1.0, String).
    config.touch(mode=0o600)
    config.chmod(0o600)  # of a demonstration before as well
    config.write_text("".join(f"{name} = {json.dumps(text)}\n" for name, text in wanted.items()), encoding="utf-8")
    return config


def _check_free(settings: Settings) -> None:
    """Say before anything is brought or written that an address is taken."""
    from keyhole.serving.listeners import bind  # noqa: PLC0415 - what --help need not wait for

    try:
        sockets = bind(settings)
    except Misconfigured as error:
        raise Refused(
            "\nkeyhole: ".join(error.problems),
            f"choose others: {_command()} demo --bind 127.0.0.1:9000 --staff-bind localhost:9002",
        ) from None
    for listener in sockets.values():
        listener.close()


def _have_samples(folder: Path) -> None:
    """The sample archive in *folder*; quick when it is there already."""
    from keyhole.archive.sample import write_sample  # noqa: PLC0415 - what --help need not wait for

    with bars() as bar:
        write_sample(folder, bar("writing sample studies"))


async def _links(desk: Desk) -> tuple[Shown, ...]:
    """A link to the study with the most images, and one to a patient's two studies; those of the last start if open."""
    archive = desk.archives[0]
    found = [plain(item) for item in await desk.find_studies(operator(), archive, query(StudySearch()))]
    largest = max(found, key=lambda study: study.images or 0)
    return (await _link(desk, _ONE, (largest,)), await _link(desk, _TWO, _siblings(found)))


def _siblings(found: Sequence[FoundStudy]) -> tuple[FoundStudy, ...]:
    """Two studies of one patient, the newer first."""
    newest = sorted(found, key=lambda study: str(study.date), reverse=True)
    for study in newest:
        prior = next((other for other in newest if other is not study and other.patient_id == study.patient_id), None)
        if prior is not None:
            return (study, prior)
    return tuple(newest[:2])


async def _link(desk: Desk, note: str, studies: tuple[FoundStudy, ...]) -> Shown:
    wanted = {study.study for study in studies}
    for share in await desk.shares(operator(), study=studies[0].study):
        same = share.note == note and {resource.path[0] for resource in share.resources} == wanted
        if same and state(share, desk.now()) == "open":
            return Shown(share, await desk.show_link(operator(), share.id), studies)
    order = ShareOrder(
        archive=desk.archives[0],
        resources=tuple((study.study,) for study in studies),
        expires_at=desk.now() + _ENDS_AFTER,
        note=note,
    )
    share = await desk.create_share(operator(), order)
    return Shown(share, desk.link(share), studies)


def _welcome(shown: Sequence[Shown], config: Path, settings: Settings) -> None:
    """What to open, and what to try next. Links stand on lines of their own, so that a click takes all of them."""
    one, two = shown
    console = Console(highlight=False, emoji=False, soft_wrap=True)
    console.print("\n[bold]Keyhole is running.[/] Ctrl-C ends it.\n")
    for title, each in (("A link to one study", one), ("A link to two studies of one patient", two)):
        console.print(f"[bold]{title}[/]")
        for study in each.studies:
            console.print(f"  {_described(study)}", style="dim", markup=False)
        console.print(f"  {each.link}\n", style="cyan", markup=False)
    console.print("[bold]Try next, in another terminal[/]")
    console.print(f"  export KEYHOLE_CONFIG={shlex.quote(str(config))}\n", markup=False)
    for purpose, arguments in _next(one, two, settings):
        console.print(f"  [dim]# {purpose}[/]")
        console.print(f"  {_command()} {arguments}", markup=False)
    console.print()


def _next(one: Shown, two: Shown, settings: Settings) -> tuple[tuple[str, str], ...]:
    study = one.studies[0].study
    return (
        ("what is shared", "shares"),
        ("one share, and what happened with it", f"show {one.share.id}"),
        ("who saw what, from where, and how much of it", "trail"),
        ("withdraw the share: a viewer that shows it says so within seconds", f"revoke {one.share.id}"),
        ("may they see it, and why", f"why GET /dicom-web/studies/{study}/metadata --as share:{two.share.id}"),
        ("a link that can be opened once, with a passcode", f"share {study} --for 7d --visits 1 --passcode generate"),
        (f"a key for a program that asks {settings.staff_url}/api/v1/", "key create worklist --role sharer"),
    )


def _described(study: FoundStudy) -> str:
    images = speech.plural(study.images or 0, "image")
    return ", ".join(filter(None, (study.description, " ".join(study.modalities), str(study.date or ""), images)))


def _command() -> str:
    """How this program can be called again: by its name if the shell finds that, else as it was called."""
    called = Path(sys.argv[0]).absolute()
    if shutil.which("keyhole"):
        return "keyhole"
    return shlex.quote(str(called.relative_to(Path.cwd()) if called.is_relative_to(Path.cwd()) else called))
