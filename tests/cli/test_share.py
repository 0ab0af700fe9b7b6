"""``keyhole share`` where links need a condition, and what it tells on which stream."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.transcript import KINDS, Run

STUDY, ALICES = "1.2.826.0.1.3680043.8.498.7245.3", "1.2.826.0.1.3680043.8.498.7245.1"
LINK, PASSCODE = KINDS["link"], KINDS["passcode"]


@pytest.fixture
def strict(environment: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A Keyhole as it is newly installed."""
    monkeypatch.delenv("KEYHOLE_REQUIRED_CONDITIONS")
    return monkeypatch


def test_a_link_gets_a_passcode_by_itself_told_apart_from_it(strict: pytest.MonkeyPatch, here: Run) -> None:
    done = here(["share", STUDY, "--for", "7d"], "")
    assert re.fullmatch(LINK, done.out.strip())
    made = re.search(rf"keyhole: passcode ({PASSCODE}): tell it another way than the link", done.err)
    assert made is not None
    assert made[1] not in done.out
    [share] = [json.loads(line) for line in here(["shares", "--json"], "").out.splitlines()]
    shown = here(["show", share["id"]], "").out + here(["show", share["id"], "--json"], "").out
    assert share["conditions"] == ["passcode"]
    assert made[1] not in shown + json.dumps(share)


def test_programs_find_the_passcode_in_its_own_field(strict: pytest.MonkeyPatch, here: Run) -> None:
    done = here(["share", STUDY, "--for", "7d", "--json"], "")
    made = json.loads(done.out)
    assert re.fullmatch(PASSCODE, made["passcode"])
    assert made["passcode"] not in made["link"]
    assert made["passcode"] not in done.err


def test_nothing_is_made_besides_a_condition_that_was_named(strict: pytest.MonkeyPatch, here: Run) -> None:
    made = json.loads(here(["share", STUDY, "--for", "7d", "--birth-date", "--json"], "").out)
    assert (made["conditions"], made["passcode"]) == (["birth-date"], None)


def test_terms_alone_are_not_enough(strict: pytest.MonkeyPatch, here: Run, tmp_path: Path) -> None:
    (tmp_path / "terms").mkdir()
    (tmp_path / "terms" / "en.txt").write_text("Be kind.")
    strict.setenv("KEYHOLE_TERMS", str(tmp_path / "terms"))
    made = json.loads(here(["share", STUDY, "--for", "7d", "--terms", "--json"], "").out)
    assert made["conditions"] == ["passcode", "terms"]
    assert re.fullmatch(PASSCODE, made["passcode"])


def test_what_each_link_must_have_is_asked_without_being_said(strict: pytest.MonkeyPatch, here: Run) -> None:
    strict.setenv("KEYHOLE_REQUIRED_CONDITIONS", "birth-date,passcode")
    made = json.loads(here(["share", STUDY, "--for", "7d", "--json"], "").out)
    assert made["conditions"] == ["passcode", "birth-date"]
    refused = here(["share", ALICES, STUDY, "--for", "7d"], "")
    assert (refused.status, refused.out) == (2, "")
    assert "the birth date cannot be asked for: the studies do not have the same" in refused.err
    assert re.search(r"(19|20)[0-9]{6}", refused.err) is None


def test_the_role_of_whoever_holds_the_machine_is_administrator(strict: pytest.MonkeyPatch, here: Run) -> None:
    strict.setenv("KEYHOLE_REQUIRED_CONDITIONS_OF_ROLES", "administrator=none,sharer=passcode")
    assert json.loads(here(["share", STUDY, "--for", "7d", "--json"], "").out)["conditions"] == []


