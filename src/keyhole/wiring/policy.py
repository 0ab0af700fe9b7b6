"""What the administrator asks of every share, from the settings."""

from __future__ import annotations

from keyhole.gateway.policy import Policy
from keyhole.settings import Settings


def policy(settings: Settings) -> Policy:
    """The policy that *settings* are. Who sends no mail tells nobody."""
    mails = settings.smtp_host is not None
    return Policy(
        required=settings.required_conditions,
        of_roles=settings.required_conditions_of_roles,
        lasts=settings.share_lasts,
        most_visits=settings.most_visits,
        terms=settings.terms is not None,
        mails=mails,
        mail_domains=settings.mail_domains,
        notify=settings.notify if mails else None,
    )
