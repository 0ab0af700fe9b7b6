"""The commands, in the order that ``keyhole --help`` lists them."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from keyhole.cli import (
    backup,
    demo,
    doctor,
    import_auth_service,
    keys,
    letters,
    mails,
    renew,
    ring,
    roles,
    server,
    share,
    shares,
    show,
    speech,
    studies,
    trail,
    who_can,
    why,
)
from keyhole.cli.session import Session

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def keyhole(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML file of settings; KEYHOLE_CONFIG names it as well.")
    ] = None,
    *,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Let someone see one study, and nothing else."""
    context.obj = Session(config)
    if show_version:
        speech.give(f"keyhole {version('keyhole')}")
    elif context.invoked_subcommand is None:
        speech.give(context.get_help())


app.command()(demo.demo)
app.command()(server.serve)
app.command()(studies.studies)
app.command()(share.share)
app.command()(shares.shares)
app.command()(show.show)
app.command()(mails.mail)
app.command()(mails.mails)
app.command()(letters.letter)
app.command()(letters.qr)
app.command()(renew.renew)
app.command()(renew.revoke)
app.add_typer(keys.keys, name="key")
app.add_typer(roles.roles, name="roles")
app.command()(why.why)
app.command("who-can")(who_can.who_can)
app.command()(trail.trail)
app.add_typer(ring.ring, name="keys")
app.command()(backup.backup)
app.command("backup-keys")(backup.backup_keys)
app.command()(backup.restore)
app.command()(server.migrate)
app.command()(doctor.doctor)
app.command("import-auth-service")(import_auth_service.import_auth_service)
app.command("install-viewer")(server.install_the_viewer)
