"""What somebody or something asked for when an incident is looked at again."""

from typing import Any, Literal

from pydantic import Field

from shared.model.base import Model


class Wish(Model):
    """`run` names an action; `approve` names a hold with the hash that was approved; `retry`, `look` name nothing."""

    reason: Literal["look", "retry", "approve", "run"]
    action: str = ""
    params: dict[str, Any] = Field(default_factory=dict)
    author: str = ""  # who asked for a run
    approvers: tuple[str, ...] = ()
    hold: str = ""
    approved_hash: str = ""
    voice_until: int = 0  # ms; until when a run that had to wait is still what somebody wants; 0: not yet known
