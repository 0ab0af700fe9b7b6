"""The catalogues of a language, read from the .po files beside this module: all domains together."""

from __future__ import annotations

import gettext
from functools import cache
from importlib import resources
from io import BytesIO


@cache
def of(tag: str) -> gettext.NullTranslations:
    """The texts of the language *tag*, read once; those of the code itself for one that has no catalogues."""
    folder = resources.files("keyhole.language").joinpath(tag)
    if not folder.is_dir():
        return gettext.NullTranslations()
    texts = gettext.NullTranslations()
    for file in sorted(folder.iterdir(), key=lambda file: file.name, reverse=True):
        if file.name.endswith(".po"):
            domain = _compiled(file.read_bytes(), tag)
            domain.add_fallback(texts)
            texts = domain
    return texts


def _compiled(po: bytes, tag: str) -> gettext.GNUTranslations:
    """What a .po file says, for Python's gettext: compiled here, so that there is no second file to keep in step."""
    from babel.messages.mofile import write_mo  # noqa: PLC0415 - who reads English has no use for them
    from babel.messages.pofile import read_po  # noqa: PLC0415 - the same

    compiled = BytesIO()
    write_mo(compiled, read_po(BytesIO(po), locale=tag, abort_invalid=True))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)
