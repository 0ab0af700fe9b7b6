"""What each kind of mail says, in the language of its reader. Pure.

Nothing of the archive is ever in a mail: no patient, no study, no modality. Nor is a passcode; and the link and the
code for it are never in the same one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from keyhole.access.condition import ConditionName
from keyhole.access.share import Share
from keyhole.gateway.post.message import line
from keyhole.language import Language
from keyhole.sharing.condition import masked


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A mail in the order in which it is read; what is empty is left out.

    ``address`` is the link, behind ``button`` and written out below ``beside``. ``facts`` are names and values;
    ``command`` is what the sender may type. ``address`` and ``code`` are secrets.
    """

    language: str
    subject: str
    title: str
    greeting: str = ""
    opening: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    button: str = ""
    beside: str = ""
    address: str = field(default="", repr=False)
    code: str = field(default="", repr=False)
    asked: str = ""
    points: tuple[str, ...] = ()
    closing: tuple[str, ...] = ()
    command: str = ""
    footer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSite:
    """What mails say of the site: its name, and whom recipients can ask.

    ``language`` (a BCP 47 tag) is spoken where nobody has chosen one; ``colour`` is that of buttons (``#rrggbb``);
    ``names``: a mail may call the recipient as the sender does.
    """

    name: str = "Keyhole"
    contact: str | None = None
    language: str | None = None
    colour: str | None = None
    names: bool = False


@dataclass(frozen=True, slots=True)
class Voice:
    """A site that speaks to somebody, in a language."""

    site: MailSite
    language: Language

    def link(self, share: Share, address: str) -> Words:
        """The link, to the recipient."""
        _ = self.language.gettext
        return Words(
            language=self.language.tag,
            subject=_("{site}: images for you, until {day}").format(
                site=self._site, day=self.language.day(share.expires_at)
            ),
            title=_("Images for you"),
            greeting=self._greeting(share),
            opening=(
                _(
                    "{site} has shared medical images with you. They open in your browser: you need no account, and "
                    "there is nothing to install."
                ).format(site=self._site),
            ),
            button=_("Open the images"),
            beside=_("Or copy this address into your browser:"),
            address=address,
            asked=_("Before the images open you will be asked for:") if share.conditions else "",
            points=tuple(self._asked(name) for name in share.conditions.names),
            closing=(
                self._lasting(share),
                _("This link is for you alone. Please do not forward this mail: others could try to open the images."),
                _("If this mail is not meant for you, please delete it."),
                *self._contact(),
            ),
            footer=self._footer(),
        )

    def code(self, code: str, ends_at: datetime) -> Words:
        """The code for a link, to the recipient; without the link."""
        _ = self.language.gettext
        return Words(
            language=self.language.tag,
            subject=_("{site}: your code").format(site=self._site),
            title=_("Your code"),
            opening=(_("With this code you open the images that {site} has shared with you:").format(site=self._site),),
            code=code,
            closing=(
                _(
                    "It is valid for 10 minutes, until {moment}, and only in the browser in which you asked for it."
                ).format(moment=self.language.moment(ends_at)),
                _("If you did not ask for a code, please ignore this mail, and give the code to nobody."),
            ),
            footer=self._footer(),
        )

    def opened(self, share: Share) -> Words:
        """The link was opened, to the sender."""
        _ = self.language.gettext
        return Words(
            language=self.language.tag,
            subject=_("{site}: share {share} was opened").format(site=self._site, share=share.id),
            title=_("Your link was opened"),
            opening=(_("The link that you shared was opened for the first time."),),
            facts=self._facts(share),
            closing=(_("If this is not what you expected, withdraw the share; running visits end as well:"),),
            command=f"keyhole revoke {share.id}",
            footer=self._footer(),
        )

    def locked(self, share: Share) -> Words:
        """The link is locked, to the sender."""
        _ = self.language.gettext
        return Words(
            language=self.language.tag,
            subject=_("{site}: share {share} is locked").format(site=self._site, share=share.id),
            title=_("Your link is locked"),
            opening=(
                _("Too many wrong answers were given to what your link asks, so nobody can open it any more."),
                _(
                    "Whoever gave them had the link. Ask your recipient: if it was not they, somebody else has got "
                    "hold of it."
                ),
            ),
            facts=self._facts(share),
            closing=(_("Make a new link, and send it to your recipient:"),),
            command=f"keyhole renew {share.id} --new-link",
            footer=self._footer(),
        )

    def ending(self, share: Share) -> Words:
        """The share ends within a day, to the sender."""
        _ = self.language.gettext
        return Words(
            language=self.language.tag,
            subject=_("{site}: share {share} ends soon").format(site=self._site, share=share.id),
            title=_("Your share ends soon"),
            opening=(_("This share ends within a day. Its link opens nothing after that."),),
            facts=self._facts(share),
            closing=(_("To let it last longer, for example seven days from now on:"),),
            command=f"keyhole renew {share.id} --for 7d",
            footer=self._footer(),
        )

    @property
    def _site(self) -> str:
        return line(self.site.name)

    def _greeting(self, share: Share) -> str:
        _ = self.language.gettext
        named = self._recipient(share)
        return _("Hello {name},").format(name=named) if named else _("Hello,")

    def _recipient(self, share: Share) -> str:
        return line(share.recipient or "") if self.site.names else ""

    def _asked(self, name: ConditionName) -> str:
        _ = self.language.gettext
        return {
            ConditionName.PASSCODE: _("a passcode, which you get in another way"),
            ConditionName.BIRTH_DATE: _("the patient's date of birth"),
            ConditionName.MAIL_CODE: _("a code, which comes in a mail of its own when you ask for it"),
            ConditionName.TERMS: _("your consent to the terms of use"),
        }[name]

    def _lasting(self, share: Share) -> str:
        _, moment = self.language.gettext, self.language.moment
        if share.not_before is not None:
            lasts = _("The link opens from {begin} until {end}.").format(
                begin=moment(share.not_before), end=moment(share.expires_at)
            )
        else:
            lasts = _("The link opens until {end}.").format(end=moment(share.expires_at))
        if share.max_visits is None:
            return lasts
        times = self.language.ngettext(
            "It can be opened {count} time.", "It can be opened {count} times.", share.max_visits
        )
        return f"{lasts} {times.format(count=share.max_visits)}"

    def _facts(self, share: Share) -> tuple[tuple[str, str], ...]:
        _ = self.language.gettext
        facts = (
            (_("Share"), share.id),
            (_("For"), self._recipient(share)),
            (_("Address"), None if share.mail_to is None else masked(share.mail_to)),
            (_("Opened first"), self._moment(share.first_opened_at)),
            (_("Opened last"), self._moment(share.last_opened_at) if share.visits > 1 else None),
            (_("Openings"), str(share.visits) if share.visits else _("none")),
            (_("Locked"), self._moment(share.locked_at)),
            (_("Ends"), self._moment(share.expires_at)),
        )
        return tuple((name, value) for name, value in facts if value)

    def _moment(self, moment: datetime | None) -> str | None:
        return None if moment is None else self.language.moment(moment)

    def _contact(self) -> tuple[str, ...]:
        if self.site.contact is None:
            return ()
        return (self.language.gettext("Questions? {contact}").format(contact=line(self.site.contact)),)

    def _footer(self) -> str:
        return self.language.gettext("Sent automatically by {site}.").format(site=self._site)
