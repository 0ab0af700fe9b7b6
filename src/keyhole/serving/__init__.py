"""Serve: the hardened HTTP protocol, the three listeners, the worker processes."""
