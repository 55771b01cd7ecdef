"""How people are told no: an answer, not a failure, so that nobody tries the same again."""

from shared.errors import AkesoError


class NotThereError(AkesoError):
    """What was asked about does not exist, or not any more."""

    reason = "not-found"


class NotAllowedError(AkesoError):
    """Whoever asks is known, or nobody in particular, and may not."""

    reason = "not-allowed"


class NoError(AkesoError):
    """It exists, and the answer is no: answered already, expired, nothing to take back."""

    reason = "no"
