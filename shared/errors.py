"""The few words by which every part says what went wrong.

Each class carries the short machine-readable reason that may leave the process; the message is for the log only.
Which HTTP status a class becomes is not decided here but in the answer table (`shared.event.answer`), because only
that module knows HTTP.
"""


class AkesoError(Exception):
    """Base of all expected failures. `reason` is lower-case ASCII, at most 64 characters, free of secrets."""

    reason = "error"

    def __init__(self, message: str = "", *, reason: str | None = None) -> None:
        super().__init__(message or reason or self.reason)
        if reason is not None:
            self.reason = reason


class MalformedError(AkesoError):
    """What was sent can never be understood: sending it again would not help."""

    reason = "malformed"


class ForbiddenError(AkesoError):
    """A signature, grant or credential is missing or wrong."""

    reason = "forbidden"


class TooLargeError(AkesoError):
    """The body is over its bound."""

    reason = "too-large"


class BusyError(AkesoError):
    """The first run of the same event is still at work; the broker should bring it again."""

    reason = "busy"


class UnavailableError(AkesoError):
    """Something that Akeso depends on is down or refuses, and nothing has been changed yet."""

    reason = "unavailable"


class EpochError(UnavailableError):
    """Redis was lost, replaced or never hydrated: no transition moves anything until the sweeper has hydrated it."""

    reason = "epoch"
