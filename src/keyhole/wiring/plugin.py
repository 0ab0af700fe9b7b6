"""What stands behind the routes of Orthanc's Authorization plugin."""

from __future__ import annotations

from collections.abc import Mapping

from keyhole.gateway.current import Current
from keyhole.gateway.desk import Desk
from keyhole.gateway.plugin.caller import Caller
from keyhole.gateway.plugin.key_users import KeyUsers
from keyhole.gateway.plugin.link_desk import LinkDesk
from keyhole.gateway.plugin.naming import Lineage, Naming
from keyhole.gateway.plugin.profiles import Profiles
from keyhole.gateway.plugin.reader import Reader
from keyhole.gateway.plugin.roles import Roles
from keyhole.gateway.plugin.tokens import OwnTokens, Tokens
from keyhole.gateway.plugin.validator import Validator
from keyhole.settings import Settings
from keyhole.sharing.address import Addresses
from keyhole.web.plugin import links, profile, roles, validate
from keyhole.web.plugin.call import Route
from keyhole.web.plugin.credentials import Credential, Credentials
from keyhole.web.plugin.wire import Plugin


def plugin(settings: Settings, desk: Desk, current: Current, lineage: Mapping[str, Lineage]) -> Plugin | None:
    """The application below ``/plugin/``; None when no Orthanc is set up to ask there."""
    credentials = _credentials(settings)
    if not credentials:
        return None
    tokens = Tokens((OwnTokens(current, desk.ring),), settings.plugin_types)
    routes = (*_of_tokens(settings, desk, tokens, lineage), *_of_users(settings, desk, current))
    return Plugin(routes, Credentials(credentials), desk.ledger.refuse, desk.now)


def _credentials(settings: Settings) -> list[Credential]:
    found = []
    for name, each in settings.every_caller().items():
        caller = Caller(
            name=name,
            archive=each.archive or settings.archive_name,
            creation=each.creation,
            longest=each.longest,
            server_id=each.server_id,
        )
        found.append(Credential.of(caller, each.user, each.password.get_secret_value()))
    return found


def _of_tokens(settings: Settings, desk: Desk, tokens: Tokens, lineage: Mapping[str, Lineage]) -> tuple[Route, ...]:
    ledger, now = desk.ledger, desk.now
    link_desk = LinkDesk(
        shares=desk.store,
        ledger=ledger,
        tokens=tokens,
        naming=Naming(desk.find, lineage),
        ring=desk.ring,
        link=desk.link,
        addresses=Addresses(settings.plugin_orthanc_url, settings.plugin_ohif_url),
        longest_share=desk.longest_share,
        now=now,
    )
    reader = Reader(tokens=tokens, ledger=ledger, address=link_desk.address, link=desk.link, now=now)
    validator = Validator(tokens=tokens, ledger=ledger, validity=settings.plugin_validity, now=now)
    return (validate.route(validator), *links.routes(link_desk, reader))


def _of_users(settings: Settings, desk: Desk, current: Current) -> tuple[Route, ...]:
    ledger, now = desk.ledger, desk.now
    book = Roles(current=current, store=desk.store, ledger=ledger, now=now)
    profiles = Profiles(
        users=(KeyUsers(current, now),),
        roles=book,
        ledger=ledger,
        validity=settings.plugin_profile_validity,
        anonymous=settings.plugin_anonymous_roles,
        now=now,
    )
    return (profile.route(profiles), *roles.routes(book))
