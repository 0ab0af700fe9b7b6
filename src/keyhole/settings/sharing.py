"""The settings of what recipients must show."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from keyhole.gateway.policy import Required
from keyhole.settings import values

_Required = Annotated[Required, BeforeValidator(values.required)]
_OfRoles = Annotated[Mapping[str, _Required], BeforeValidator(values.pairs), AfterValidator(values.of_roles)]


class SharingSettings(BaseModel):
    """What is asked before a link opens."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    required_conditions: _Required = Field(
        Required(any_one=True),
        description="conditions that each link must have: `any` (at least one of `passcode`, `birth-date` and"
        " `mail-code`), `none`, or a list of names, `terms` among them",
    )
    required_conditions_of_roles: _OfRoles = Field(
        {},
        description="the same by the sender's role, a table of the TOML file or `ROLE=passcode+terms,ROLE=any`; of"
        " several roles the strictest counts",
    )
    share_lasts: Annotated[timedelta, BeforeValidator(values.duration)] | None = Field(
        None, gt=timedelta(0), description="how long a share lasts of which nobody says so; without, somebody must"
    )
    most_visits: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="how often any share can be opened at most; without, senders may leave it open",
    )
    notify: Annotated[str, AfterValidator(values.mail_address)] | None = Field(
        None, description="mail address that is told what happens to links whose sender names nobody to be told"
    )
    wrong_answers: int = Field(
        5, ge=1, le=10, description="wrong answers to what a link asks, in its whole life, before it is locked"
    )
    terms: Annotated[Path, AfterValidator(values.terms)] | None = Field(
        None,
        description="folder of the terms that recipients accept: `en.txt`, and `fr.txt`, `de.txt`, `es.txt` if wanted",
    )
