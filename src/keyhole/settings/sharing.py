"""The settings of what recipients must show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from keyhole.settings import values


class SharingSettings(BaseModel):
    """What is asked before a link opens."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    wrong_answers: int = Field(
        5, ge=1, le=10, description="wrong answers to what a link asks, in its whole life, before it is locked"
    )
    terms: Annotated[Path, AfterValidator(values.terms)] | None = Field(
        None,
        description="folder of the terms that recipients accept: `en.txt`, and `fr.txt`, `de.txt`, `es.txt` if wanted",
    )
