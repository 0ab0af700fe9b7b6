"""The printed reference is the table."""

from __future__ import annotations

from pathlib import Path

from keyhole.dicom.reference import page

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "routes.md"
HINT = "print it again: python -c 'from keyhole.dicom.reference import page; print(page(), end=\"\")' > {}"


def test_the_reference_of_routes_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), HINT.format(PAGE.name)
