"""What stands behind each part that :mod:`keyhole.app` puts together, a module each. Nothing is decided here."""
