"""One question to the guard as data that a person or a file gave: `admit`'s arguments with a default for each.

What comes from a file is checked here, so that no script ever meets a value of another type. It judges nothing.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from shared.guard.judge import RUN_MS, START_MS
from shared.model.facts import Autonomy
from shared.model.plan import Touches

DAY_MS = 86_400_000
LATEST_MS = 4_102_444_800_000  # the year 2100
MOST = 1_000_000  # of anything that is counted

Points = Annotated[float, Field(ge=-100, le=100)]


def _countable(touches: Touches) -> Touches:
    if not all(0 <= number <= MOST for number in (touches.count, touches.population, touches.pool_population)):
        raise ValueError(f"counts are 0 to {MOST}")
    return touches


class Question(BaseModel):
    """As `admit` notes it among its decisions. What a newer version notes besides is left out."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    incident: str = Field(default="", max_length=200)
    scope: str = Field(min_length=1, max_length=400)
    namespace: str = Field(default="", max_length=63)
    action: str = Field(min_length=1, max_length=63)
    family: str | None = Field(default="", max_length=100)
    severity: str | None = Field(default="", max_length=100)
    severities: list[str] | None = Field(default=None, min_length=1, max_length=100)  # of all that had joined
    kind: Literal["write", "none"] = "write"
    mode: Literal["do", "undo"] = "do"
    of: str = Field(default="", max_length=100)
    plan_hash: str = Field(default="trial", max_length=100)
    taken_at: int = Field(default=0, ge=0, le=LATEST_MS)
    autonomy: Autonomy = "auto"
    manual: bool = False
    approvers: list[str] = Field(default_factory=list, max_length=10)
    approved_hash: str = Field(default="", max_length=100)
    paused: bool = False
    rolling_out: bool = False
    changed_by: str = Field(default="", max_length=300)
    changed_at: int = Field(default=0, ge=0, le=LATEST_MS)
    protected: bool = False
    touches: Annotated[Touches, AfterValidator(_countable)] = Touches()
    namespace_pods: int = Field(default=0, ge=0, le=MOST)
    width: Literal["scope", "namespace", "node"] = "scope"
    turn: Literal["", "up", "down"] = ""
    replicas: dict[Literal["up", "down"], Annotated[int, Field(ge=0, le=MOST)]] = Field(default_factory=dict)
    resources: bool = False
    risk: dict[str, Points] = Field(default_factory=dict, max_length=20)
    start_in: int = Field(default=START_MS, ge=0, le=DAY_MS)
    run_in: int = Field(default=RUN_MS, ge=0, le=DAY_MS)
    cooldown: int = Field(default=0, ge=0, le=7 * DAY_MS)
    soak: int = Field(default=0, ge=0, le=7 * DAY_MS)
    until_in: int = Field(default=0, ge=0, le=7 * DAY_MS)

    def request(self) -> dict[str, Any]:
        """The arguments of `admit`, with nothing where only texts for people are meant."""
        texts = {"plan": json.dumps({"writes": []}), "params": "{}", "price": "{}"}
        texts |= dict.fromkeys(("rule", "proposer", "reasoning", "command", "author"), "")
        return {**self.model_dump(mode="json"), **texts, "expires": 0}
