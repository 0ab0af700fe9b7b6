"""What may survive mutation is code that there is, and has its reason."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "docs" / "mutation-testing.md").read_text(encoding="utf-8")
ENTRY = re.compile(r"^- `([\w.]+)` → `(.+)`$(\n  \S.*)?", re.MULTILINE)


def test_what_may_survive_is_there_and_has_its_reason() -> None:
    entries = ENTRY.findall(PAGE)
    assert entries
    assert len(entries) == PAGE.count("\n- `keyhole.")
    for where, _, reason in entries:
        pkgutil.resolve_name(where)
        assert reason, where


def test_nothing_may_survive_twice() -> None:
    kept = [(where, instead) for where, instead, _ in ENTRY.findall(PAGE)]
    assert len(kept) == len(set(kept))
