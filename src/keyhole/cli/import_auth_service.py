"""``keyhole import-auth-service``: take the place of the service that answered Orthanc's plugin before."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from keyhole.cli import speech
from keyhole.cli.session import session
from keyhole.errors import Refused


def import_auth_service(  # noqa: PLR0913 - its options
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where to; settings, roles, and secrets beside them.")
    ],
    *,
    environment: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FILE", help="Its .env file, or a compose file (.yml); the environment here without."
        ),
    ] = None,
    service: Annotated[str | None, typer.Option(metavar="NAME", help="Its name in the compose file.")] = None,
    secrets: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where its secrets are files that overrule variables.")
    ] = Path("/run/secrets"),
    permissions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its permissions.json, as found here.")
    ] = None,
    anonymous_profile: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its anonymous-profile.json, as found here.")
    ] = None,
    legacy_until: Annotated[
        str | None, typer.Option(metavar="DAY", help="Until when links that it gave out go on working.")
    ] = None,
    issuer: Annotated[
        str | None, typer.Option(metavar="URL", help="Who issues users' tokens: the realm as people sign in at it.")
    ] = None,
    insecure_http: Annotated[
        bool, typer.Option("--insecure-http", help="Ask Keycloak without https, and serve without it.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
) -> None:
    """Take over what orthanc-auth-service was set to.

    Every variable of it is listed, with what became of it. No secret is shown: each has a file of its own. Nothing is
    written while there is a problem, and the database is not needed.
    """
    from keyhole.operations.auth_service import files, variables  # noqa: PLC0415 - --help need not wait for them
    from keyhole.operations.auth_service.carry import Given, carry  # noqa: PLC0415 - the same

    found = session(context).environment if environment is None else variables.of_file(environment, service)
    given = Given(
        legacy_until=None if legacy_until is None else _day(legacy_until),
        issuer=issuer,
        insecure_http=insecure_http,
        permissions=permissions,
        anonymous=anonymous_profile,
    )
    outcome = carry(variables.of_service(found, secrets), given)
    speech.give_table(("VARIABLE", "", "HERE"), ((each.variable, each.fate, each.words) for each in outcome.told))
    if outcome.problems:
        raise Refused(f"{speech.plural(len(outcome.problems), 'problem')}: nothing is written", "put that right first")
    for path in files.write(outcome, folder, overwrite=overwrite):
        speech.say(f"written: {path}")
    speech.say(
        "to be set beside: archive, data and public_url",
        hint="the steps that follow are in docs/orthanc-plugin.md",
    )


def _day(text: str) -> str:
    """A day, or a moment, as the settings take it."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise Refused(f"--legacy-until is not a day: {text!r}", "for example --legacy-until 2027-03-31") from None
    return text
