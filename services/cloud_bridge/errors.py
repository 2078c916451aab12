"""What can go wrong between a device and the cloud; none of it stops the show.

CloudError
 +-- CloudAway       no connection, no answer in time, or an answer of 5xx or 429: try again
 +-- CloudRefused    the cloud does not accept this device's secret: an operator must act
 +-- CloudRejected   the cloud understood and said no to this one request (other 4xx)
 +-- CloudNonsense   what came back is not what a control plane says
"""


class CloudError(Exception):
    """One call failed. ``label`` is how it is counted; the message is one sentence.

    ``retry_after_s`` is what the cloud asked for, if it did.
    """

    def __init__(self, label: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.label = label
        self.retry_after_s = retry_after_s


class CloudAway(CloudError):  # noqa: N818 - it names a condition
    """The cloud cannot be reached or cannot serve now."""


class CloudRefused(CloudError):  # noqa: N818 - it names a condition
    """The device's credentials are not accepted."""


class CloudRejected(CloudError):  # noqa: N818 - it names a condition
    """This request is not accepted; the next may be."""


class CloudNonsense(CloudError):  # noqa: N818 - it names a condition
    """The reply cannot be understood."""
