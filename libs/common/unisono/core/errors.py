"""The one exception that stands for "the operator can mend this"."""


class UserError(Exception):
    """Something the operator can mend; the message is one sentence: what, where, what to do."""
