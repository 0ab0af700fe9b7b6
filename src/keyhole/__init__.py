"""Keyhole: let someone see one study, and nothing else."""
