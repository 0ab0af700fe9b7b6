"""What each variable of the service before is here. Nothing is read or written but the two files of roles."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from keyhole.operations.auth_service import mail, providers, roles
from keyhole.operations.auth_service.outcome import CallerTable, Fate, Outcome
from keyhole.settings import values

_FLAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the person at the command line adds.

    The last day of old links, who issues tokens, whether a provider may be asked without https, where files are now.
    """

    legacy_until: str | None = None
    issuer: str | None = None
    insecure_http: bool = False
    permissions: Path | None = None
    anonymous: Path | None = None


def carry(variables: Mapping[str, str], given: Given) -> Outcome:
    """What all *variables* are here, each one told."""
    outcome = Outcome()
    readable = {name: text for name, text in variables.items() if _is_readable(outcome, name, text)}
    for part in (_users, _legacy(given), _addresses, _meddream):
        part(outcome, readable)
    roles.carry(outcome, readable, given.permissions, given.anonymous)
    providers.carry(outcome, readable, given.issuer, forced=given.insecure_http)
    mail.carry(outcome, readable)
    return outcome


def _is_readable(outcome: Outcome, name: str, text: str) -> bool:
    """Whether *text* can stand in a file of settings at all."""
    if text.isprintable() or (name == "USERS" and "\x00" not in text and text.isascii()):
        return True
    outcome.tell(name, Fate.PROBLEM, "holds control characters or what is not UTF-8")
    return False


def _users(outcome: Outcome, variables: Mapping[str, str]) -> None:
    """The credentials of Orthanc's plugin: one of them as flat settings, more as tables."""
    users, server_id = _pairs(variables.get("USERS", "")), _server_id(outcome, variables)
    if users is None:
        outcome.tell("USERS", Fate.PROBLEM, "is not a JSON object of user names and passwords, as Orthanc needs one")
        return
    short = sorted(user for user, password in users.items() if len(password) < values.SHORTEST_PASSWORD)
    if short:
        words = f"the password of {', '.join(short)} is shorter than {values.SHORTEST_PASSWORD} characters: give"
        outcome.tell("USERS", Fate.PROBLEM, f"{words} Orthanc another one, and USERS too")
    elif len(users) == _FLAT:
        ((user, password),) = users.items()
        outcome.settings["plugin_user"] = user
        if server_id:
            outcome.settings["plugin_server_id"] = server_id
        outcome.carry_secret("USERS", "plugin_password", password, f"and plugin_user; {_LANDING}")
    else:
        names = _table_names(users)
        outcome.callers = {names[user]: CallerTable(user, users[user], server_id or None) for user in users}
        outcome.tell("USERS", Fate.CHANGED, f"as {len(users)} tables [plugin_callers.…]; {_LANDING}")


_LANDING = "links that they make lead to Keyhole's page, for 7 days at most (creation = landing)"


def _pairs(text: str) -> dict[str, str] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not found:
        return None
    good = all(
        name and isinstance(password, str) and (name + password).isprintable() for name, password in found.items()
    )
    return found if good else None


def _table_names(users: Mapping[str, str]) -> dict[str, str]:
    """A name for the trail for each user, no two the same."""
    names: dict[str, str] = {}
    for user in users:
        plain = re.sub(r"[^a-z0-9]+", "-", user.lower()).strip("-")[:24].strip("-") or "orthanc"
        number = 1
        name = plain
        while name in names.values():
            number += 1
            name = f"{plain}-{number}"
        names[user] = name
    return names


def _server_id(outcome: Outcome, variables: Mapping[str, str]) -> str:
    """What Orthanc has to call itself. The service before looked at it only with one of two roots set."""
    server_id = variables.get("SERVER_ID", "")
    looked_at = variables.get("PUBLIC_ORTHANC_ROOT") or variables.get("PUBLIC_OHIF_ROOT")
    if not server_id:
        outcome.tell("SERVER_ID", Fate.LEFT, "is not set: any Orthanc with the password may ask")
    elif not looked_at:
        words = "was not looked at, for want of a public root; set plugin_server_id if Orthanc has WebServiceIdentifier"
        outcome.tell("SERVER_ID", Fate.LEFT, words)
        return ""
    else:
        outcome.tell("SERVER_ID", Fate.CARRIED, "as plugin_server_id")
    return server_id


