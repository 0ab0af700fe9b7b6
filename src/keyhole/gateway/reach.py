"""A scope as the answers to searches are cut to it: by UIDs, quickly, and equal to what the decision point says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from keyhole.access.decision import Scope
from keyhole.access.grant import Target
from keyhole.access.resource import Level, Resource

_Tree = dict[str, "_Tree | None"]
"""UIDs and what is in scope below each: None for everything."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What of one archive is in scope: ``everything``, or the nodes in a tree of UIDs.

    ``unnamed`` says that the scope also holds patients or filters, which name no studies.
    """

    everything: bool
    unnamed: bool
    tree: _Tree

    @classmethod
    def of(cls, scope: Scope, archive: str) -> Self:
        """The part of *scope* in *archive*."""
        targets = [target for target in scope.targets if target.archive == archive]
        nodes = [target for target in targets if isinstance(target, Resource) and target.level >= Level.STUDY]
        return cls(
            everything=any(map(_is_archive, targets)),
            unnamed=any(target not in nodes and not _is_archive(target) for target in targets),
            tree=_tree(node.path for node in nodes),
        )

    @property
    def studies(self) -> list[str]:
        """The studies that are in scope, or hold something that is, in order."""
        return sorted(self.tree)

    def touches(self, *uids: str) -> bool:
        """Whether something at, above or below the node that *uids* name is in scope."""
        return self.everything or self._below(uids) != {}

    def covers(self, *uids: str) -> bool:
        """Whether the whole node that *uids* name is in scope."""
        return self.everything or self._below(uids) is None

    def _below(self, uids: tuple[str, ...]) -> _Tree | None:
        """What is in scope below a node: an empty tree for nothing, None for everything."""
        here: _Tree | None = self.tree
        for uid in uids:
            if here is None:
                return None
            here = here.get(uid, {})
        return here


def _is_archive(target: Target) -> bool:
    return isinstance(target, Resource) and target.level is Level.ARCHIVE


def _tree(paths: Iterable[tuple[str, ...]]) -> _Tree:
    root: _Tree = {}
    for path in sorted(paths, key=len):  # the larger nodes first: what lies below them is in scope already
        here: _Tree | None = root
        for uid in path[:-1]:
            here = None if here is None else here.setdefault(uid, {})
        if here is not None:
            here.setdefault(path[-1], None)
    return root
