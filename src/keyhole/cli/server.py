"""Commands about the server itself: serve, migrate, install-viewer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from keyhole.cli import speech
from keyhole.cli.session import session
from keyhole.settings import Settings
from keyhole.settings.unknown import unknown_variables
from keyhole.web.install_viewer import VERSION, Manifest, install_viewer, progress_bar

BUILD = "keyhole.app:build"


def serve(  # noqa: PLR0913, PLR0917 - the settings that are often tried out
    context: typer.Context,
    archive: Annotated[
        str | None, typer.Option(metavar="URL|FOLDER", help="DICOMweb root, or folder of DICOM files.")
    ] = None,
    data: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Folder for database and keys.")] = None,
    public_url: Annotated[str | None, typer.Option(metavar="URL", help="What links begin with.")] = None,
    bind: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Public listener, 127.0.0.1:8000 by default.")
    ] = None,
    staff_bind: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Staff listener, 127.0.0.1:8002 by default, or off.")
    ] = None,
    internal_bind: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Internal listener, 127.0.0.1:8001 by default, or off.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate with its chain (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="The certificate's key (PEM).")] = None,
    workers: Annotated[int | None, typer.Option(metavar="N", help="Worker processes, 1 by default.")] = None,
    *,
    insecure_http: Annotated[
        bool, typer.Option("--insecure-http", help="Serve other machines without https all the same.")
    ] = False,
) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Every setting can come from the environment (KEYHOLE_…) or from the TOML file that --config names.
    """
    from keyhole.app import prepare  # noqa: PLC0415 - half a second that --help need not wait for
    from keyhole.serving.workers import serve as run  # noqa: PLC0415 - the same

    tell_of_unknown_variables(session(context).environment)  # first: the reason, often, why something is not set
    settings = session(context).settings(
        {
            "archive": archive,
            "data": data,
            "public_url": public_url,
            "bind": bind,
            "staff_bind": staff_bind,
            "internal_bind": internal_bind,
            "tls_cert": tls_cert,
            "tls_key": tls_key,
            "workers": workers,
            "insecure_http": insecure_http or None,
        }
    )
    prepare(settings)
    tell_of_missing_keys(settings)
    tell_of_missing_viewer(settings)
    index(settings)
    tell_of_archives(settings)
    raise typer.Exit(run(BUILD, settings))


def tell_of_unknown_variables(environment: Iterable[str]) -> None:
    """Say which variables look like settings and set nothing."""
    for name, near in unknown_variables(environment).items():
        speech.say(f"{name} is no setting" + (f": did you mean {near}?" if near else ""))


def tell_of_missing_keys(settings: Settings) -> None:
    """Say it when links that were given out cannot be opened here: a node's ring may be another one's copy, or lost."""
    from keyhole.operations.ring import lacking  # noqa: PLC0415 - the same

    links = asyncio.run(lacking(settings))
    if links:
        speech.say(
            f"{speech.plural(links, 'live link')} cannot be opened here: their key is not in {settings.data}/keys.json",
            hint="copy keys.json from the node that made them, or make new links for their shares",
        )


def tell_of_missing_viewer(settings: Settings) -> None:
    """Say it when recipients would find no viewer; the links, the API and DICOMweb work without."""
    if settings.bind is not None and Manifest.read(settings.viewer) is None:
        speech.say(f"the viewer is not in {settings.viewer}", hint="bring it with: keyhole install-viewer")


def tell_of_archives(settings: Settings) -> None:
    """Say what folders hold, and which archives do not answer: they are asked again with every request."""
    from keyhole.operations.doctor.archives import held, silent  # noqa: PLC0415 - the same

    for folder in asyncio.run(held(settings)):
        studies = speech.plural(folder.studies or 0, "study", "studies")
        speech.say(f"archive {folder.name} holds {studies}")
    for name, why in asyncio.run(silent(settings)).items():
        speech.say(
            f"archive {name} does not answer ({why}): no image is shown until it does",
            hint="is it running, and is its DICOMweb root set rightly? See keyhole doctor",
        )


def index(settings: Settings) -> None:
    """Index the folders among the archives, with a progress bar for each that takes long."""
    from keyhole.app import index_folders  # noqa: PLC0415 - the same

    with bars() as bar:
        asyncio.run(index_folders(settings, lambda name: bar(f"indexing {name}")))


@contextmanager
def bars() -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    """Progress bars by title, on standard error, gone when they are done."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:

        def bar(title: str) -> Callable[[int, int], None]:
            task = progress.add_task(title, total=None)
            return lambda done, total: progress.update(task, completed=done, total=total)

        yield bar


def migrate(context: typer.Context) -> None:
    """Bring the database up to date.

    It is made if it is not there. `keyhole serve` does the same when it starts.
    """
    from keyhole.app import database_url, prepare  # noqa: PLC0415 - the same
    from keyhole.store.migrations import Schema, check_schema  # noqa: PLC0415 - the same

    settings = session(context).settings()
    before = check_schema(database_url(settings))
    prepare(settings)
    speech.say("the database was up to date" if before is Schema.CURRENT else "the database is up to date now")


def install_the_viewer(
    context: typer.Context,
    folder: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="Where, instead of the configured place.")
    ] = None,
) -> None:
    """Bring the viewer from npm.

    OHIF is compared with its pinned digest, unpacked and compressed for serving.
    """
    target = folder or session(context).settings().viewer
    have_viewer(target)
    speech.say(f"OHIF {VERSION} is in {target}")


def have_viewer(folder: Path) -> None:
    """The viewer in *folder*, with a progress bar if it takes long."""
    with progress_bar(Console(stderr=True)) as progress:
        install_viewer(folder.expanduser(), progress)
