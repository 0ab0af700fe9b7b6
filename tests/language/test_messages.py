"""The catalogues hold exactly what is said, all of it, in every language."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from keyhole.language import LANGUAGES, language

SCRIPT = Path(__file__).parents[2] / "scripts" / "messages.py"


@pytest.fixture(scope="module")
def messages() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("messages", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


DOMAINS = ("pages", "pictures", "letter", "mail")
CATALOGUES = [(tag, domain) for tag in LANGUAGES if tag != "en" for domain in DOMAINS]


def test_every_catalogue_is_of_a_domain_and_a_language(messages: ModuleType) -> None:
    found = {(file.parent.name, file.stem) for file in messages.CATALOGUES.rglob("*.po")}
    assert set(messages.DOMAINS) == set(DOMAINS)
    assert found <= set(CATALOGUES)


@pytest.mark.parametrize(("tag", "domain"), CATALOGUES)
def test_no_text_is_missing_in_any_language_and_none_is_left_over(messages: ModuleType, tag: str, domain: str) -> None:
    assert list(messages.complaints(tag, domain)) == []


@pytest.mark.parametrize(("tag", "domain"), CATALOGUES)
def test_the_files_are_as_make_messages_writes_them(messages: ModuleType, tag: str, domain: str) -> None:
    file = messages.CATALOGUES / tag / f"{domain}.po"
    if file.is_file() or any(message.id for message in messages.extracted(domain)):
        assert file.read_bytes() == messages.brought_up(tag, domain)


def test_one_english_text_is_one_text_in_every_domain(messages: ModuleType) -> None:
    for tag in LANGUAGES[1:]:
        said: dict[object, object] = {}
        for domain in DOMAINS:
            for message in messages.translated(tag, domain):
                if message.id:
                    assert said.setdefault(message.id, message.string) == message.string


@pytest.fixture
def package(tmp_path: Path, messages: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that says two things, translated into German."""
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "page.html").write_text(
        "{{ _('Hello, %(name)s', name=x) }}{% trans n=n %}a{% pluralize %}b{% endtrans %}"
    )
    (tmp_path / "web" / "words.py").write_text("from keyhole.language import later as _\n_('Bye')\n")
    (tmp_path / "web" / "other.py").write_text("_('not for people')\n")
    monkeypatch.setattr(messages, "PACKAGE", tmp_path)
    monkeypatch.setattr(messages, "CATALOGUES", tmp_path / "language")
    (tmp_path / "language" / "de").mkdir(parents=True)
    return tmp_path


def test_what_is_new_is_added_and_what_is_translated_stays(messages: ModuleType, package: Path) -> None:
    file = package / "language" / "de" / "pages.po"
    file.write_bytes(messages.brought_up("de", "pages"))
    assert sorted(line.partition(":")[0] for line in messages.complaints("de", "pages")) == ["not translated"] * 3
    said = file.read_text().replace('"Bye"\nmsgstr ""', '"Bye"\nmsgstr "Tschüss"')
    file.write_text(said + '\nmsgid "gone"\nmsgstr "weg"\n')
    again = messages.brought_up("de", "pages").decode()
    assert "Tschüss" in again
    assert "weg" not in again


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ('msgid "Bye"\nmsgstr "Tschüss"\n', None),
        ('msgid "Bye"\nmsgstr ""\n', "not translated: 'Bye'"),
        ('#, fuzzy\nmsgid "Bye"\nmsgstr "Tschüss"\n', "fuzzy: 'Bye'"),
        ('msgid "gone"\nmsgstr "weg"\n', "no longer said: 'gone'"),
        ('msgid "Hello, %(name)s"\nmsgstr "Hallo, %(nom)s"\n', "other placeholders: 'Hello, %(name)s'"),
        ('msgid "Hello, %(name)s"\nmsgstr "Hallo"\n', "other placeholders: 'Hello, %(name)s'"),
        ('msgid "a"\nmsgid_plural "b"\nmsgstr[0] "x"\nmsgstr[1] ""\n', "not translated: ('a', 'b')"),
    ],
)
def test_what_is_not_in_order_is_told(messages: ModuleType, package: Path, entry: str, complaint: str | None) -> None:
    (package / "language" / "de" / "pages.po").write_text(messages._header("de") + entry)
    told = [line for line in messages.complaints("de", "pages") if not line.startswith("missing")]
    assert told == ([] if complaint is None else [complaint])


def test_texts_are_those_of_the_language(messages: ModuleType) -> None:
    for tag in LANGUAGES[1:]:
        for message in messages.translated(tag, "pages"):
            if isinstance(message.id, str) and message.id:
                assert language(tag).gettext(message.id) == message.string
