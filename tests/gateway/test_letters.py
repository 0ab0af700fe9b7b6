"""Letters and QR codes at the desk: who may have them, what is on the trail, and what would open nothing."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from keyhole.access.condition import Conditions
from keyhole.access.decision import Event, Reason
from keyhole.access.share import Share, ShareChange
from keyhole.errors import Refused
from keyhole.gateway.desk import NotAllowed, NotFound
from keyhole.gateway.letter.content import Letterhead, Paper
from keyhole.gateway.letter.qr import Picture
from keyhole.gateway.letters import Letters
from keyhole.language import language
from keyhole.sharing.link import new_id
from keyhole.sharing.paper import grouped, paper_code, paper_digest
from tests.gateway.gate import DAY, HERE, HOUR, OPERATOR, Gate, staff
from tests.gateway.letter.reading import Page, scanned

PIN = Conditions(passcode="$argon2id$")


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def letters(gate: Gate) -> Letters:
    return Letters(gate.desk, Letterhead("Clinic", language=language("es")))


async def shared(gate: Gate, **more: Any) -> Share:
    name = new_id()
    values = {"conditions": PIN, "paper": paper_digest(gate.ring, gate.ring.current, name, 1)}
    return await gate.share(id=name, **{**values, **more})


async def test_a_qr_code_is_the_link(gate: Gate, letters: Letters) -> None:
    share = await shared(gate)
    picture = await letters.qr(OPERATOR, share.id, Picture.PNG, HERE)
    assert scanned(Image.open(BytesIO(picture)).convert("L")).text == gate.desk.link(share)


async def test_a_letter_holds_code_and_link(gate: Gate, letters: Letters) -> None:
    share = await shared(gate)
    page = Page(await letters.letter(OPERATOR, share.id, Paper.A4, "en", HERE))
    assert grouped(paper_code(gate.ring, share.key_id, share.id, 1)) in page.text
    assert "images.example.org/c" in page.text
    assert scanned(page.picture()).text == gate.desk.link(share)


@pytest.mark.parametrize(
    ("asked", "of_the_share", "title"),
    [
        ("de", "fr", "Medizinische Bilder für Sie"),
        (None, "fr", "Des images médicales pour vous"),
        (None, None, "Imágenes médicas para usted"),
    ],
)
async def test_a_letter_is_in_the_language_asked_for_or_the_recipient_s_or_the_site_s(
    gate: Gate, letters: Letters, asked: str | None, of_the_share: str | None, title: str
) -> None:
    share = await shared(gate, language=of_the_share)
    assert title in Page(await letters.letter(OPERATOR, share.id, Paper.A4, asked)).text


async def test_a_letter_can_be_printed_again_and_is_the_same(gate: Gate, letters: Letters) -> None:
    share = await shared(gate)
    first = await letters.letter(OPERATOR, share.id, Paper.LETTER)
    assert await letters.letter(OPERATOR, share.id, Paper.LETTER) == first


async def test_a_new_link_has_another_letter(gate: Gate, letters: Letters) -> None:
    share = await shared(gate)
    first = Page(await letters.letter(OPERATOR, share.id, Paper.A4))
    changed = await gate.desk.change_share(OPERATOR, share.id, gate.desk.new_link())
    second = Page(await letters.letter(OPERATOR, share.id, Paper.A4))
    assert scanned(second.picture()).text == gate.desk.link(changed) != scanned(first.picture()).text
    assert grouped(paper_code(gate.ring, changed.key_id, changed.id, 2)) in second.text
    assert grouped(paper_code(gate.ring, share.key_id, share.id, 1)) not in second.text


async def test_both_are_on_the_trail_as_the_showing_of_the_link(gate: Gate, letters: Letters) -> None:
    share = await shared(gate)
    await letters.qr(OPERATOR, share.id, Picture.SVG, HERE)
    await letters.letter(OPERATOR, share.id, Paper.A4, None, HERE)
    rows = await gate.trail(Event.LINK_SHOWN)
    assert sorted(row.detail["form"] for row in rows) == ["letter", "qr"]
    assert {(row.share, row.subject, row.personal["address"]) for row in rows} == {
        (share.id, OPERATOR.name, HERE.address)
    }


async def test_whoever_may_not_be_shown_the_link_gets_neither(gate: Gate, letters: Letters) -> None:
    share = await shared(gate)
    for subject in (staff("reader"), staff("uploader"), staff()):
        with pytest.raises((NotAllowed, NotFound)):
            await letters.qr(subject, share.id, Picture.PNG)
        with pytest.raises((NotAllowed, NotFound)):
            await letters.letter(subject, share.id, Paper.A4)
    assert not await gate.trail(Event.LINK_SHOWN)
    assert {row.reason for row in await gate.trail(Event.REFUSAL)} == {Reason.NO_GRANT}


async def test_nothing_is_printed_that_is_not_on_record(gate: Gate, letters: Letters) -> None:
    share = await shared(gate)
    gate.store.lost = lost = OSError("gone")
    for printed in (letters.qr(OPERATOR, share.id, Picture.PNG), letters.letter(OPERATOR, share.id, Paper.A4)):
        with pytest.raises(OSError, match="gone") as told:
            await printed
        assert told.value is lost


class TestLettersThatWouldOpenNothing:
    async def refused(self, letters: Letters, share: Share, words: str) -> None:
        with pytest.raises(Refused, match=words):
            await letters.letter(OPERATOR, share.id, Paper.A4)

    async def test_without_a_code_there_is_none(self, gate: Gate, letters: Letters) -> None:
        await self.refused(letters, await shared(gate, paper=None), "no code for paper")
        assert not await gate.trail(Event.LINK_SHOWN)

    async def test_of_a_share_that_was_withdrawn(self, gate: Gate, letters: Letters) -> None:
        share = await shared(gate)
        await gate.desk.change_share(OPERATOR, share.id, ShareChange(withdrawn_at=gate.now))
        await self.refused(letters, share, "withdrawn")

    async def test_of_a_share_that_has_ended(self, gate: Gate, letters: Letters) -> None:
        share = await shared(gate, expires_at=gate.now + HOUR)
        gate.after(HOUR)
        await self.refused(letters, share, "ended")

    async def test_of_a_share_that_is_locked(self, gate: Gate, letters: Letters) -> None:
        await self.refused(letters, await shared(gate, locked_at=gate.now), "locked")

    async def test_of_a_share_that_was_opened_as_often_as_it_may_be(self, gate: Gate, letters: Letters) -> None:
        await self.refused(letters, await shared(gate, max_visits=1, visits=1), "as often")

    async def test_one_that_opens_later_is_printed(self, gate: Gate, letters: Letters) -> None:
        share = await shared(gate, not_before=gate.now + DAY)
        assert Page(await letters.letter(OPERATOR, share.id, Paper.A4)).tagged

    async def test_in_a_language_that_there_is_not(self, gate: Gate, letters: Letters) -> None:
        share = await shared(gate)
        with pytest.raises(Refused, match="no letters in that language"):
            await letters.letter(OPERATOR, share.id, Paper.A4, "tlh")
