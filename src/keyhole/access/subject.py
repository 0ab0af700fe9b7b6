"""Who asks, and what a kind of credential may ever do."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from keyhole.access.resource import Action

_PRINCIPAL = re.compile(r"(?:user|role|key|share|visit|group|plugin):[^\s\x00-\x1f]{1,200}")


def is_principal(text: str) -> bool:
    """Whether *text* is a name one can act as, such as ``user:anna`` or ``share:k3v9…``."""
    return _PRINCIPAL.fullmatch(text) is not None


class Kind(StrEnum):
    """The kinds of credential."""

    ANONYMOUS = "anonymous"
    VISIT = "visit"
    API_KEY = "api-key"
    TOKEN = "token"  # noqa: S105 - a kind, not a token
    """A share's token, shown to Orthanc's plugin, which asks about it."""
    SERVER = "server"
    """Another server, which vouches for users of its own without naming them."""
    SESSION = "session"
    OPERATOR = "operator"
    """The person at the command line, who holds the database and the keys anyway."""


READING = frozenset({Action.SEARCH, Action.RETRIEVE, Action.RENDER, Action.DOWNLOAD})

MAY_EVER = MappingProxyType(
    {
        Kind.ANONYMOUS: frozenset[Action](),
        Kind.VISIT: READING,
        Kind.TOKEN: READING,
        Kind.SERVER: READING | {Action.SHARE, Action.ADMINISTER},
        Kind.API_KEY: frozenset(Action) - {Action.ADMINISTER},
        Kind.SESSION: frozenset(Action),
        Kind.OPERATOR: frozenset(Action),
    }
)
"""The ceiling of each kind, whatever its grants say (rule 4 of the design)."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whoever asks: one name for the trail, every name it may act as, and the ceiling of its credential."""

    kind: Kind
    name: str
    principals: frozenset[str]
    ceiling: frozenset[Action] = field(default=frozenset(Action))

    def __post_init__(self) -> None:
        """Refuse names that are no principals; cut the ceiling to that of the kind."""
        unnamed = [name for name in self.principals if not is_principal(name)]
        if unnamed:
            raise ValueError(f"not a principal: {unnamed[0]!r}")
        object.__setattr__(self, "ceiling", self.ceiling & MAY_EVER[self.kind])


ANONYMOUS = Subject(Kind.ANONYMOUS, "anonymous", frozenset())
"""Nobody has shown a credential. A bad credential is never this: it is refused."""
