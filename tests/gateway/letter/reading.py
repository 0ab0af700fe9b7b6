"""Letters and QR codes read by somebody else's libraries: PDFium, and ZXing for the codes."""

from __future__ import annotations

import re
from io import BytesIO

import pypdfium2
import typst
import zxingcpp
from PIL import Image
from pypdfium2 import raw

_SCALE = 200 / 72
"""Dots of a picture for a point of paper: what a phone's camera sees at least."""


class Page:
    """The one page of a PDF."""

    def __init__(self, content: bytes) -> None:
        self._document = pypdfium2.PdfDocument(content)
        assert len(self._document) == 1, "a letter is one page"
        self._page = self._document[0]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in points."""
        width, height = self._page.get_size()
        return round(width), round(height)

    @property
    def text(self) -> str:
        """What is on it, in one line."""
        return re.sub(r"\s+", " ", self._page.get_textpage().get_text_bounded())

    @property
    def metadata(self) -> dict[str, str]:
        return {name: value for name, value in self._document.get_metadata_dict().items() if value}

    @property
    def tagged(self) -> bool:
        """Whether it says what is a heading, a list, a picture."""
        return bool(raw.FPDFCatalog_IsTagged(self._document))

    def picture(self) -> Image.Image:
        return self._page.render(scale=_SCALE).to_pil().convert("L")

    def colours(self) -> set[tuple[int, ...]]:
        """Those that more than a few dots have."""
        picture = self._page.render(scale=_SCALE).to_pil().convert("RGB")
        return {colour for count, colour in picture.getcolors(1 << 20) if count > 100}  # type: ignore[union-attr,misc]

    def collisions(self) -> list[tuple[str, str]]:
        """Texts that are printed on one another."""
        page = self._page.get_textpage()
        boxes = [page.get_rect(number) for number in range(page.count_rects())]

        def inner(box: tuple[float, ...]) -> tuple[float, ...]:
            left, bottom, right, top = box
            third = (top - bottom) / 3
            return left + 1, bottom + third, right - 1, top - third

        def meet(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
            return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]

        return [
            (page.get_text_bounded(*one), page.get_text_bounded(*other))
            for number, one in enumerate(boxes)
            for other in boxes[number + 1 :]
            if meet(inner(one), inner(other))
        ]

    def overflows(self) -> bool:
        """Whether anything is printed in the outer 10 mm."""
        margin, picture = round(10 / 25.4 * 72 * _SCALE), self.picture()
        inner = picture.crop((margin, margin, picture.width - margin, picture.height - margin))
        edge = picture.copy()
        edge.paste(255, (margin, margin, margin + inner.width, margin + inner.height))
        return min(edge.getextrema()) < 250  # type: ignore[operator]


def scanned(picture: Image.Image) -> zxingcpp.Barcode:
    """The one QR code in *picture*."""
    [found] = zxingcpp.read_barcodes(picture)
    assert found.format == zxingcpp.BarcodeFormat.QRCode
    return found


def drawn(svg: bytes) -> Image.Image:
    """An SVG as a picture."""
    document = b"#set page(width: auto, height: auto, margin: 0pt)\n#image(bytes(sys.inputs.svg), width: 200pt)"
    png = typst.Compiler(document, sys_inputs={"svg": svg.decode()}).compile(format="png")
    assert isinstance(png, bytes)
    return Image.open(BytesIO(png)).convert("L")
