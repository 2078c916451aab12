"""Measurements: of shows from outside, of the LAN where the truth is known."""
