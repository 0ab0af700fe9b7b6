"""Whole instances on their way out: each one checked, and all of them as one ZIP file that a disc could hold."""
