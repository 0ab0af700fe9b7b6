"""A staff URL that is spelt unlike the public one, and is the same host to a browser."""

from __future__ import annotations

import pytest

from keyhole.settings import values


@pytest.mark.parametrize(
    "host", ["127.1", "0x7f.0.0.1", "0x7f000001", "2130706433", "127.0.0.01", "127.0.0.0x1", "1.2.3"]
)
def test_an_address_has_one_spelling(host: str) -> None:
    with pytest.raises(ValueError, match="four decimal numbers"):
        values.origin(f"http://{host}:8000")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "a1.example", "1.example", "localhost", "0xcafe.example", "127.0.0.1.nip.io"]
)
def test_names_and_plain_addresses_are_as_they_were(host: str) -> None:
    assert values.origin(f"https://{host}") == f"https://{host}"
