"""Decisions as pure functions: no clock, no I/O, no logging, no randomness."""
