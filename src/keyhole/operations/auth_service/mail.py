"""The mail server of the service before."""

from __future__ import annotations

from collections.abc import Mapping

from keyhole.operations.auth_service.outcome import Fate, Outcome
from keyhole.settings import values

_HOST, _PORT = "EMAILS_SMTP_SERVER_HOSTNAME", "EMAILS_SMTP_SERVER_PORT"
_USER, _PASSWORD = "EMAILS_SMTP_SERVER_USER_NAME", "EMAILS_SMTP_SERVER_PWD"
_FROM, _REPLY_TO = "EMAILS_SENDER_ADDRESS", "EMAILS_REPLY_TO"
_TLS, _TIMEOUT, _TEMPLATES = "EMAILS_SMTP_SERVER_USES_TLS", "EMAILS_SMTP_SERVER_TIMEOUT", "EMAILS_TEMPLATES_ROOT"
_ALL = (_HOST, _PORT, _USER, _PASSWORD, _FROM, _REPLY_TO, _TLS, _TIMEOUT, _TEMPLATES)
_HIGHEST_PORT = 65535


def carry(outcome: Outcome, variables: Mapping[str, str]) -> None:
    """Put the mail server into *outcome*."""
    if variables.get("ENABLE_EMAILS") != "true":
        outcome.tell("ENABLE_EMAILS", Fate.LEFT, "was not `true`: nothing is mailed")
        for name in _ALL:
            outcome.tell(name, Fate.LEFT, "goes with ENABLE_EMAILS: nothing to do")
        return
    outcome.tell("ENABLE_EMAILS", Fate.CARRIED, "by smtp_host")
    if variables.get(_HOST):
        outcome.carry(_HOST, "smtp_host", variables[_HOST])
    else:
        outcome.tell(_HOST, Fate.PROBLEM, "is needed with ENABLE_EMAILS")
    _port(outcome, variables)
    _way(outcome, variables)
    _credentials(outcome, variables)
    _mailbox(outcome, variables, _FROM, "mail_from", needed=True)
    _mailbox(outcome, variables, _REPLY_TO, "mail_reply_to", needed=False)
    _rest(outcome, variables)


def _port(outcome: Outcome, variables: Mapping[str, str]) -> None:
    text = variables.get(_PORT, "")
    if text.isascii() and text.isdigit() and len(text) <= len(str(_HIGHEST_PORT)) and 1 <= int(text) <= _HIGHEST_PORT:
        outcome.carry(_PORT, "smtp_port", int(text))
    else:
        outcome.tell(_PORT, Fate.PROBLEM, "is not a port")


def _way(outcome: Outcome, variables: Mapping[str, str]) -> None:
    if variables.get(_TLS, "true") == "false":
        words = "mail, and links in it, can be read on the way: set it to starttls if the server can"
        outcome.carry(_TLS, "smtp_security", "none", words)
    else:
        outcome.carry(_TLS, "smtp_security", "starttls")


def _credentials(outcome: Outcome, variables: Mapping[str, str]) -> None:
    user, password = variables.get(_USER, ""), variables.get(_PASSWORD, "")
    readable = variables.get(_TLS, "true") == "false" and not values.is_loopback(variables.get(_HOST) or "localhost")
    if not (user and password):
        for name in (_USER, _PASSWORD):
            outcome.tell(name, Fate.LEFT, "the mail server is used without credentials: both or none are needed")
    elif readable:
        outcome.tell(_USER, Fate.LEFT, f"goes with {_PASSWORD}")
        words = f"could be read on the way: let {_TLS} be true, or do without credentials"
        outcome.tell(_PASSWORD, Fate.PROBLEM, words)
    else:
        outcome.carry(_USER, "smtp_user", user)
        outcome.carry_secret(_PASSWORD, "smtp_password", password)


def _mailbox(outcome: Outcome, variables: Mapping[str, str], variable: str, setting: str, *, needed: bool) -> None:
    text = variables.get(variable, "")
    if not text:
        words = "is needed with ENABLE_EMAILS" if needed else "is not set: answers go to the sender"
        outcome.tell(variable, Fate.PROBLEM if needed else Fate.LEFT, words)
        return
    try:
        outcome.carry(variable, setting, values.mailbox(text))
    except ValueError as error:
        outcome.tell(variable, Fate.PROBLEM, str(error))


def _rest(outcome: Outcome, variables: Mapping[str, str]) -> None:
    if variables.get(_TIMEOUT, "10") not in ("", "10"):
        outcome.tell(_TIMEOUT, Fate.LEFT, "Keyhole waits 15 s for a mail server")
    else:
        outcome.tell(_TIMEOUT, Fate.LEFT, "is as it comes: nothing to do")
    words = "its path is the container's: copy the folder, and set mail_templates to where it is"
    outcome.tell(_TEMPLATES, Fate.LEFT, words if variables.get(_TEMPLATES) else f"is not set; {words}")
