"""Measurements from outside: they ask the players and the kernel, never the product itself."""
