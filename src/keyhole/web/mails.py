"""Mails as the staff API is asked for them, as schemas."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from keyhole.web.shapes import Taken, without_null
from keyhole.web.share_shapes import Address


class NewMail(Taken):
    """Whom to mail the link of a share."""

    model_config = ConfigDict(json_schema_extra=without_null)

    to: Address | None = Field(default=None, description="the mail address; the share's `mail_to` when left out")
