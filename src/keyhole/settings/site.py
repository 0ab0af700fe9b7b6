"""The settings of how recipients see the site: its name, logo, colour and language, and whom they can ask."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from keyhole.language import LANGUAGES, language
from keyhole.settings import values
from keyhole.web.colour import checked
from keyhole.web.site import Site, read_logo


def _logo(path: Path) -> Path:
    """A file that can be shown as a logo."""
    path = values.existing_file(path)
    read_logo(path)
    return path


def _tag(text: str) -> str:
    """A language that there is."""
    if text not in LANGUAGES:
        raise ValueError(f"is none of {', '.join(LANGUAGES)}")
    return text


_Line = StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")


class SiteSettings(BaseModel):
    """What the recipients' pages say of the site."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    site_name: Annotated[str, _Line] | None = Field(
        None, description="name of the site on the recipients' pages, such as `Radiology, Example Hospital`"
    )
    site_logo: Annotated[Path, AfterValidator(_logo)] | None = Field(
        None, description="file of the site's logo, PNG or SVG, 20 KB at most"
    )
    site_colour: Annotated[str, AfterValidator(checked)] | None = Field(
        None, description="colour of buttons and links, such as `#14606b`, dark enough to be read on white"
    )
    site_language: Annotated[str, AfterValidator(_tag)] = Field(
        "en", description="language for recipients whose browser asks for none that there is"
    )
    site_contact: Annotated[str, _Line] | None = Field(
        None, description="whom recipients can ask when a link does not open, such as `+49 30 1234, Mon to Fri 8 to 16`"
    )

    def site(self) -> Site:
        """The site as its pages know it."""
        return Site(
            name=self.site_name,
            logo=None if self.site_logo is None else read_logo(self.site_logo),
            colour=self.site_colour,
            contact=self.site_contact,
            language=language(self.site_language),
        )
