"""What the site asks recipients with, as it is set."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyhole.errors import Misconfigured
from keyhole.gateway.attempts import Asking
from keyhole.settings import Settings, load_settings
from keyhole.wiring.asking import asking


def load(folder: Path, **more: str) -> Settings:
    enough = {
        "KEYHOLE_ARCHIVE": str(folder),
        "KEYHOLE_DATA": str(folder),
        "KEYHOLE_PUBLIC_URL": "https://images.hospital.test",
    }
    return load_settings({**enough, **more})


@pytest.fixture
def terms(tmp_path: Path) -> Path:
    folder = tmp_path / "terms"
    folder.mkdir()
    (folder / "en.txt").write_text("\nTell nobody.\n")
    return folder


def test_five_wrong_answers_no_terms_and_no_mail_unless_they_are_set(tmp_path: Path) -> None:
    assert asking(load(tmp_path)) == Asking(wrong_answers=5, terms=None, mail=False)


def test_what_is_set(tmp_path: Path, terms: Path) -> None:
    (terms / "de.txt").write_text("Niemandem erzählen.", encoding="utf-8")
    (terms / "tlh.txt").write_text("tugh")
    mail = {"KEYHOLE_SMTP_HOST": "mail.hospital.test", "KEYHOLE_MAIL_FROM": "images@hospital.test"}
    found = asking(load(tmp_path, KEYHOLE_WRONG_ANSWERS="3", KEYHOLE_TERMS=str(terms), **mail))
    assert (found.wrong_answers, found.mail) == (3, True)
    assert found.terms is not None
    assert found.terms.texts == {"en": "Tell nobody.", "de": "Niemandem erzählen."}


@pytest.mark.parametrize("number", ["0", "11", "-1", "many"])
def test_a_number_of_wrong_answers_that_protects_nobody_is_refused(tmp_path: Path, number: str) -> None:
    with pytest.raises(Misconfigured, match="KEYHOLE_WRONG_ANSWERS"):
        load(tmp_path, KEYHOLE_WRONG_ANSWERS=number)


def test_terms_that_nobody_could_read_are_refused(tmp_path: Path, terms: Path) -> None:
    with pytest.raises(Misconfigured, match=r"KEYHOLE_TERMS is not a folder with a file en\.txt"):
        load(tmp_path, KEYHOLE_TERMS=str(tmp_path))
    (terms / "de.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(Misconfigured, match=r"KEYHOLE_TERMS has a file de\.txt that cannot be read as UTF-8"):
        load(tmp_path, KEYHOLE_TERMS=str(terms))
    (terms / "de.txt").write_text(" \n")
    with pytest.raises(Misconfigured, match=r"KEYHOLE_TERMS has a file de\.txt without a word in it"):
        load(tmp_path, KEYHOLE_TERMS=str(terms))
