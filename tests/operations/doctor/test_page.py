"""The page that lists the findings lists those there are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import keyhole.operations.doctor as package

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "doctor.md"
SEVERITIES = {"ok": 0, "note": 1, "warning": 2, "error": 3}


def made() -> Iterator[tuple[str, str]]:
    """Check and severity of every finding that the package makes."""
    for path in Path(package.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                for name in [one.id for one in ast.walk(node.func) if isinstance(one, ast.Name)]:
                    if name in SEVERITIES:
                        yield str(node.args[0].value), name


def test_every_finding_is_on_the_page_with_its_worst_severity() -> None:
    worst: dict[str, str] = {}
    for check, severity in made():
        worst[check] = max(severity, worst.get(check, "ok"), key=SEVERITIES.__getitem__)
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| ([a-z]+) \|", PAGE.read_text(), re.MULTILINE))
    assert rows == worst
