"""What the site asks recipients with, from the settings."""

from __future__ import annotations

from pathlib import Path

from keyhole.gateway.attempts import Asking
from keyhole.language import LANGUAGES
from keyhole.settings import Settings
from keyhole.sharing.condition import Terms


def asking(settings: Settings) -> Asking:
    """What *settings* say."""
    return Asking(
        wrong_answers=settings.wrong_answers,
        terms=None if settings.terms is None else _terms(settings.terms),
        mail=settings.smtp_host is not None,
    )


def _terms(folder: Path) -> Terms:
    """The terms in *folder*, read once: what is changed there holds when Keyhole has started anew."""
    files = {tag: folder / f"{tag}.txt" for tag in LANGUAGES}
    return Terms({tag: file.read_text(encoding="utf-8").strip() for tag, file in files.items() if file.is_file()})
