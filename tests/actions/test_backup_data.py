"""A snapshot where there can be one, else the declared CronJob, else a sentence that says how to declare it."""

import pytest

from shared.action.catalogue import Catalogue
from shared.model.details import Claim, Details, Run, Runs, Task, Tasks
from shared.model.facts import Facts, Scope
from shared.model.plan import Refusal

ACTION = Catalogue.home().load("backup_data")
CLAIM = Scope(kind="PersistentVolumeClaim", namespace="shop", name="data", uid="c-1")
DUMP = Task(name="dump", uid="j-1", task="backup")


def facts(tasks=(), runs=(), *, scope=CLAIM, snapshot_class="", phase="Bound", attempt=""):
    claim = Claim(phase=phase, snapshot_class=snapshot_class) if scope.kind == CLAIM.kind else None
    details = Details(claim=claim, tasks=Tasks(tasks=tuple(tasks)), runs=Runs(runs=tuple(runs)))
    return Facts(taken_at=1, scope=scope, details=details, attempt=attempt)


def plan(*tasks, **changes):
    return ACTION.plan(facts(tasks, **changes), ACTION.Params())


def snapshot(state, why=""):
    return Run(kind="VolumeSnapshot", name="akeso-backup-1", task="backup", attempt="a-1", state=state, why=why)


def test_makes_a_snapshot_where_the_driver_can_even_if_a_cronjob_is_declared():
    create, watch = plan(DUMP, snapshot_class="snap").writes

    assert (create.verb, create.target.kind, create.target.name) == ("create", "VolumeSnapshot", "akeso-backup-")
    assert create.after["spec"] == {
        "volumeSnapshotClassName": "snap", "source": {"persistentVolumeClaimName": "data"},
    }  # fmt: skip
    assert create.after["metadata"] == {
        "labels": {"akeso.dev/task": "backup"}, "annotations": {"akeso.dev/for": "PersistentVolumeClaim/data"},
    }  # fmt: skip
    assert (watch.verb, watch.target.kind) == ("watch", "PersistentVolumeClaim")


def test_runs_the_declared_cronjob_where_there_are_no_snapshots():
    create, _ = plan(DUMP).writes

    assert (create.target.kind, create.after["from"]["name"]) == ("Job", "dump")


def test_of_a_workload_is_the_declared_cronjob():
    scope = Scope(kind="StatefulSet", namespace="shop", name="db", uid="s-1")

    assert plan(DUMP, scope=scope).writes[0].after["metadata"]["annotations"]["akeso.dev/for"] == "StatefulSet/db"


def test_is_kept_by_an_undo():
    assert plan(snapshot_class="snap").inverse("grant-1") is None
    assert plan(DUMP).inverse("grant-1") is None


@pytest.mark.parametrize(
    ("tasks", "changes", "reason", "word"),
    [
        ([], {}, "undeclared", "akeso.dev/task=backup"),
        ([DUMP], {"phase": "Pending"}, "unsupported", "Pending"),
        ([], {"phase": "Lost", "snapshot_class": "snap"}, "unsupported", "Lost"),
        ([DUMP], {"runs": [snapshot("running")]}, "nothing-to-do", "VolumeSnapshot akeso-backup-1"),
        ([], {"scope": CLAIM.model_copy(update={"uid": ""}), "snapshot_class": "snap"}, "not-found", "data"),
        ([DUMP], {"scope": Scope(kind="Node", name="n1", uid="n-1")}, "unsupported", "Node"),
    ],
)
def test_refuses_and_names_the_reason(tasks, changes, reason, word):
    refused = plan(*tasks, **changes)

    assert isinstance(refused, Refusal)
    assert refused.reason == reason
    assert word in refused.text


def test_what_nobody_has_looked_at_is_undeclared_and_no_guess():
    assert ACTION.plan(Facts(taken_at=1, scope=CLAIM), ACTION.Params()).reason == "undeclared"


class TestASnapshot:
    def arrived(self, state, why=""):
        return ACTION.arrived(facts(runs=[snapshot(state, why)], attempt="a-1"), ACTION.Params())

    def test_is_a_backup_when_it_is_ready_to_use_and_not_before(self):
        assert self.arrived("complete") == ""
        assert "not done yet" in self.arrived("running")
        assert ACTION.healthy(facts(runs=[snapshot("complete")]))
        assert not ACTION.healthy(facts(runs=[snapshot("running")]))

    def test_whose_driver_tries_again_is_waited_for_and_that_is_told(self):
        assert "reported an error" in self.arrived("running", "Error")
