"""Bring the catalogues in step with the code: `make messages`, and `--check` says what is not.

Every text that is shown to recipients is found where it stands, `_("…")`, `gettext` or `ngettext` in Python and in
templates; scripts have no texts of their own, the pages hand them over. What is new is added, to be translated; what is
gone is dropped. Nothing is guessed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from io import BytesIO
from pathlib import Path

from babel.core import Locale
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.plurals import get_plural
from babel.messages.pofile import read_po, write_po

from keyhole.language import LANGUAGES

PACKAGE = Path(__file__).parents[1] / "src" / "keyhole"
CATALOGUES = PACKAGE / "language"
DOMAINS = {
    "pictures": ("*picture*",),
    "letter": ("*letter*", "*paper*"),
    "mail": ("*mail*", "gateway/post/*"),
    "pages": ("web/*",),
}
"""Where the texts of each domain stand, below the package; the first pattern that fits a file has it."""

_TRANSLATED = tuple(tag for tag in LANGUAGES if tag != "en")
_KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2)}
_METHODS = {".py": "python", ".html": "jinja2", ".txt": "jinja2"}
_OPTIONS = {
    "python": {},
    # As the templates are read, or the texts would differ in their spaces.
    "jinja2": {"trimmed": "true", "trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"},
}
_IN_PYTHON = re.compile(r"keyhole\.language import|\.n?gettext\(")
_PLACEHOLDER = re.compile(r"%(?:\((\w+)\))?[a-z]|%%|\{\w*\}")


def domain_of(name: str) -> str | None:
    """The domain that has the texts of the file *name*, a path below the package; None for none."""
    return next((domain for domain, fits in DOMAINS.items() if any(fnmatch(name, each) for each in fits)), None)


def extracted(domain: str) -> Catalog:
    """The texts of *domain* as they stand in the code."""
    catalogue = Catalog(domain=domain, fuzzy=False)
    for file in sorted(PACKAGE.rglob("*")):
        name = file.relative_to(PACKAGE).as_posix()
        if file.suffix in _METHODS and not name.startswith("language/") and domain_of(name) == domain:
            for text in _texts(file):
                catalogue.add(text, locations=[(name, 0)])
    return catalogue


def _texts(file: Path) -> Iterator[str | tuple[str, ...]]:
    content = file.read_bytes()
    method = _METHODS[file.suffix]
    if method == "python" and not _IN_PYTHON.search(content.decode()):
        return
    for _, text, _, _ in extract(method, BytesIO(content), keywords=_KEYWORDS, options=_OPTIONS[method]):
        yield text


def translated(tag: str, domain: str) -> Catalog:
    """What is translated of *domain* into the language *tag*."""
    file = CATALOGUES / tag / f"{domain}.po"
    return read_po(BytesIO(file.read_bytes() if file.is_file() else b""), locale=tag, domain=domain)


def brought_up(tag: str, domain: str) -> bytes:
    """The .po file with exactly the texts of the code, those that are translated with their translation."""
    said, result = translated(tag, domain), Catalog(fuzzy=False)
    for message in extracted(domain):
        if message.id:
            known = said.get(message.id)
            same = known is not None and known.id == message.id
            result.add(message.id, known.string if known and same else None, locations=message.locations)
    return _header(tag).encode() + _written(result)


def _header(tag: str) -> str:
    return (
        f'# {Locale.parse(tag).english_name}. Kept in step with the code by `make messages`.\nmsgid ""\nmsgstr ""\n'
        f'"Language: {tag}\\n"\n"Content-Type: text/plain; charset=utf-8\\n"\n'
        f'"Plural-Forms: {get_plural(tag).plural_forms}\\n"\n\n'
    )


def _written(catalogue: Catalog) -> bytes:
    file = BytesIO()
    write_po(file, catalogue, width=110, omit_header=True, include_lineno=False)
    return file.getvalue()


def complaints(tag: str, domain: str) -> Iterator[str]:
    """What is not in order in one .po file, one line each."""
    said = translated(tag, domain)
    found = {_key(message) for message in extracted(domain) if message.id}
    for message in said:
        if message.id and _key(message) not in found:
            yield f"no longer said: {message.id!r}"
    for key in sorted(found - {_key(message) for message in said}, key=str):
        yield f"missing: {key!r}"
    for message in said:
        if message.id:
            yield from _complaints(message, said.num_plurals)


def _complaints(message: Message, plurals: int) -> Iterator[str]:
    given = message.string if isinstance(message.string, tuple | list) else (message.string,)
    originals = message.id if isinstance(message.id, tuple | list) else (message.id,)
    if message.fuzzy:
        yield f"fuzzy: {message.id!r}"
    if not all(given) or (message.pluralizable and len(given) != plurals):
        yield f"not translated: {message.id!r}"
    elif any(placeholders(text) != placeholders(originals[-1]) for text in given[-1:]) or any(
        not placeholders(text) <= placeholders(originals[-1]) for text in given
    ):
        yield f"other placeholders: {message.id!r}"


def placeholders(text: str) -> frozenset[str]:
    """The names and places in *text* that are filled in when it is shown."""
    return frozenset(match[0] for match in _PLACEHOLDER.finditer(text))


def _key(message: Message) -> str | tuple[str, ...]:
    return tuple(message.id) if isinstance(message.id, tuple | list) else message.id


def main() -> int:
    """Write every catalogue anew, or only say what is wrong."""
    files = [(tag, domain) for tag in _TRANSLATED for domain in DOMAINS if any(m.id for m in extracted(domain))]
    if "--check" not in sys.argv[1:]:
        for tag, domain in files:
            file = CATALOGUES / tag / f"{domain}.po"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(brought_up(tag, domain))
    wrong = [f"{tag}/{domain}.po: {line}" for tag, domain in files for line in complaints(tag, domain)]
    print(*wrong, f"{len(wrong)} texts to look at" if wrong else "every text is there in every language", sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
