"""How well clocks are estimated: seeded traces whose truth is known, in virtual time."""
