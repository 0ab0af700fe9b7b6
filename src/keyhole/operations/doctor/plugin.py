"""What the settings of Orthanc's plugin mean: who may make links there, what strangers may, how late a no arrives."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from keyhole.operations.doctor.finding import Finding, many, note, ok, warning
from keyhole.settings import Settings
from keyhole.sharing.token import AsksFor, Creation

_SOON = timedelta(days=30)
_USUAL = 1


def plugin(settings: Settings, now: datetime) -> Iterator[Finding]:
    """Everything about the plugin that settings alone tell; nothing when no Orthanc asks here."""
    if not settings.every_caller():
        return
    yield from creation(settings)
    yield from conditions(settings)
    yield from anonymous(settings)
    yield from validity(settings)
    yield from legacy(settings, now)


def creation(settings: Settings) -> Iterator[Finding]:
    """How far the links of people go whom the plugin does not name."""
    for name, caller in settings.every_caller().items():
        match caller.creation:
            case Creation.OFF:
                yield ok("plugin-creation", f"no links are made in Orthanc {name}")
            case Creation.LANDING:
                yield note(
                    "plugin-creation",
                    f"whoever may share in Orthanc {name} makes links to any study of it, for"
                    f" {many(caller.longest.days, 'day')} at most (creation = landing)",
                    "Orthanc does not say who they are, nor look whether they may see that study themselves. Their"
                    " links lead to Keyhole's page and only read; beside them are links for minutes that Orthanc takes",
                    "give the permission `share` there to those who may see every study, or set creation to off",
                )
            case Creation.TRUSTED:
                yield warning(
                    "plugin-creation",
                    f"whoever may share in Orthanc {name} makes links of every type, for as long as any share may last"
                    " (creation = trusted)",
                    "types that open `direct` give a token that Orthanc itself takes: no page, no code, and read-only"
                    " only where writing is closed on the way to Orthanc",
                    "set creation to landing, or see that writing is closed: keyhole doctor --orthanc URL",
                )


def conditions(settings: Settings) -> Iterator[Finding]:
    """What links ask that are made in Orthanc, for longer than minutes."""
    for name, caller in settings.every_caller().items():
        if caller.creation is Creation.OFF:
            continue
        if (caller.conditions or settings.plugin_conditions) is AsksFor.BIRTH_DATE:
            yield ok("plugin-conditions", f"links made in Orthanc {name} ask the patient's birth date")
        else:
            yield note(
                "plugin-conditions",
                f"links made in Orthanc {name} ask nothing",
                "whoever comes by such a link sees the images",
                "set KEYHOLE_PLUGIN_CONDITIONS to birth-date",
            )


def anonymous(settings: Settings) -> Iterator[Finding]:
    """What whoever shows nothing may do in Orthanc."""
    roles = sorted(settings.plugin_anonymous_roles)
    if roles:
        yield warning(
            "plugin-anonymous",
            f"whoever reaches Orthanc, without showing anything, has the roles {', '.join(roles)}",
            "what these roles allow is open to everybody",
            "take them out of KEYHOLE_PLUGIN_ANONYMOUS_ROLES; see what they allow with: keyhole roles show",
        )
    else:
        yield ok("plugin-anonymous", "whoever shows Orthanc nothing may do nothing there")


def validity(settings: Settings) -> Iterator[Finding]:
    """For how long Orthanc goes by what it was told about a link."""
    seconds = settings.plugin_validity
    if seconds > _USUAL:
        yield warning(
            "plugin-validity",
            f"Orthanc goes by what it was told about a link for {seconds} s",
            "a link that was withdrawn opens studies there for as long",
            "set KEYHOLE_PLUGIN_VALIDITY to 1",
        )
    else:
        yield ok("plugin-validity", "a withdrawal reaches Orthanc within a second")


def legacy(settings: Settings, now: datetime) -> Iterator[Finding]:
    """Tokens of the service before, which their key alone makes."""
    until = settings.plugin_legacy_until
    if until is None:
        return
    told = f"links of the service before are taken until {until:%Y-%m-%d %H:%M} UTC"
    meaning = "whoever has its SECRET_KEY makes links that read any study until then"
    if until <= now:
        yield warning(
            "plugin-legacy",
            f"links of the service before were taken until {until:%Y-%m-%d %H:%M} UTC, and its secret is still here",
            "it opens nothing any more",
            "take KEYHOLE_PLUGIN_LEGACY_SECRET and KEYHOLE_PLUGIN_LEGACY_UNTIL out, and destroy the secret",
        )
    elif until - now < _SOON:
        yield warning(
            "plugin-legacy",
            told,
            "after that they open nothing",
            "see in keyhole shares which are still used, and give out new links for those",
        )
    else:
        yield note("plugin-legacy", told, meaning, "make that day as early as can be")
