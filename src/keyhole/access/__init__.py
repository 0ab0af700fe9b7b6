"""The core: who may do what to which study. Values in, values out; no I/O, no clock, no framework."""
