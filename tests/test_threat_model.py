"""The page of threats says nothing that no test shows, and names no test that is not there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "threat-model.md"
NAMED = re.compile(r"`([a-z0-9_/]+\.py)::(test_[a-z0-9_]+)`")
ACCEPTED = re.compile(r"accepted: \S.{20,}")


def _rows() -> Iterator[tuple[str, str, str]]:
    """Each row of each table: what is tried, what comes of it, and what shows that."""
    for line in PAGE.read_text().splitlines():
        if line.startswith("|") and not line.startswith(("|---", "| what is tried", "| role: what is tried")):
            tried, outcome, shown = (cell.strip() for cell in line.strip("|").split("|"))
            yield tried, outcome, shown


ROWS = tuple(_rows())


@cache
def names_in(name: str) -> frozenset[str]:
    """The names of all tests in a file, those in classes too."""
    path = TESTS / name
    if not path.is_file():
        return frozenset()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, functions))


def test_there_are_rows() -> None:
    assert len(ROWS) > 80
    assert len({tried for tried, _, _ in ROWS}) == len(ROWS)


@pytest.mark.parametrize(("tried", "outcome", "shown"), ROWS, ids=[tried[:60] for tried, _, _ in ROWS])
def test_every_row_is_shown_by_tests_or_is_accepted_with_a_reason(tried: str, outcome: str, shown: str) -> None:
    missing = [f"{file}::{name}" for file, name in NAMED.findall(shown) if name not in names_in(file)]
    assert not missing
    if ACCEPTED.fullmatch(shown) is None:
        assert outcome
        assert NAMED.sub("", shown).strip() == "", "something that is neither a test nor a reason"
        assert NAMED.search(shown), f"nothing shows that {tried} comes to this"


def test_what_is_accepted_is_said_to_be_possible() -> None:
    accepted = [tried for tried, _, shown in ROWS if ACCEPTED.fullmatch(shown)]
    assert accepted
    assert [tried for tried in accepted if "**can**" not in tried] == []


def test_every_kind_of_attacker_that_was_asked_about_has_a_table() -> None:
    kinds = (
        "a link|a link that asks for more|types codes|pictures only|in a frame|two links|stolen database|stolen backup"
        "|viewer's script|archive that lies|neighbour on the network"
    )
    headings = re.findall(r"^## (.+)$", PAGE.read_text(), re.MULTILINE)
    for kind in kinds.split("|"):
        assert any(kind in heading for heading in headings), kind
