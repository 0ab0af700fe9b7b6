"""The tree of errors. A refusal is a value (:class:`keyhole.access.decision.Deny`); only breakage raises.

KeyholeError
├── Misconfigured      a setting is wrong; every problem at once, with what to do
├── Refused            a person asked for what cannot be; says what is wrong, with a hint
├── StoreFailed        the database cannot be read or written now: nothing is released
│   └── Stale          the generation could not be confirmed in time: nothing is decided
├── MailFailed         the mail server did not take a mail
│   └── MailRefused    and says that it never will
├── ProviderFailed     the identity provider did not answer, or answered nonsense
└── ArchiveFailed      the archive did not answer, or answered nonsense
    ├── ArchiveTimeout it took too long
    └── ForeignAnswer  it answered with something else than asked; nothing of it was forwarded
"""

from __future__ import annotations


class KeyholeError(Exception):
    """Anything of ours that can go wrong. The text says what, and holds neither secrets nor patient data."""


class Misconfigured(KeyholeError):
    """Settings that cannot work."""

    def __init__(self, *problems: str) -> None:
        """All *problems* at once, a line each."""
        super().__init__("\n".join(problems))
        self.problems = problems


class Refused(KeyholeError):
    """What a person asked for cannot be done; *hint* says what can."""

    def __init__(self, problem: str, hint: str | None = None) -> None:
        """Say the *problem* in one sentence and what to do in another."""
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


class StoreFailed(KeyholeError):
    """The database cannot be read or written. Nothing is released; the next request tries again."""


class Stale(StoreFailed):
    """What is held in memory could not be confirmed in time."""


class MailFailed(KeyholeError):
    """A mail was not taken. The text is fit for its sender: it names no address."""


class MailRefused(MailFailed):
    """A mail was refused for good (RFC 5321 section 4.2.1): to try again is of no use."""


class ProviderFailed(KeyholeError):
    """The identity provider did not answer, or answered with something else than asked. Nobody is who they say."""


class ArchiveFailed(KeyholeError):
    """The archive did not answer, or what it answered is not DICOMweb."""


class ArchiveTimeout(ArchiveFailed):
    """The archive took longer than allowed."""


class ForeignAnswer(ArchiveFailed):
    """The archive answered with another study than asked."""
