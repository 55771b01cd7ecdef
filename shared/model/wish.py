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
    asked_at: int = 0  # ms, when a person asked for the run or said yes; 0: nobody did
    voice_until: int = 0  # ms; until when that is still what he wants
