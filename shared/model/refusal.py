"""Why an action would not plan, or a write was not made: a closed list, each with how grave it is and what it means.

Nothing else may make up a reason: docs, tickets and tests are derived from this table.
"""

from typing import Final, Literal, NamedTuple

Reason = Literal[
    "not-found",
    "changed",
    "protected",
    "gitops",
    "autoscaler",
    "disruption-budget",
    "quota",
    "capacity",
    "unsupported",
    "busy",
    "lease",
    "deadline",
    "nothing-to-do",
    "bounds",
    "bare-pod",
    "paused",
    "metrics",
    "last-node",
    "undeclared",
    "failed",
]


class Meaning(NamedTuple):
    """`severity`: info, nothing is wrong; warning, a person decides; critical, a person should look soon."""

    severity: Literal["info", "warning", "critical"]
    text: str


REASONS: Final[dict[Reason, Meaning]] = {
    "not-found": Meaning("warning", "What was to be changed is not there, or another one has its name by now."),
    "changed": Meaning("warning", "Somebody else has changed it since the plan was made, and that is left alone."),
    "protected": Meaning("warning", "It is protected: nothing is automatic there."),
    "gitops": Meaning("warning", "Argo CD or Flux owns it and would put it back: change it in Git."),
    "autoscaler": Meaning("warning", "An autoscaler owns the number and would put it back: change its bounds."),
    "disruption-budget": Meaning("warning", "A disruption budget allows no eviction now: the rest carries the load."),
    "quota": Meaning("warning", "The namespace's quota or limit range leaves no room for it."),
    "capacity": Meaning("warning", "No node is large enough for it."),
    "unsupported": Meaning("warning", "This cannot be done to such an object, or not in this cluster."),
    "busy": Meaning("info", "The API server has too much to do: it may be asked again in a moment."),
    "lease": Meaning("warning", "Another remedy has taken the object over meanwhile."),
    "deadline": Meaning("critical", "It took longer than it may, and was left as it is."),
    "nothing-to-do": Meaning("info", "It is already so."),
    "bounds": Meaning("info", "It asks for more, or for less, than may be asked for."),
    "bare-pod": Meaning("warning", "Nothing owns the pod, so nothing would make it anew."),
    "paused": Meaning("info", "Somebody has paused it."),
    "metrics": Meaning("warning", "The autoscaler has no metrics, so its bounds are not what is wrong."),
    "last-node": Meaning("critical", "No other node would be left to carry the load."),
    "undeclared": Meaning("info", "Nobody has declared how that is done for it."),
    "failed": Meaning("critical", "It was done, and failed."),
}  # fmt: skip
