"""Where a database is."""

from __future__ import annotations

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from keyhole.errors import Misconfigured


def parse_url(url: str) -> URL:
    """The address of a database; Misconfigured when it is none that Keyhole can use. Its password is not told."""
    try:
        parsed = make_url(url)
    except SQLAlchemyError:
        raise Misconfigured("the database is not a URL such as postgresql://host/name") from None
    name = parsed.get_backend_name()
    if name == "sqlite" and parsed.database:
        return parsed
    if name == "postgresql" and parsed.drivername in ("postgresql", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    raise Misconfigured("the database is neither postgresql://… nor sqlite:///…")
