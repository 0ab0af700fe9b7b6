"""The enforcement point: the one way through to an archive."""
