"""What keeps a Keyhole well: looking it over, backing it up and restoring it, renewing its keys."""