def _legacy(given: Given) -> Callable[[Outcome, Mapping[str, str]], None]:
    def part(outcome: Outcome, variables: Mapping[str, str]) -> None:
        key = variables.get("SECRET_KEY", "")
        if not key:
            outcome.tell("SECRET_KEY", Fate.LEFT, "is not set: links given out before cannot be told from forged ones")
        elif given.legacy_until is None:
            words = "links given out before stop working; to let them go on, say until when: --legacy-until 2027-03-31"
            outcome.tell("SECRET_KEY", Fate.LEFT, words)
        elif len(key) < values.SHORTEST_PASSWORD:
            words = "is so short that links can be forged: links given out before stop working"
            outcome.tell("SECRET_KEY", Fate.LEFT, words)
        else:
            outcome.settings["plugin_legacy_until"] = given.legacy_until
            words = f"and plugin_legacy_until = {given.legacy_until}: old links work until then, and read only"
            outcome.carry_secret("SECRET_KEY", "plugin_legacy_secret", key, words)

    return part


def _addresses(outcome: Outcome, variables: Mapping[str, str]) -> None:
    used = "used once a type opens `direct`"
    url(outcome, variables, "PUBLIC_ORTHANC_ROOT", "plugin_orthanc_url", used)
    url(outcome, variables, "PUBLIC_OHIF_ROOT", "plugin_ohif_url", used)
    if variables.get("PUBLIC_LANDING_ROOT"):
        words = "new links lead to Keyhole's own page (KEYHOLE_PUBLIC_URL); old ones lead there still: leave it up"
        outcome.tell("PUBLIC_LANDING_ROOT", Fate.LEFT, words)
    else:
        outcome.tell("PUBLIC_LANDING_ROOT", Fate.LEFT, "is not set: nothing to do")
    if variables.get("OHIF_DATA_SOURCE", "dicom-web") in ("", "dicom-web"):
        outcome.tell("OHIF_DATA_SOURCE", Fate.CARRIED, "Keyhole's viewer reads DICOMweb")
    else:
        words = "Keyhole's viewer reads DICOMweb, and so do its links to an OHIF of your own: set that one up for it"
        outcome.tell("OHIF_DATA_SOURCE", Fate.LEFT, words)


def url(outcome: Outcome, variables: Mapping[str, str], variable: str, setting: str, words: str = "") -> bool:
    """Carry an address over, if it is one; whether it was."""
    text = variables.get(variable, "")
    if not text:
        outcome.tell(variable, Fate.LEFT, "is not set: nothing to do")
        return False
    try:
        found = values.server_root(text)
    except ValueError as error:
        outcome.tell(variable, Fate.PROBLEM, str(error))
        return False
    outcome.carry(variable, setting, found, words)
    return True


def _meddream(outcome: Outcome, variables: Mapping[str, str]) -> None:
    """MedDream's token service, which did something only together with MedDream's address."""
    service, root = "MEDDREAM_TOKEN_SERVICE_URL", "PUBLIC_MEDDREAM_ROOT"
    if not (variables.get(service) and variables.get(root)):
        for variable, other in ((service, root), (root, service)):
            set_alone = variables.get(variable) and not variables.get(other)
            words = f"did nothing without {other}" if set_alone else "is not set: nothing to do"
            outcome.tell(variable, Fate.LEFT, words)
        return
    plain, user, password = _apart(variables[service])
    if user is not None:
        outcome.settings["plugin_meddream_user"] = user
        outcome.secrets["plugin_meddream_password"] = password
    words = "" if user is None else "and plugin_meddream_user, plugin_meddream_password_file"
    url(outcome, variables, root, "plugin_meddream_url")
    url(outcome, {service: plain}, service, "plugin_meddream_token_url", words)


def _apart(address: str) -> tuple[str, str | None, str]:
    """*address* without the user name and password that may stand in it, and these."""
    found = re.fullmatch(r"(https?://)(?:([^/@:]*)(?::([^/@]*))?@)?([^@]*)", address)
    if found is None or found[2] is None:
        return address, None, ""
    return found[1] + found[4], unquote(found[2]), unquote(found[3] or "")
