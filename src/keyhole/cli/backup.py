"""Commands about backups: backup, backup-keys, restore."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keyhole.cli import speech
from keyhole.cli.server import bars
from keyhole.cli.session import operator, session
from keyhole.errors import Refused

if TYPE_CHECKING:
    from keyhole.operations.restore import Plan, Restored, Withdraw

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a file of that name.")]


def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; a file that is not there yet.")],
    *,
    overwrite: Overwrite = False,
) -> None:
    """Write a backup, while Keyhole runs.

    Of shares, visits, keys of programs and the trail. The keys that links are derived from are left out: see keyhole
    backup-keys.
    """
    from keyhole.cli.records import said  # noqa: PLC0415 - half a second that --help need not wait for
    from keyhole.operations.backup import back_up  # noqa: PLC0415 - the same
    from keyhole.store.verify import Broken  # noqa: PLC0415 - the same

    with bars() as bar:
        made = back_up(session(context).settings(), operator(), file, bar, overwrite=overwrite)
    speech.give(str(file))
    speech.say(
        f"{speech.size(made.size)}; the trail in it is {said(made.chain)}",
        hint="it opens no link, but names persons; its keys are apart: keyhole backup-keys",
    )
    if isinstance(made.chain, Broken):
        raise typer.Exit(1)


def backup_keys(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; a file that is not there yet.")],
    *,
    overwrite: Overwrite = False,
) -> None:
    """Write a backup of the keys of links.

    After every change of them: see keyhole keys. Without it no backup can be restored.
    """
    from keyhole.operations.backup import back_up_keys  # noqa: PLC0415 - half a second that --help need not wait for

    back_up_keys(session(context).settings(), operator(), file, overwrite=overwrite)
    speech.give(str(file))
    speech.say(
        "WHOEVER HAS THIS FILE AND A BACKUP CAN MAKE EVERY LINK, and rewrite the trail",
        hint="keep it in another place than the backups, where fewer people come",
    )


def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that keyhole backup wrote.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only say what would happen.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Set the database that is there aside.")] = False,
    withdraw_limited: Annotated[
        bool, typer.Option("--withdraw-limited", help="Withdraw the listed shares with a number of openings.")
    ] = False,
    withdraw_all: Annotated[
        bool, typer.Option("--withdraw-all", help="Withdraw all listed shares, and revoke the listed keys.")
    ] = False,
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Restore a trail that does not verify all the same.")
    ] = False,
) -> None:
    """Restore a backup.

    On SQLite or PostgreSQL, wherever it was made; stop Keyhole first. Without --yes, lists the shares that would live
    again and changes nothing. All visits end. What was withdrawn, revoked or counted since the backup stays so, where
    the present database can be read.
    """
    from keyhole.operations.restore import restoration  # noqa: PLC0415 - half a second that --help need not wait for

    with restoration(session(context).settings(), file) as found, bars() as bar:
        plan = found.plan(bar)
        _show(plan)
        _check(plan, yes=yes, replace=replace, unverified=unverified)
        withdraw: Withdraw = "all" if withdraw_all else "limited" if withdraw_limited else "none"
        _tell(found.run(operator(), plan, withdraw, bar))


def _show(plan: Plan) -> None:
    made = speech.time(datetime.fromisoformat(plan.made_at))
    speech.say(f"the backup was made at {made} UTC, with {speech.plural(plan.rows, 'row')} of the trail")
    if plan.rows_now > plan.rows:
        speech.say(
            f"the trail has {speech.plural(plan.rows_now, 'row')} now: those after row {plan.rows} will not be on it"
        )
    _show_kept(plan)
    _show_live(plan)


def _show_kept(plan: Plan) -> None:
    kept = plan.kept
    for ids, words in (
        (kept.withdrawn, "was withdrawn since, and stays withdrawn"),
        (kept.renewed, "got a new link since: the new one opens, the old one does not"),
        (kept.tried, "was answered since: the attempts count"),
        (kept.locked, "was locked since, and stays locked"),
        (kept.asked, "asks for other conditions since: they stand"),
        (kept.counted, "was opened since: the openings count"),
        (kept.shortened, "was shortened since, and stays short"),
    ):
        for name in ids:
            speech.say(f"share {name} {words}")
    for name in kept.revoked:
        speech.say(f"the key of a program {name} was revoked since, and stays revoked")
    if kept.lost:
        speech.say(f"{speech.plural(kept.lost, 'share')} made since will be gone")


def _show_live(plan: Plan) -> None:
    if plan.shares:
        speech.say(f"{speech.plural(len(plan.shares), 'share')} would live again:")
        rows = (
            (one.id, speech.time(one.expires_at), _opened(one.visits, one.max_visits), one.creator, one.note or "")
            for one in plan.shares
        )
        speech.give_table(("SHARE", "ENDS (UTC)", "OPENED", "CREATOR", "NOTE"), rows)
    else:
        speech.say("no share would live again")
    for key in plan.keys:
        speech.say(f"the key of a program would work again: {key.id} ({key.name})")
    if plan.limited:
        speech.say(
            f"{speech.plural(len(plan.limited), 'share')} of a number of openings: how often opened since the backup "
            "is not known",
            hint="--withdraw-limited withdraws them",
        )
    if plan.without_key:
        speech.say(f"{speech.plural(plan.without_key, 'link')} will not open: their key is not in keys.json")


def _opened(visits: int, most: int | None) -> str:
    return str(visits) if most is None else f"{visits} of {most}"


def _check(plan: Plan, *, yes: bool, replace: bool, unverified: bool) -> None:
    from keyhole.cli.records import said  # noqa: PLC0415 - half a second that --help need not wait for
    from keyhole.store.verify import Broken  # noqa: PLC0415 - the same

    if isinstance(plan.chain, Broken) and not unverified:
        raise Refused(
            f"the trail of the backup is {said(plan.chain)}", "use another backup, or add --unverified to restore it"
        )
    if not plan.empty and not replace:
        raise Refused("there is a database with something in it", "add --replace to set it aside")
    if not yes:
        raise Refused("nothing was restored yet", "add --yes to do it, and --withdraw-all if nothing is to live again")


def _tell(done: Restored) -> None:
    speech.say(
        f"restored; {speech.plural(done.visits_ended, 'visit')} ended, {speech.plural(done.withdrawn, 'share')} "
        f"withdrawn, {speech.plural(done.revoked, 'key')} revoked"
    )
    if done.mails_stopped:
        speech.say(
            f"{speech.plural(done.mails_stopped, 'mail')} that waited in the backup will not be sent",
            hint="whoever sees one among the mails of a share can send it again",
        )
    if done.aside is not None:
        speech.say(f"what was there before is {done.aside}", hint="remove it once nobody needs it: it names persons")
    speech.say(
        "the trail begins anew after the last row of the backup, and says so",
        hint="on every other node, rename trail.head and trail.heads before it starts",
    )
