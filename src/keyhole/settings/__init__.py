"""Settings: one frozen object, read once from options, environment and a TOML file, every problem told at once."""

from keyhole.settings.model import ArchiveSettings, Settings
from keyhole.settings.plugin import PluginCaller
from keyhole.settings.sources import load_settings
from keyhole.settings.values import Bind, parse_duration

__all__ = ["ArchiveSettings", "Bind", "PluginCaller", "Settings", "load_settings", "parse_duration"]
