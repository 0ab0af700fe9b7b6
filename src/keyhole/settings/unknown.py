"""Variables that begin with ``KEYHOLE_`` and set nothing: mistyped, most likely."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from keyhole.settings.model import Settings
from keyhole.settings.sources import PREFIX, TABLES, is_secret

_FOREIGN = re.compile(
    PREFIX
    + r"(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)
"""What container platforms set for a service called keyhole: Kubernetes, and Docker's links."""


def known_variables() -> frozenset[str]:
    """Every variable that is read."""
    names = {PREFIX + name.upper() for name in Settings.model_fields if name not in TABLES}
    secrets = {f"{PREFIX}{name.upper()}_FILE" for name in Settings.model_fields if is_secret(Settings, name)}
    return frozenset({*names, *secrets, f"{PREFIX}CONFIG"})


def unknown_variables(names: Iterable[str]) -> dict[str, str | None]:
    """Those of *names* that look like settings and are none, each with the nearest that is."""
    known = sorted(known_variables())
    strangers = sorted(
        name for name in names if name.startswith(PREFIX) and name not in known and not _FOREIGN.fullmatch(name)
    )
    return {name: next(iter(get_close_matches(name, known, n=1, cutoff=0.75)), None) for name in strangers}
