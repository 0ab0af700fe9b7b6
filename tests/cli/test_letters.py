"""Letters and QR codes from the command line: files that are read back."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.transcript import Run
from tests.gateway.letter.reading import Page, drawn, scanned

STUDY = "1.2.826.0.1.3680043.8.498.7245.4"


@pytest.fixture
def link(here: Run) -> str:
    """The link of a share that can be opened from paper."""
    made = here(["share", STUDY, "--for", "7d", "--paper", "--passcode", "plum Otter 17", "--language", "de"], "")
    assert made.status == 0, made.err
    return made.out.strip()


def test_a_letter_is_written_for_its_owner_alone(here: Run, link: str, tmp_path: Path) -> None:
    file = tmp_path / "letter.pdf"
    share = link.partition("#")[0].rpartition("/")[2]
    assert here(["letter", share, "--output", str(file)], "").status == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    page = Page(file.read_bytes())
    assert "Medizinische Bilder für Sie" in page.text
    assert "http://127.0.0.1:8000/c" in page.text
    assert "plum" not in page.text
    assert scanned(page.picture()).text == link


def test_a_file_that_others_could_read_is_its_owners_alone_once_a_link_is_in_it(
    here: Run, link: str, tmp_path: Path
) -> None:
    file = tmp_path / "letter.pdf"
    file.write_text("of last week")
    file.chmod(0o644)
    share = link.partition("#")[0].rpartition("/")[2]
    assert here(["letter", share, "--output", str(file)], "").status == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("name", ["code.png", "CODE.PNG", "code.svg"])
def test_a_qr_code_is_written_in_the_form_that_its_name_says(here: Run, link: str, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    share = link.partition("#")[0].rpartition("/")[2]
    assert here(["qr", share, "--output", str(file)], "").status == 0
    picture = drawn(file.read_bytes()) if name.endswith("svg") else Image.open(file).convert("L")
    assert scanned(picture).text == link
