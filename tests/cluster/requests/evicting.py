"""Evictions, with and without budgets."""

from typing import Any

from tests.cluster.api import MERGE_PATCH
from tests.cluster.requests.bodies import PDB, budget, eviction, pod, replicaset
from tests.cluster.requests.told import story
from tests.cluster.side import Side


def _ready_pods(side: Side, *names: str, running: bool = True) -> dict[str, Any]:
    """Pods of one ReplicaSet that count as healthy although nothing runs them; the metadata of the first."""
    for name in names:
        side("POST", side.at("pods"), pod(name, nodeName=side.no_node), quiet=True)
        if running:
            status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
            side("PATCH", side.at("pods", name, "status"), {"status": status}, form=MERGE_PATCH, quiet=True)
    owner = side("POST", side.at("replicasets"), replicaset(replicas=len(names)), quiet=True)
    reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": owner["metadata"]["uid"]}
    reference |= {"controller": True, "blockOwnerDeletion": True}
    for name in names:
        side(
            "PATCH", side.at("pods", name), {"metadata": {"ownerReferences": [reference]}}, form=MERGE_PATCH, quiet=True
        )
    return side("GET", side.at("pods", names[0]), quiet=True)["metadata"]


@story
def evict_without_a_budget(side: Side) -> None:
    side("POST", side.at("pods"), pod(nodeName=side.no_node), quiet=True)
    # A real server tries for ten seconds to evict a pending or leaving pod of another uid, unless a version is named.
    side("PATCH", side.at("pods", "p", "status"), {"status": {"phase": "Running"}}, form=MERGE_PATCH, quiet=True)
    one = side.at("pods", "p", "eviction")
    made = side("GET", side.at("pods", "p"))["metadata"]
    side("POST", one, eviction(preconditions={"uid": "other"}))
    side("POST", one, eviction(preconditions={"uid": made["uid"], "resourceVersion": "1"}))
    side("POST", one, eviction("q"))
    side("POST", one, {"apiVersion": "policy/v1", "kind": "Eviction"})
    side("POST", one, {"metadata": {"name": "p"}}, dryRun="All")
    side("POST", one, {**eviction(), "kind": "Pod"})
    side("POST", one, {**eviction(), "nothing": 1}, fieldValidation="Strict")
    side(
        "POST",
        one,
        {**eviction(), "metadata": {"name": "p", "annotations": {"akeso.dev/attempt": "g/1"}}},
        dryRun="All",
    )
    side("POST", one, eviction(dryRun=["All"]))
    side("POST", one, eviction(), dryRun="All")
    side("GET", side.at("pods", "p"), keep=("metadata.deletionTimestamp",))
    side("GET", side.at("pods", "p"))
    side("POST", one, eviction(preconditions={"uid": made["uid"], "resourceVersion": made["resourceVersion"]}))
    side("GET", side.at("pods", "p"))
    side("POST", one, eviction())
    side("POST", one, eviction(preconditions={"uid": "other", "resourceVersion": "1"}))
    side("POST", side.at("pods", "nothing", "eviction"), eviction("nothing"))
    side("POST", side.at("deployments", "p", "eviction"), eviction())


@story
def evict_a_pending_pod(side: Side) -> None:
    side("POST", side.at("pods"), pod(), quiet=True)
    side("POST", side.at(PDB), budget(minAvailable=1), quiet=True)
    side.budget("b")
    side("POST", side.at("pods", "p", "eviction"), eviction(), dryRun="All")
    side("POST", side.at("pods", "p", "eviction"), eviction())
    side("GET", side.at("pods", "p"))


@story
def evict_a_finished_pod(side: Side) -> None:
    for name, phase in (("p", "Succeeded"), ("q", "Failed"), ("r", "Running")):
        side("POST", side.at("pods"), pod(name, nodeName=side.no_node), quiet=True)
        side("PATCH", side.at("pods", name, "status"), {"status": {"phase": phase}}, form=MERGE_PATCH, quiet=True)
    side("POST", side.at(PDB), budget(minAvailable=2), quiet=True)
    side.budget("b")
    for name in ("p", "q", "r"):
        side("POST", side.at("pods", name, "eviction"), eviction(name))
        side("GET", side.at("pods", name), keep=("metadata.deletionTimestamp", "status.phase"))


