"""The letter as its reader gets it: printed, read back, scanned."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO

import pytest
from PIL import Image

from keyhole.access.condition import NO_CONDITIONS, Conditions
from keyhole.access.resource import Resource
from keyhole.access.share import Share, ShareKind
from keyhole.errors import Refused
from keyhole.gateway.letter.content import Letterhead, Paper, letter
from keyhole.gateway.letter.pdf import pdf
from keyhole.gateway.letter.qr import Picture, qr_code
from keyhole.language import LANGUAGES, language
from keyhole.sharing.link import KeyRing, link
from keyhole.sharing.paper import grouped, paper_code
from tests.gateway.letter.reading import Page, drawn, scanned

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RING = KeyRing.new()
PUBLIC = "https://images.example.org"
HASH = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA"
EVERYTHING = Conditions(passcode=HASH, birth_date=b"digest", mail_code=True, terms=True)
SHARE = Share(
    id="abcdefghijklmnop",
    archive="main",
    resources=(Resource.of("main", "1.2.840.99.1"),),
    kind=ShareKind.VIEW,
    creator="user:anna",
    created_at=NOW,
    expires_at=NOW + timedelta(days=7),
    key_id=RING.current,
    recipient="Jörg Müller",
    note="CT Thorax",
    conditions=EVERYTHING,
    mail_to="joerg@example.org",
    max_visits=3,
)
CODE = grouped(paper_code(RING, SHARE.key_id, SHARE.id, 1))
SIZES = {Paper.A4: (595, 842), Paper.LETTER: (612, 792)}
LONG = "Dr. Bartholomew Featherstonehaugh-Cholmondeley, Department of Radiology, " * 13


def printed(
    share: Share = SHARE,
    tag: str = "en",
    paper: Paper = Paper.A4,
    head: Letterhead = Letterhead("Klinik am Fluß"),  # noqa: B008 - a value
    public: str = PUBLIC,
) -> Page:
    text = letter(
        share,
        link=link(public, share, RING),
        code=CODE,
        address=f"{public.removeprefix('https://')}/c",
        head=head,
        speech=language(tag),
    )
    return Page(pdf(text, paper, head))


@pytest.mark.parametrize("tag", LANGUAGES)
@pytest.mark.parametrize("paper", Paper)
class TestEveryLetter:
    def test_is_one_page_of_its_size(self, tag: str, paper: Paper) -> None:
        page = printed(replace(SHARE, recipient=LONG), tag, paper)
        assert page.size == SIZES[paper]
        assert not page.overflows()

    def test_has_room_for_everything_at_its_longest(self, tag: str, paper: Paper) -> None:
        logo = (
            b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 1"><rect width="9" height="1" fill="#b00"/></svg>'
        )
        head = Letterhead("Klinik für Radiologie " * 9, logo, contact="+49 30 1234 56 78, Montag bis Freitag " * 5)
        share = replace(SHARE, recipient="W" * 1000, not_before=NOW + timedelta(days=1), max_visits=1)
        page = printed(share, tag, paper, head, f"https://{'images.' * 8}example.org")
        assert CODE in page.text
        assert not page.overflows()
        assert not page.collisions()

    def test_prints_nothing_on_top_of_another(self, tag: str, paper: Paper) -> None:
        assert not printed(tag=tag, paper=paper).collisions()

    def test_says_where_to_go_what_to_type_and_until_when(self, tag: str, paper: Paper) -> None:
        text = printed(tag=tag, paper=paper).text
        assert "images.example.org/c" in text
        assert CODE in text
        assert language(tag).moment(SHARE.expires_at) in text
        assert "Jörg Müller" in text
        assert "Klinik am Fluß" in text

    def test_shows_a_code_that_a_camera_reads_as_the_whole_link(self, tag: str, paper: Paper) -> None:
        assert scanned(printed(tag=tag, paper=paper).picture()).text == link(PUBLIC, SHARE, RING)

    def test_says_all_of_it_in_its_language(self, tag: str, paper: Paper) -> None:
        words = set(printed(tag=tag, paper=paper).text.split())
        assert bool(words & {"With", "the", "Please", "You"}) is (tag == "en")


class TestWhatIsNotInALetter:
    def test_no_secret_and_nobody_is_in_its_properties(self) -> None:
        assert set(printed().metadata.values()) <= {"Medical images for you", "Klinik am Fluß", "Typst 0.15.0"}

    def test_neither_what_is_asked_nor_what_is_shared(self) -> None:
        text = printed().text
        for hidden in ("1.2.840", "Thorax", "abcdefghijklmnop", HASH, "joerg@", "anna", "main"):
            assert hidden not in text

    def test_nobody_is_named_whom_the_sender_did_not_name(self) -> None:
        assert "Müller" not in printed(replace(SHARE, recipient=None)).text

    def test_the_link_is_in_its_picture_alone(self) -> None:
        assert link(PUBLIC, SHARE, RING).partition("#")[2] not in printed().text

    def test_neither_the_link_nor_the_code_shows_itself_where_values_are_printed(self) -> None:
        text = letter(
            SHARE, link="secret-link", code="secret-code", address="a/c", head=Letterhead(), speech=language("en")
        )
        assert "secret" not in repr(text)


class TestConditions:
    @pytest.mark.parametrize(
        ("conditions", "said"),
        [
            (Conditions(passcode=HASH), {"passcode"}),
            (Conditions(birth_date=b"digest"), {"birth date"}),
            (Conditions(birth_date=b"digest", mail_code=True), {"birth date", "e-mail"}),
            (EVERYTHING, {"passcode", "birth date", "e-mail", "terms of use"}),
            (NO_CONDITIONS, set()),
        ],
    )
    def test_what_is_needed_is_said_and_nothing_else(self, conditions: Conditions, said: set[str]) -> None:
        text = printed(replace(SHARE, conditions=conditions)).text
        assert {word for word in ("passcode", "birth date", "e-mail", "terms of use") if word in text} == said

    @pytest.mark.parametrize(("visits", "said"), [(1, "opened once"), (3, "opened 3 times"), (None, None)])
    def test_how_often_it_opens_is_said_where_that_is_limited(self, visits: int | None, said: str | None) -> None:
        text = printed(replace(SHARE, max_visits=visits)).text
        assert said in text if said else "opened" not in text

    def test_a_start_to_come_is_said(self) -> None:
        share = replace(SHARE, not_before=NOW + timedelta(days=1))
        assert "from 2 March 2026, 12:00 UTC until 8 March 2026, 12:00 UTC" in printed(share).text


class TestNames:
    @pytest.mark.parametrize("name", ["Łukasz Żółć", "Ελένη Παπαδοπούλου", "Пётр Ильич", "Nguyễn Văn Hải", "Ğül Şahin"])
    def test_of_many_scripts_are_printed(self, name: str) -> None:
        assert name in printed(replace(SHARE, recipient=name)).text

    def test_that_no_font_can_draw_are_left_out_and_the_letter_is_printed(self) -> None:
        page = printed(replace(SHARE, recipient="\U00013000\U00013001"))
        assert page.tagged
        assert CODE in page.text

    def test_that_are_long_are_cut(self) -> None:
        assert "…" in printed(replace(SHARE, recipient=LONG)).text

    def test_of_one_endless_word_stay_on_the_paper(self) -> None:
        assert not printed(replace(SHARE, recipient="W" * 1000)).overflows()

    @pytest.mark.parametrize("name", ['#panic("markup")', "= Heading", "$x^2$ *bold* `raw` \\ @label <label> // gone"])
    def test_are_never_read_as_markup(self, name: str) -> None:
        assert name in printed(replace(SHARE, recipient=name)).text

    def test_on_several_lines_take_one(self) -> None:
        assert "Dr. Anna Weber Haus 5" in printed(replace(SHARE, recipient="Dr. Anna Weber\n\t\nHaus 5")).text


class TestHead:
    @pytest.mark.parametrize("kind", ["png", "svg"])
    def test_a_logo_is_printed_and_what_is_said_for_it_is_the_site_s_name(self, kind: str) -> None:
        picture = BytesIO()
        Image.new("RGB", (300, 100), "#b00").save(picture, "png")
        svg = (
            b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 3 1"><rect width="3" height="1" fill="#b00"/></svg>'
        )
        page = printed(head=Letterhead("Clinic", svg if kind == "svg" else picture.getvalue()))
        assert page.tagged
        assert page.picture().getpixel((200, 170)) != 255
        assert "Clinic" in page.text

    def test_a_logo_needs_no_name(self) -> None:
        svg = (
            b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><rect width="1" height="1" fill="#b00"/></svg>'
        )
        page = printed(head=Letterhead(logo=svg))
        assert page.tagged
        assert (0xBB, 0, 0) in page.colours()

    def test_a_logo_that_cannot_be_drawn_is_left_out(self) -> None:
        page = printed(head=Letterhead("Clinic", b"<svg>this is no picture"))
        assert page.tagged
        assert "Jörg Müller" in page.text

    def test_its_colour_is_that_of_the_site(self) -> None:
        assert printed(head=Letterhead(colour="#8a1538")).colours() - printed().colours() >= {(0x8A, 0x15, 0x38)}

    def test_a_site_whose_name_no_font_can_draw_is_told(self) -> None:
        with pytest.raises(Refused, match="no font"):
            printed(head=Letterhead("\U00013000"))

    def test_whom_to_ask_is_at_the_foot(self) -> None:
        assert "Questions? +49 30 1234" in printed(head=Letterhead(contact="+49 30 1234")).text
        assert "Questions" not in printed().text

    def test_without_a_name_there_is_none(self) -> None:
        assert printed(head=Letterhead()).text.startswith("Jörg Müller")

    def test_it_can_be_read_aloud(self) -> None:
        assert printed().tagged

    def test_a_host_with_a_long_name_can_still_be_typed_from_one_line(self) -> None:
        host = "images.radiology.university-hospital-of-the-northern-territories.example.org"
        page = printed(public=f"https://{host}")
        assert f"{host}/c" in page.text
        assert not page.overflows()


class TestQrCodes:
    LINK = link(PUBLIC, SHARE, RING)

    def test_a_png_is_read_back(self) -> None:
        picture = qr_code(self.LINK, Picture.PNG)
        found = scanned(Image.open(BytesIO(picture)).convert("L"))
        assert (found.text, found.ec_level) == (self.LINK, "M")

    def test_an_svg_is_read_back(self) -> None:
        found = scanned(drawn(qr_code(self.LINK, Picture.SVG)))
        assert (found.text, found.ec_level) == (self.LINK, "M")

    def test_dirt_on_it_does_no_harm(self) -> None:
        picture = Image.open(BytesIO(qr_code(self.LINK, Picture.PNG))).convert("L")
        picture.paste(0, (picture.width // 2, picture.height // 2, picture.width // 2 + 60, picture.height // 2 + 60))
        assert scanned(picture).text == self.LINK

    def test_an_svg_holds_the_link_as_a_picture_only_and_nothing_that_runs(self) -> None:
        svg = qr_code(self.LINK, Picture.SVG)
        assert SHARE.id.encode() not in svg
        assert b"<script" not in svg
        assert b"xlink" not in svg
