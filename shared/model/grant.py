"""The guard's permission as data: for exactly one plan, until a time, in one epoch. Signed in `shared.guard.grant`."""

from typing import Literal

from shared.model.base import Model
from shared.model.facts import Scope


class Grant(Model):
    """Times in ms since the Unix epoch. `id` is the attempt's id, too."""

    id: str
    incident: str
    tenant: str
    cluster: str
    scope: Scope
    action: str
    mode: Literal["do", "undo"]
    plan_hash: str
    epoch: str
    start_by: int
    finish_by: int
    of: str = ""  # undo: the attempt that is taken back
    approvers: tuple[str, ...] = ()
    fence: int = 0  # a later lease on the scope has a higher one