@story
def evict_under_a_budget(side: Side) -> None:
    made = _ready_pods(side, "p", "q", "r")
    side("POST", side.at(PDB), budget(minAvailable=2), quiet=True)
    side.budget("b")
    allowed = ("status.disruptionsAllowed",)
    side("POST", side.at("pods", "p", "eviction"), eviction(), dryRun="All")
    side("GET", side.at(PDB, "b"), keep=allowed)
    side("POST", side.at("pods", "p", "eviction"), eviction(preconditions={"uid": made["uid"]}))
    side("GET", side.at("pods", "p"), keep=("metadata.deletionTimestamp",))
    side("GET", side.at(PDB, "b"), keep=allowed)
    side("POST", side.at("pods", "q", "eviction"), eviction("q"))
    side("POST", side.at("pods", "q", "eviction"), eviction("q"), dryRun="All")
    side("POST", side.at("pods", "q", "eviction"), eviction("q", preconditions={"uid": "other"}))
    side("GET", side.at("pods", "q"), keep=("metadata.deletionTimestamp",))
    side("POST", side.at("pods", "p", "eviction"), eviction())


@story
def an_eviction_that_conflicts_has_used_up_the_budget(side: Side) -> None:
    made = _ready_pods(side, "p", "q", "r")
    side("POST", side.at(PDB), budget(minAvailable=2), quiet=True)
    side.budget("b")
    wrong = eviction(preconditions={"uid": made["uid"], "resourceVersion": "1"})
    side("POST", side.at("pods", "p", "eviction"), wrong, dryRun="All")
    side("POST", side.at("pods", "p", "eviction"), wrong)
    side("GET", side.at(PDB, "b"), keep=("status.disruptionsAllowed",))
    side("POST", side.at("pods", "p", "eviction"), eviction())
    side("POST", side.at("pods", "q", "eviction"), eviction("q"))
    side("GET", side.at("pods", "p"), keep=("metadata.deletionTimestamp",))


@story
def evict_under_budgets_of_other_shapes(side: Side) -> None:
    _ready_pods(side, "p", "q", "r", "s", "t")
    for number, spec in enumerate(({"maxUnavailable": 1}, {"maxUnavailable": 0}, {"maxUnavailable": "30%"},
                                   {"minAvailable": "50%"}, {"minAvailable": "100%"}, {"minAvailable": 9},
                                   {"minAvailable": 0}, {"maxUnavailable": "100%"}, {})):  # fmt: skip
        name = f"b{number}"
        side("POST", side.at(PDB), budget(name, **spec), drop=("status",))
        side.budget(name)
        side("POST", side.at("pods", "p", "eviction"), eviction(), dryRun="All")
        side("DELETE", side.at(PDB, name), quiet=True)
    side("POST", side.at(PDB), {"metadata": {"name": "all"}, "spec": {"selector": {}, "minAvailable": 5}}, quiet=True)
    side.budget("all")
    side("POST", side.at("pods", "p", "eviction"), eviction(), dryRun="All")


@story
def evict_a_sick_pod(side: Side) -> None:
    _ready_pods(side, "p", "q")
    sick = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    side("PATCH", side.at("pods", "p", "status"), sick, form=MERGE_PATCH, quiet=True)
    for name, spec in (("met", {"minAvailable": 1}), ("unmet", {"minAvailable": 2}), ("none", {"maxUnavailable": 0}),
                       ("always", {"minAvailable": 2, "unhealthyPodEvictionPolicy": "AlwaysAllow"}),
                       ("zero", {"minAvailable": 0})):  # fmt: skip
        side("POST", side.at(PDB), budget(name, **spec), quiet=True)
        side.budget(name)
        side("POST", side.at("pods", "p", "eviction"), eviction(), dryRun="All")
        side("POST", side.at("pods", "q", "eviction"), eviction("q"), dryRun="All")
        side("DELETE", side.at(PDB, name), quiet=True)


@story
def evict_under_two_budgets(side: Side) -> None:
    _ready_pods(side, "p", "q")
    for name in ("b1", "b2"):
        side("POST", side.at(PDB), budget(name, minAvailable=0), quiet=True)
        side.budget(name)
    side("POST", side.at("pods", "p", "eviction"), eviction())
    side("POST", side.at("pods", "p", "eviction"), eviction(), dryRun="All")
