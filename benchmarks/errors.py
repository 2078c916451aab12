"""What a measurement may raise."""


class BenchError(Exception):
    """A measurement that cannot be made; one sentence for whoever asked for it."""
