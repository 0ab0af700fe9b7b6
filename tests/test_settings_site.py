"""The settings of the recipients' pages."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from keyhole.language import Language
from keyhole.settings.site import SiteSettings
from keyhole.web.site import PLAIN, Logo, Site


def test_nothing_set_is_a_plain_site() -> None:
    assert SiteSettings().site() == PLAIN


def test_what_is_set_stands_on_the_pages(tmp_path: Path) -> None:
    logo = tmp_path / "logo.svg"
    logo.write_bytes(b"<svg ></svg>")
    settings = SiteSettings(
        site_name=" Radiology, Example Hospital ",
        site_logo=logo,
        site_colour="#8A1538",
        site_language="de",
        site_contact="+49 30 1234",
    )
    assert settings.site() == Site(
        name="Radiology, Example Hospital",
        logo=Logo(b"<svg ></svg>", "image/svg+xml"),
        colour="#8a1538",
        contact="+49 30 1234",
        language=Language("de"),
    )


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("site_name", "", "at least 1 character"),
        ("site_name", "x" * 201, "at most 200 characters"),
        ("site_name", "a\nb", "should match pattern"),
        ("site_contact", "a\x00b", "should match pattern"),
        ("site_colour", "teal", "is no colour such as #14606b"),
        ("site_colour", "#ffff00", "too pale to be read on white"),
        ("site_language", "it", "is none of en, fr, de, es"),
        ("site_logo", "/nowhere/logo.png", "is not a file"),
    ],
)
def test_what_cannot_be_shown_is_refused_at_the_start(name: str, value: str, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        SiteSettings(**{name: value})  # type: ignore[arg-type]
