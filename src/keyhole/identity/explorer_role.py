"""Roles as Orthanc Explorer 2 knows them: permissions and labels by name.

Permission names are Orthanc's and its operators' own: those that nobody here knows are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

import msgspec

EVERY_LABEL = "*"
NO_STUDY = "keyhole-no-study"
"""A label for whoever has permissions and no label: Orthanc and its Explorer need one, and no study is to carry it."""

_MOST = 1000
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Names = Annotated[tuple[_Name, ...], msgspec.Meta(max_length=_MOST)]


class ExplorerRole(msgspec.Struct, rename="kebab", frozen=True, forbid_unknown_fields=False):
    """What one role may do, to studies that carry one of the labels; ``*`` is every label, and no label as well."""

    permissions: _Names
    authorized_labels: _Names


class Document(msgspec.Struct, rename="kebab"):
    """All roles by name, as the Explorer reads and sends them."""

    roles: Annotated[dict[_Name, ExplorerRole], msgspec.Meta(max_length=_MOST)]
    available_labels: _Names = ()


class _Marked(Document, rename="kebab", omit_defaults=False):
    """As the Explorer is told: it looks at nothing beside the two."""

    unknown_to_provider: _Names = ()


_NOTHING = ExplorerRole((), ())


@dataclass(frozen=True, slots=True)
class Profile:
    """What a user may do through all their roles together."""

    permissions: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExplorerRoles:
    """All roles by name, and the labels that the Explorer offers (none: any text)."""

    roles: Mapping[str, ExplorerRole]
    available_labels: tuple[str, ...] = ()

    @classmethod
    def parse(cls, document: bytes | str) -> ExplorerRoles:
        """The roles in *document*, JSON as the Explorer sends it; ValueError when it is something else."""
        try:
            found = _DECODER.decode(document)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"not a document of roles: {error}") from None
        return cls(found.roles, found.available_labels)

    def dump(self) -> str:
        """The document, in one spelling for one meaning."""
        return msgspec.json.encode(Document(self._sorted(), self.available_labels)).decode()

    def profile(self, names: Iterable[str]) -> Profile:
        """What whoever has the roles *names* may do. Unknown roles add nothing; with every label no other matters."""
        held = [self.roles[name] for name in sorted(set(names)) if name in self.roles]
        permissions = dict.fromkeys(name for role in held for name in role.permissions)
        labels = dict.fromkeys(label for role in held for label in role.authorized_labels)
        if permissions and not labels:
            labels = {NO_STUDY: None}
        return Profile(tuple(permissions), (EVERY_LABEL,) if EVERY_LABEL in labels else tuple(labels))

    def beside(self, known: frozenset[str] | None) -> str:
        """The document as :meth:`dump`, with every role of *known*, and the names of those that are not among them.

        Roles that are only *known* hold nothing. None: what is known is not known, and nothing is added.
        """
        if known is None:
            return self.dump()
        added = dict.fromkeys(known - self.roles.keys(), _NOTHING)
        whole = ExplorerRoles({**self.roles, **added}, self.available_labels)
        return msgspec.json.encode(_Marked(whole._sorted(), self.available_labels, self.unknown_to(known))).decode()

    def unknown_to(self, known: frozenset[str] | None) -> tuple[str, ...]:
        """The roles that are not among *known*."""
        return () if known is None else tuple(sorted(self.roles.keys() - known))

    def without_new_that_hold_nothing(self, before: ExplorerRoles) -> ExplorerRoles:
        """The same, but for the roles that hold nothing and were not there *before*."""
        kept = {name: role for name, role in self.roles.items() if role != _NOTHING or name in before.roles}
        return ExplorerRoles(kept, self.available_labels)

    def _sorted(self) -> dict[str, ExplorerRole]:
        return {name: self.roles[name] for name in sorted(self.roles)}


_DECODER = msgspec.json.Decoder(Document)


def _role(*permissions: str) -> ExplorerRole:
    return ExplorerRole(permissions, (EVERY_LABEL,))


USUAL = ExplorerRoles(
    MappingProxyType(
        {
            "administrator": _role("all", "admin-permissions"),
            "reader": _role("view", "download"),
            "sharer": _role("view", "download", "share"),
            "uploader": _role("upload"),
        }
    )
)
"""The roles until somebody changes them: those that Keyhole's own keys have."""
