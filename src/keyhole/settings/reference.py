"""The reference page of the settings, written from their own help: ``python -m keyhole.settings.reference``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from keyhole.settings.frames import FrameSettings
from keyhole.settings.mail import MailSettings
from keyhole.settings.model import ArchiveSettings, Settings
from keyhole.settings.oidc import OidcSettings
from keyhole.settings.plugin import PluginCaller, PluginSettings
from keyhole.settings.sharing import SharingSettings
from keyhole.settings.site import SiteSettings
from keyhole.settings.sources import PREFIX, TABLES, is_secret

_HEAD = """# Settings

From strongest to weakest: options of the command line, variables of the environment, a TOML file (`--config` or
`KEYHOLE_CONFIG`), the default. An empty variable is one that is not set. In the TOML file a setting has its name
without `KEYHOLE_`, in lower case. A secret may also be given as the name of a file that holds it, with `_FILE` (in
TOML `_file`) behind its name. Every problem is told at once, and nothing is served until there is none.

Durations are written `30d`, `12h` or `30m`; lists with commas (in TOML as lists); yes and no as `yes` and `no` (in
TOML `true` and `false`).
"""
_ARCHIVES = """
## More archives

Each is a table `[archives.NAME]` in the TOML file, where NAME stands in shares and on the trail.
"""
_PLUGIN = """
## For Orthanc's Authorization plugin and Explorer 2

[How to answer them](../orthanc-plugin.md).
"""
_CALLERS = """
Each of `plugin_callers` is a table `[plugin_callers.NAME]` in the TOML file, where NAME stands on the trail.
"""
_OIDC = """
## Users from an OpenID Connect provider

[How to let its users into Orthanc](../how-to/orthanc-users.md).
"""
_MAIL = """
## Mail

[How to send links by mail](../how-to/mail.md).
"""
_SHARING = """
## What recipients are asked for
"""
_FRAMES = """
## Inside other pages

[How to show links in a portal](../how-to/frames.md).
"""
_SITE = """
## The site on the recipients' pages

[How to make the pages yours](../how-to/branding.md).
"""
_REACH = """
## Who can reach a listener

A listener on an address that other machines reach is refused without https, because links, cookies and images could be
read on the way. Either Keyhole speaks https itself (`KEYHOLE_TLS_CERT`, `KEYHOLE_TLS_KEY`: public and staff listener,
TLS 1.2 and newer), or a proxy does: then its URL begins with `https:` and `KEYHOLE_TRUSTED_PROXIES` names it.
`KEYHOLE_INSECURE_HTTP=yes` serves all the same. The internal listener speaks no https: leave it on the loopback, or
force it in a network that only your servers are in.

A trusted proxy sets `X-Forwarded-For` or `Forwarded`, and removes the other one that a client may have sent.
"""


def reference() -> str:
    """The whole page."""
    mixed_in = (PluginSettings, OidcSettings, MailSettings, SharingSettings, FrameSettings, SiteSettings)
    apart = {name for model in mixed_in for name in model.model_fields}
    own = {name: field for name, field in Settings.model_fields.items() if name not in apart}
    rows = [*_table(Settings, own, PREFIX), _ARCHIVES, *_table(ArchiveSettings, ArchiveSettings.model_fields), _PLUGIN]
    rows += [*_table(Settings, PluginSettings.model_fields, PREFIX), _CALLERS]
    rows += [
        *_table(PluginCaller, PluginCaller.model_fields),
        _OIDC,
        *_table(Settings, OidcSettings.model_fields, PREFIX),
        _MAIL,
        *_table(Settings, MailSettings.model_fields, PREFIX),
        _SHARING,
        *_table(Settings, SharingSettings.model_fields, PREFIX),
        _FRAMES,
        *_table(Settings, FrameSettings.model_fields, PREFIX),
        _SITE,
        *_table(Settings, SiteSettings.model_fields, PREFIX),
    ]
    return "\n".join([_HEAD, *rows, _REACH])


def _table(model: type[BaseModel], fields: Mapping[str, FieldInfo], prefix: str = "") -> Iterator[str]:
    yield "| setting | default | what it is |"
    yield "|---|---|---|"
    for name, field in fields.items():
        shown = name if name in TABLES else prefix + (name.upper() if prefix else name)
        secret = " (secret)" if is_secret(model, name) else ""
        yield f"| `{shown}` | {_default(field)} | {field.description}{secret} |"


def _default(field: FieldInfo) -> str:
    """The default as one would write it."""
    value = field.default
    if field.is_required():
        return "**required**"
    if value is None or value in ({}, (), frozenset()):
        return ""
    if isinstance(value, bool):
        return "`yes`" if value else "`no`"
    if isinstance(value, timedelta):
        return f"`{value.days}d`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


if __name__ == "__main__":
    sys.stdout.write(reference())
