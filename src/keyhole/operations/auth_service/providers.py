"""Keycloak, as the service before knew it: any OpenID Connect provider here."""

from __future__ import annotations

from collections.abc import Mapping

from keyhole.operations.auth_service.outcome import Fate, Outcome
from keyhole.settings import values

_REALM = "http://keycloak:8080/realms/orthanc/"
_ADMIN = "http://keycloak:8080/admin/realms/orthanc/"
_ALL = ("KEYCLOAK_URI", "KEYCLOAK_ADMIN_URI", "KEYCLOAK_CLIENT_SECRET", "ENABLE_KEYCLOAK_API_KEYS")
AUDIENCE = "account"
"""What the service before demanded of tokens."""


def carry(outcome: Outcome, variables: Mapping[str, str], issuer: str | None, *, forced: bool) -> None:
    """Put the provider into *outcome*. *forced*: ask it without https all the same."""
    if variables.get("ENABLE_KEYCLOAK") != "true":
        outcome.tell("ENABLE_KEYCLOAK", Fate.LEFT, "was not `true`: nobody is known by a provider")
        for name in _ALL:
            outcome.tell(name, Fate.LEFT, "goes with ENABLE_KEYCLOAK: nothing to do")
        return
    if not _issuer(outcome, issuer, forced=forced):
        for name in _ALL:
            outcome.tell(name, Fate.LEFT, "goes with ENABLE_KEYCLOAK")
        return
    _realm(outcome, variables, forced=forced)
    _admin(outcome, variables, forced=forced)


def _issuer(outcome: Outcome, issuer: str | None, *, forced: bool) -> bool:
    variable = "ENABLE_KEYCLOAK"
    if issuer is None:
        words = "say who issues tokens, which was not looked at before: the realm's address as people sign in at it"
        outcome.tell(variable, Fate.PROBLEM, f"{words}, such as --issuer https://login.example.org/realms/orthanc")
        return False
    try:
        found = values.issuer(issuer)
    except ValueError as error:
        outcome.tell(variable, Fate.PROBLEM, f"--issuer {error}")
        return False
    if not _safe(found) and not forced:
        words = "--issuer is not https: anybody on the way could let themselves in; --insecure-http takes it"
        outcome.tell(variable, Fate.PROBLEM, words)
        return False
    outcome.settings["oidc_audience"] = AUDIENCE
    if forced:
        outcome.settings["insecure_http"] = True
    outcome.carry(variable, "oidc_issuer", found, "and oidc_audience; who issued a token is looked at now")
    return True


def _realm(outcome: Outcome, variables: Mapping[str, str], *, forced: bool) -> None:
    root = _root(outcome, variables, "KEYCLOAK_URI", _REALM)
    if root is not None and (_safe(root) or forced):
        outcome.carry("KEYCLOAK_URI", "oidc_url", root)
    elif root is not None:
        words = "is not https: Keyhole asks the issuer's own address; --insecure-http takes it"
        outcome.tell("KEYCLOAK_URI", Fate.LEFT, words)


def _admin(outcome: Outcome, variables: Mapping[str, str], *, forced: bool) -> None:
    """Keycloak's own API, which takes the secret, and without which there are no API keys."""
    address, secret, keys = _ALL[1:]
    if not variables.get(secret):
        words = "is not set: who is disabled in Keycloak goes on until their token ends, and its roles are not listed"
        outcome.tell(secret, Fate.LEFT, words)
        outcome.tell(address, Fate.LEFT, f"needs {secret}")
        outcome.tell(keys, Fate.LEFT, f"needs {secret}")
        return
    root = _root(outcome, variables, address, _ADMIN)
    if root is not None and (_safe(root) or forced):
        outcome.carry(address, "keycloak_admin_url", root)
        outcome.carry_secret(secret, "keycloak_client_secret", variables[secret])
        _api_keys(outcome, variables, keys)
        return
    if root is not None:
        outcome.tell(address, Fate.LEFT, "is not https, and the secret would be sent there; --insecure-http does it")
    outcome.tell(secret, Fate.LEFT, f"goes with {address}")
    outcome.tell(keys, Fate.LEFT, f"goes with {address}")


def _api_keys(outcome: Outcome, variables: Mapping[str, str], variable: str) -> None:
    if variables.get(variable) == "true":
        outcome.carry(variable, "keycloak_api_keys", value=True)
    else:
        outcome.tell(variable, Fate.LEFT, "was not `true`: nothing to do")


def _root(outcome: Outcome, variables: Mapping[str, str], variable: str, usual: str) -> str | None:
    try:
        return values.server_root(variables.get(variable) or usual)
    except ValueError as error:
        outcome.tell(variable, Fate.PROBLEM, str(error))
        return None


def _safe(root: str) -> bool:
    return root.startswith("https:") or values.is_loopback(values.host_of(root))
