"""What stands behind the routes of Orthanc's Authorization plugin."""

from __future__ import annotations

from collections.abc import Mapping

from keyhole.gateway.current import Current
from keyhole.gateway.desk import Desk
from keyhole.gateway.plugin.caller import Caller
from keyhole.gateway.plugin.key_users import KeyUsers
from keyhole.gateway.plugin.link_desk import LinkDesk
from keyhole.gateway.plugin.mailing import MAILS_AT_ONCE, MAILS_PER_SECOND, Mailing
from keyhole.gateway.plugin.meddream import MedDream
from keyhole.gateway.plugin.naming import Lineage, Naming
from keyhole.gateway.plugin.profiles import Profiles
from keyhole.gateway.plugin.reader import Reader
from keyhole.gateway.plugin.roles import Roles
from keyhole.gateway.plugin.templates import Templates
from keyhole.gateway.plugin.tokens import OwnTokens, TokenKind, Tokens
from keyhole.gateway.plugin.validator import Validator
from keyhole.gateway.throttle import Throttle
from keyhole.gateway.upstream import basic
from keyhole.settings import Settings
from keyhole.sharing.address import Addresses
from keyhole.sharing.token import Creation
from keyhole.web.plugin import emails, links, profile, roles, validate
from keyhole.web.plugin.call import Route
from keyhole.web.plugin.credentials import Credential, Credentials
from keyhole.web.plugin.wire import Plugin
from keyhole.wiring.identity import Directory
from keyhole.wiring.mail import mail_server


def plugin(
    settings: Settings, desk: Desk, current: Current, lineage: Mapping[str, Lineage], people: Directory
) -> Plugin:
    """The application below ``/plugin/``, for those Orthancs that are set up to ask there."""
    own = OwnTokens(current, desk.ring)
    kinds: tuple[TokenKind, ...] = (own, *_legacy(settings, desk, current, lineage))
    tokens = Tokens(kinds, settings.plugin_types, own.stands)
    mail = _of_mail(settings, desk, current, tokens)
    routes = (*_of_tokens(settings, desk, tokens, lineage, people), *_of_users(settings, desk, current, people), *mail)
    return Plugin(routes, Credentials(_credentials(settings)), desk.ledger.refuse, desk.now)


def _credentials(settings: Settings) -> list[Credential]:
    found = []
    for name, each in settings.every_caller().items():
        caller = Caller(
            name=name,
            archive=each.archive or settings.archive_name,
            creation=each.creation,
            longest=each.longest,
            server_id=each.server_id,
            conditions=each.conditions or settings.plugin_conditions,
        )
        found.append(Credential.of(caller, each.user, each.password.get_secret_value()))
    return found


def _legacy(settings: Settings, desk: Desk, current: Current, lineage: Mapping[str, Lineage]) -> tuple[TokenKind, ...]:
    """The tokens of the service before, if there are to be any; they are about the default archive."""
    secret, until = settings.plugin_legacy_secret, settings.plugin_legacy_until
    if secret is None or until is None:
        return ()
    from keyhole.gateway.plugin.legacy import LegacyTokens  # noqa: PLC0415 - 10 MB of cryptography for this alone

    before = Caller(name="legacy", archive=settings.archive_name, creation=Creation.TRUSTED)
    return (
        LegacyTokens(
            rows=current,
            shares=desk.store,
            naming=Naming(desk.find, lineage),
            ring=desk.ring,
            caller=before,
            key=secret.get_secret_value(),
            until=until,
            now=desk.now,
        ),
    )


def _of_tokens(
    settings: Settings, desk: Desk, tokens: Tokens, lineage: Mapping[str, Lineage], people: Directory
) -> tuple[Route, ...]:
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
        meddream=_meddream(settings, people),
    )
    reader = Reader(tokens=tokens, ledger=ledger, way=link_desk.way, link=desk.link, now=now)
    validator = Validator(tokens=tokens, ledger=ledger, validity=settings.plugin_validity, now=now)
    return (validate.route(validator), *links.routes(link_desk, reader))


def _meddream(settings: Settings, people: Directory) -> MedDream | None:
    """MedDream's token service, if there is one; it is asked over the connections that ask about people."""
    root, service = settings.plugin_meddream_url, settings.plugin_meddream_token_url
    if root is None or service is None:
        return None
    user, password = settings.plugin_meddream_user, settings.plugin_meddream_password
    shown = {} if user is None or password is None else basic(user, password.get_secret_value())
    return MedDream(posts=people.server, service=service, root=root, headers=shown)


def _of_users(settings: Settings, desk: Desk, current: Current, people: Directory) -> tuple[Route, ...]:
    ledger, now = desk.ledger, desk.now
    book = Roles(current=current, store=desk.store, ledger=ledger, now=now, known=people.roles)
    profiles = Profiles(
        users=(KeyUsers(current, now), *people.users),
        roles=book,
        ledger=ledger,
        validity=settings.plugin_profile_validity,
        anonymous=settings.plugin_anonymous_roles,
        now=now,
    )
    return (profile.route(profiles), *roles.routes(book))


def _of_mail(settings: Settings, desk: Desk, current: Current, tokens: Tokens) -> tuple[Route, ...]:
    templates = Templates(settings.mail_templates)
    server = mail_server(settings)
    if server is None or settings.mail_from is None:
        return emails.routes(templates, None)
    roots = (settings.public_url, settings.plugin_orthanc_url, settings.plugin_ohif_url)
    mailing = Mailing(
        post=server,
        templates=templates,
        rows=current,
        tokens=tokens,
        ring=desk.ring,
        ledger=desk.ledger,
        throttle=Throttle(at_once=MAILS_AT_ONCE, per_second=MAILS_PER_SECOND),
        sender=settings.mail_from,
        reply_to=settings.mail_reply_to,
        domains=settings.mail_domains,
        roots=[root.rstrip("/") for root in roots if root is not None],
        now=desk.now,
    )
    return emails.routes(templates, mailing)
