"""Pages of a site: its name, logo, colour and contact, and that nothing of it runs or cannot be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.web.colour import LEGIBLE, checked, contrast, css
from keyhole.web.pages import PublicPages
from keyhole.web.public import public_app
from keyhole.web.site import LARGEST_LOGO, PLAIN, Logo, Site, read_logo
from keyhole.web.viewer import ViewerFiles
from tests.asgi import Caller
from tests.web.conftest import Dicomweb, NoCodes
from tests.web.openings import NOW, Memory

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
SVG = b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
Rgb = tuple[int, int, int]


@pytest.fixture
def site() -> Site:
    return Site(name="Röntgen <Süd>", logo=Logo(SVG, "image/svg+xml"), colour="#8a1538", contact="<b>+49 30 1234</b>")


@pytest.fixture
def branded(memory: Memory, viewer_folder: Path, dicomweb: Dicomweb, site: Site) -> Caller:
    pages = PublicPages("http://127.0.0.1:8000", site=site)
    return Caller(public_app(memory, NoCodes(), ViewerFiles(viewer_folder), dicomweb, pages, lambda: NOW))


@pytest.mark.parametrize("path", ["/s/aaaaaaaaaaaaaaaa", "/o", f"/v/{'a' * 16}/", f"/v/{'a' * 16}/expired", "/nothing"])
async def test_every_page_is_the_sites(branded: Caller, path: str) -> None:
    page = (await branded.get(path)).text
    assert "<span>Röntgen &lt;Süd&gt;</span>" in page
    assert re.search(r"<title>[^<]+ Röntgen &lt;Süd&gt;</title>", page)
    assert '<img src="/static/logo.svg" alt="">' in page
    assert '<link rel="stylesheet" href="/static/site.css">' in page
    assert "Questions? &lt;b&gt;+49 30 1234&lt;/b&gt;" in page
    assert not re.search(r"<style|\sstyle=", page)


async def test_a_plain_site_has_a_keyhole_and_nothing_more_to_load(caller: Caller) -> None:
    page = (await caller.get("/s")).text
    assert "<svg" in page
    assert "site.css" not in page
    assert "Questions?" not in page
    for name in ("site.css", "logo.png", "logo.svg"):
        assert (await caller.get(f"/static/{name}")).status == 404


async def test_a_drawing_is_a_picture_and_never_a_page_that_runs(branded: Caller) -> None:
    answer = await branded.get("/static/logo.svg")
    assert (answer.body, answer.header("content-type")) == (SVG, "image/svg+xml")
    assert answer.header("content-security-policy") == "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    assert answer.header("x-content-type-options") == "nosniff"


async def test_the_colour_is_a_style_sheet_of_its_own(branded: Caller, site: Site) -> None:
    answer = await branded.get("/static/site.css")
    assert answer.header("content-type") == "text/css; charset=utf-8"
    assert answer.text == site.css
    assert answer.text.startswith(":root{--key:#8a1538;--key-ink:#ffffff;")
    assert PLAIN.css is None


# -- logos


@pytest.mark.parametrize(
    ("content", "media_type", "path"),
    [
        (PNG, "image/png", "/static/logo.png"),
        (SVG, "image/svg+xml", "/static/logo.svg"),
        (b"\xef\xbb\xbf<svg/>".replace(b"/>", b" />"), "image/svg+xml", "/static/logo.svg"),
    ],
)
def test_a_logo_is_what_it_is_whatever_it_is_called(tmp_path: Path, content: bytes, media_type: str, path: str) -> None:
    file = tmp_path / "logo.jpeg"
    file.write_bytes(content)
    logo = read_logo(file)
    assert (logo.content, logo.media_type, logo.path) == (content, media_type, path)


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"<html><svg></svg></html>", b"<svgx>", b"\xff\xd8\xff"])
def test_what_is_no_logo_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "logo.png"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="neither PNG nor SVG"):
        read_logo(file)


def test_a_logo_that_is_too_large_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "logo.png"
    file.write_bytes(PNG + b"\0" * LARGEST_LOGO)
    with pytest.raises(ValueError, match="larger than 20 KB"):
        read_logo(file)


# -- colours


def rgb(text: str) -> Rgb:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def test_contrast_is_that_of_wcag() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((18, 52, 86), (18, 52, 86)) == 1
    assert contrast(rgb("#767676"), (255, 255, 255)) == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("text", ["", "red", "#abc", "#12345g", "14606b", "#14606b;}", "#14606b00"])
def test_what_is_no_colour_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no colour"):
        checked(text)


@pytest.mark.parametrize("text", ["#ffffff", "#ffd700", "#8ab4f8", "#777777"])
def test_what_cannot_be_read_on_white_is_refused_with_its_contrast(text: str) -> None:
    with pytest.raises(ValueError, match=r"too pale to be read on white \(\d+\.\d:1"):
        checked(text)


def test_a_colour_is_written_in_one_way() -> None:
    assert checked("#14606B") == "#14606b"


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_whatever_colour_is_taken_its_pages_can_be_read(colour: Rgb) -> None:
    text = "#" + "".join(f"{part:02x}" for part in colour)
    try:
        sheet = css(checked(text))
    except ValueError:
        return
    light, dark = sheet.split("@media")
    assert f"--key:{text};" in light
    for part, grounds in ((light, ("#ffffff", "#f4f6f6")), (dark, ("#182225", "#101719"))):
        key, ink, over = (rgb(re.findall(rf"--{name}:(#\w{{6}})", part)[0]) for name in ("key", "key-ink", "key-over"))
        assert all(contrast(key, rgb(ground)) >= LEGIBLE for ground in grounds)
        assert contrast(ink, key) >= LEGIBLE
        assert contrast(ink, over) >= LEGIBLE


def test_the_grounds_are_those_of_the_style_sheet() -> None:
    from importlib import resources  # noqa: PLC0415 - for this test only

    from keyhole.web.colour import _GROUNDS  # noqa: PLC0415 - the same

    sheet = resources.files("keyhole.web").joinpath("static", "keyhole.css").read_text()
    written = [
        tuple(rgb(f"{text:<04}" if len(text) > 4 else f"#{text[1] * 2}{text[2] * 2}{text[3] * 2}") for text in pair)
        for pair in re.findall(r"--ground: (#\w+); --card: (#\w+);", sheet)
    ]
    assert [set(pair) for pair in written] == [set(_GROUNDS["light"]), set(_GROUNDS["dark"])]
