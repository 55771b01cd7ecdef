"""What the Kubernetes API can say no with, as the few words that callers decide by.

Made in `shared.kube.client` alone, chained to what really happened. The message holds at most 256 characters of the
API's own text: enough for the log, too little to leak an object.
"""

from shared.errors import AkesoError, UnavailableError


class KubeError(AkesoError):
    """Base of everything that the Kubernetes API answers, or fails to answer. `status` is 0 without an answer."""

    reason = "kube"
    status = 0


class Conflict(KubeError):  # noqa: N818 - the API's own word
    """The object is not what the writer believed: stale resourceVersion, other uid, changed field. Read again."""

    reason = "conflict"


class NotFound(KubeError):  # noqa: N818 - the API's own word
    """The object that was to be written does not exist."""

    reason = "not-found"


class Refused(KubeError):  # noqa: N818 - what happened, not a fault
    """The API understood and will not: RBAC, admission, validation. The same request would be refused again."""

    reason = "kube-refused"


class Throttled(KubeError):  # noqa: N818 - what happened, not a fault
    """Not now: a PodDisruptionBudget or the API's own rate limit. `retry_after_s` is 0 where the API names no time."""

    reason = "kube-throttled"

    def __init__(self, message: str, *, retry_after_s: int = 0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class KubeDown(KubeError, UnavailableError):  # noqa: N818 - says who is down
    """No usable answer: refused, timed out, 5xx, 401, or no credentials.

    `unclear` is true where a write had been sent: it may have happened, so look before anything else.
    """

    reason = "kube-down"

    def __init__(self, message: str, *, unclear: bool = False, reason: str | None = None) -> None:
        super().__init__(message, reason=reason)
        self.unclear = unclear
