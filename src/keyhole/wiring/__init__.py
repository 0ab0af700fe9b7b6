"""Parts of the wiring that :mod:`keyhole.app` would be too long with. Nothing is decided here."""
