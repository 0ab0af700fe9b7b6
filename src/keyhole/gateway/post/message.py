"""Mail as a message: text and HTML of the same, to one recipient, with no header but those named here."""

from __future__ import annotations

import re
from email.message import EmailMessage

LINE_LONGEST = 200
"""Characters of a name or a subject."""

_NOT_IN_A_LINE = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # controls: a line feed would begin a header
    "\u2028\u2029"  # separators of lines and paragraphs
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff"  # what turns the direction of reading
    "\ud800-\udfff"  # halves of characters, which cannot be written
    "]+"
)


def line(text: str) -> str:
    """*text* as one line that a header can hold, cut to :data:`LINE_LONGEST`.

    What looks like an encoded word (RFC 2047) is broken up: a header decodes what it is given, line feeds and all.
    """
    return _NOT_IN_A_LINE.sub(" ", text).replace("=?", "= ?").strip()[:LINE_LONGEST]


def message(*, sender: str, reply_to: str | None, to: str, subject: str, text: str, html: str) -> EmailMessage:
    """A mail from *sender*, a mailbox as the settings check it, to the checked address *to*.

    It says that a program wrote it (RFC 3834), so that no other program answers. Everything in it is ASCII on its
    way: not every server takes eight bits.
    """
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = to
    mail["Subject"] = line(subject)
    if reply_to is not None:
        mail["Reply-To"] = reply_to
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text, cte="quoted-printable")
    mail.add_alternative(html, subtype="html", cte="quoted-printable")
    return mail