def test_each_recipient_has_a_link_and_a_passcode_of_their_own(strict: pytest.MonkeyPatch, here: Run) -> None:
    people = ["--recipient", "Jane Doe <jane@example.org>", "--recipient", "Dr Roe"]
    done = here(["share", STUDY, "--for", "7d", *people], "")
    lines = [line.split("\t") for line in done.out.splitlines()]
    assert [name for name, _ in lines] == ["Jane Doe", "Dr Roe"]
    assert len({link for _, link in lines}) == 2
    told = dict(re.findall(rf"passcode for (.+) ({PASSCODE}):", done.err))
    assert set(told) == {"Jane Doe", "Dr Roe"}
    assert len(set(told.values())) == 2
    shares = [json.loads(line) for line in here(["shares", "--json"], "").out.splitlines()]
    assert {(share["recipient"], share["mail_to"]) for share in shares} == {
        ("Jane Doe", "jane@example.org"),
        ("Dr Roe", None),
    }
    assert here(["revoke", shares[0]["id"]], "").status == 0
    assert len(here(["shares", "--json"], "").out.splitlines()) == 1


def test_a_name_cannot_make_another_line_or_column(here: Run) -> None:
    people = ["--recipient", "Jane\tDoe\nDr Evil", "--recipient", "\x1b[2JRoe"]
    done = here(["share", STUDY, "--for", "7d", *people], "")
    assert len(done.out.splitlines()) == 2
    assert all(line.count("\t") == 1 for line in done.out.splitlines())
    assert "\x1b" not in done.out + done.err


@pytest.mark.parametrize(
    "words",
    [
        ["--recipient", "Jane <jane@example.org\nBcc: x@y.example>"],
        ["--recipient", "Jane <>"],
        ["--recipient", "Jane <jane>"],
        ["--mail-to", "Jane <jane@example.org>"],
        ["--mail-to", "a@example.org", "--recipient", "Jane", "--recipient", "Roe"],
        ["--mail-to", "a@example.org", "--recipient", "Jane <b@example.org>"],
        ["--notify", "s@example.org"],
        ["--mail-code"],
        ["--pictures", "--download"],
        ["--future"],
        ["--issuer", "x"],
        ["--patient", "DEMO-0001"],
        ["--priors", "some"],
        ["--paper"],
        ["--language", "tlh"],
        ["--passcode", ""],
        ["--passcode", "-"],
        ["--for", "30s"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_refused_and_nothing_is_made(words: list[str], here: Run) -> None:
    done = here(["share", STUDY, *([] if "--for" in words else ["--for", "7d"]), *words], "\n")
    assert (done.status, done.out) == (2, "")
    assert here(["shares", "--json", "--all"], "").out == ""


def test_a_usual_length_needs_no_saying(here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert here(["share", STUDY], "").status == 2
    monkeypatch.setenv("KEYHOLE_SHARE_LASTS", "3d")
    assert here(["share", STUDY], "").status == 0


def test_a_patients_studies_are_shared_and_the_patient_is_in_no_row(here: Run) -> None:
    made = json.loads(here(["share", "--patient", "DEMO-0001", "--for", "7d", "--json"], "").out)
    assert len(made["resources"]) > 1
    one = json.loads(here(["share", ALICES, "--priors", "all", "--for", "7d", "--json"], "").out)
    assert {str(node) for node in one["resources"]} == {str(node) for node in made["resources"]}
    future = json.loads(here(["share", ALICES, "--priors", "future", "--for", "7d", "--json"], "").out)
    assert [share["priors"] for share in (made, one, future)] == ["present", "present", "future"]
    said = here(["trail"], "").out + here(["trail", "--json"], "").out + here(["show", made["id"]], "").out
    assert "DEMO-0001" not in said


def test_a_share_asks_more_when_it_is_renewed(here: Run) -> None:
    made = json.loads(here(["share", STUDY, "--for", "7d", "--json"], "").out)
    assert re.search(PASSCODE, here(["renew", made["id"], "--passcode", "generate"], "").err)
    assert here(["renew", made["id"], "--birth-date"], "").status == 0
    assert here(["renew", made["id"], "--passcode", "-"], "winter garden\n").err.count("winter") == 0
    shown = json.loads(here(["show", made["id"], "--json"], "").out)
    assert shown["conditions"] == ["passcode", "birth-date"]
    assert here(["renew", made["id"], "--for", "1d"], "").status == 0, "shorter"
