"""Who asks: from a credential to a subject. Pure."""
