"""The printed reference of the HTTP API is its OpenAPI document."""

from __future__ import annotations

from pathlib import Path

from keyhole.web.reference import document, page

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
HINT = "print it again: python -c 'from keyhole.web.reference import {0}; print({0}(), end=\"\")' > {1}"


def test_the_reference_of_the_api_is_current() -> None:
    found = (FOLDER / "http-api.md").read_text(encoding="utf-8")
    assert found == page(), HINT.format("page", "docs/reference/http-api.md")


def test_the_copy_of_the_document_is_current() -> None:
    found = (FOLDER / "openapi.json").read_text(encoding="utf-8")
    assert found == document(), HINT.format("document", "docs/reference/openapi.json")
