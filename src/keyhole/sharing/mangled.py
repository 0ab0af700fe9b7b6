"""Links as they arrive: in capital letters, with what trackers, mail programs and the end of a sentence put to them.

Only what can mean one link is mended. The check characters still tell a typing error from it.
"""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"/s/[a-z2-7]{16}/?(?:\?.*)?", re.ASCII | re.IGNORECASE | re.DOTALL)
_SECRET = re.compile(r"([A-Za-z2-7]{35})(?![^\W_])")
"""As many characters as a secret has, and no letter or digit behind them."""


def mended(text: str) -> str:
    """*text*, which may be a link or its secret alone, without what is none of it; as it is where that is not clear."""
    text = text.strip()
    whole = text if "#" in text else text.replace("%23", "#", 1)
    address, sign, fragment = whole.rpartition("#") if whole.count("#") == 1 else ("", "", text)
    secret = _SECRET.match(fragment)
    return _address(address) + sign + (secret[1] if secret else fragment)


def _address(address: str) -> str:
    """The address up to the share's id, the letters of both as they were given out."""
    start = address.lower().rfind("/s/")
    link = _ADDRESS.fullmatch(address, start) if start >= 0 else None
    return address if link is None else address[:start] + address[start : start + 19].lower()
