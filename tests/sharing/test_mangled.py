"""What people and programs do to links on their way, and what of it can be undone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.sharing.link import parse_link, parse_secret
from keyhole.sharing.mangled import mended

SHARE, SECRET = "abcdefghijklmnop", "3zwvntxtjhuplme72lct2mnhprprcqx54x3"
ADDRESS = f"https://images.example/s/{SHARE}"
LINK = f"{ADDRESS}#{SECRET}"


def opened(text: str) -> tuple[str, str] | None:
    found = parse_link(mended(text))
    return None if found is None else (found[0], found[1].reveal())


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(LINK, id="as it was sent"),
        pytest.param(f"  {LINK}\r\n", id="white space"),
        pytest.param(LINK.upper(), id="capital letters"),
        pytest.param(f"{ADDRESS}#{SECRET.upper()}", id="capital letters in the secret"),
        pytest.param(f"{ADDRESS}?utm_source=mail&utm_medium=x#{SECRET}", id="a tracker's query"),
        pytest.param(f"{ADDRESS}?fbclid=IwAR0_x-y#{SECRET}", id="another tracker's query"),
        pytest.param(f"{ADDRESS}/#{SECRET}", id="a slash"),
        pytest.param(f"{ADDRESS}/?utm_source=mail#{SECRET}", id="a slash and a query"),
        pytest.param(f"{LINK}?utm_source=mail", id="a query behind the secret"),
        pytest.param(f"{LINK}&fbclid=IwAR0", id="a parameter behind the secret"),
        *(pytest.param(f"{LINK}{end}", id=f"ends in {end}") for end in (".", ",", ";", ")", ">", "%3E", "'", '"', "_")),
        *(
            pytest.param(f"{LINK}{end}", id=f"ends in {end}")
            for end in ("»", "”", "\u00a0", "\u200b", "]", "*", "</a>")
        ),
        pytest.param(f"{ADDRESS}%23{SECRET}", id="the sign for the secret escaped"),
        pytest.param(f"{ADDRESS}%23{SECRET}%3E", id="all of it escaped"),
    ],
)
def test_what_a_link_met_on_its_way_is_undone(text: str) -> None:
    assert opened(text) == (SHARE, SECRET)


@pytest.mark.parametrize(
    "text", [f" {SECRET}\n", f"{SECRET}.", f"{SECRET}%3E", f"{SECRET}?utm_source=x", SECRET.upper()]
)
def test_so_is_what_a_secret_alone_met(text: str) -> None:
    found = parse_secret(mended(text))
    assert found is not None
    assert found.reveal() == SECRET


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"{LINK}a", id="a letter more"),
        pytest.param(f"{LINK}9", id="a digit more"),
        pytest.param(f"{LINK}é", id="a letter of another alphabet more"),
        pytest.param(LINK[:-1], id="a letter less"),
        pytest.param(f"{LINK[:-1]}.", id="a letter less and a full stop"),
        pytest.param(f"{ADDRESS}x#{SECRET}", id="a longer id"),
        pytest.param(f"{ADDRESS}/more#{SECRET}", id="another path"),
        pytest.param(f"https://images.example/{SHARE}#{SECRET}", id="no link's path"),
        pytest.param(f"https://images.example/#/s/{SHARE}#{SECRET}", id="a link in another page's fragment"),
        pytest.param(f"{LINK}#{SECRET}", id="two secrets"),
        pytest.param(ADDRESS, id="no secret"),
        pytest.param("", id="nothing"),
    ],
)
def test_what_could_be_something_else_is_left_alone(text: str) -> None:
    assert opened(text) is None
    assert mended(mended(text)) == mended(text)


@given(st.text(alphabet=st.characters(exclude_categories=["L", "N", "Cs"]), max_size=20))
def test_nothing_behind_the_secret_makes_another_link_of_it(junk: str) -> None:
    assert "#" in junk or opened(LINK + junk) == (SHARE, SECRET)


@given(st.text(max_size=120))
def test_mending_twice_is_mending_once(text: str) -> None:
    assert mended(mended(text)) == mended(text)
