"""What Akeso has created for a scope, and how it stands."""

import pytest

from shared.kube.details import runs
from shared.kube.errors import KubeDown
from tests.kube import seen

OF = "PersistentVolumeClaim/data"


def job(name="akeso-compact-1", *, task="compact", of=OF, made="a-1", at="2026-01-01T00:00:00Z", **conditions):
    notes = {"akeso.dev/for": of, **({"akeso.dev/made-by": made} if made else {})}
    meta = {"name": name, "labels": {"akeso.dev/task": task}, "annotations": notes, "creationTimestamp": at}
    told = [{"type": kind, "status": "True", "reason": reason} for kind, reason in conditions.items()]
    return {"metadata": meta, "status": {"conditions": told, "active": 1}}


def snapshot(**status):
    return {**job("akeso-backup-1", task="backup"), "status": status}


def look(*jobs, snapshots=()):
    return runs.look(seen.Table({"Job": list(jobs), "VolumeSnapshot": list(snapshots)}), seen.DATA, {}).runs


class TestAJob:
    @pytest.mark.parametrize(
        ("conditions", "state"),
        [
            ({}, ("running", "")),
            ({"SuccessCriteriaMet": "CompletionsReached"}, ("running", "")),
            ({"Complete": "CompletionsReached"}, ("complete", "")),
            ({"FailureTarget": "DeadlineExceeded"}, ("running", "")),
            ({"Failed": "DeadlineExceeded"}, ("failed", "DeadlineExceeded")),
            ({"Suspended": "JobSuspended"}, ("running", "")),
        ],
    )
    def test_is_at_its_end_when_its_controller_says_so(self, conditions, state):
        (found,) = look(job(**conditions))

        assert (found.state, found.why) == state
        assert (found.kind, found.task, found.attempt) == ("Job", "compact", "a-1")

    @pytest.mark.parametrize("other", [{"made": ""}, {"of": "PersistentVolumeClaim/dat"}, {"task": "reindex"}])
    def test_of_somebody_else_or_for_another_is_not_ours(self, other):
        assert look(job(**other)) == ()

    def test_that_is_the_newest_stands_first(self):
        found = look(job("a"), job("b", at="2026-01-02T00:00:00Z"), snapshots=[snapshot()])

        assert [one.name for one in found] == ["b", "a", "akeso-backup-1"]

    def test_is_one_of_at_most_twenty(self):
        assert len(look(*(job(f"j-{at:04}") for at in range(3000)))) == 20


class TestASnapshot:
    @pytest.mark.parametrize(
        ("status", "state"),
        [
            ({}, ("running", "")),
            ({"readyToUse": False}, ("running", "")),
            ({"readyToUse": "true"}, ("running", "")),
            ({"readyToUse": True}, ("complete", "")),
            ({"readyToUse": False, "error": {"message": "free text"}}, ("running", "Error")),
        ],
    )
    def test_is_at_its_end_when_it_can_be_used(self, status, state):
        (found,) = look(snapshots=[snapshot(**status)])

        assert (found.state, found.why) == state
        assert "free text" not in found.model_dump_json()

    def test_is_not_looked_for_where_nobody_has_installed_them(self, cluster, kube):
        cluster.put("Job", "shop", job())
        cluster.fault(kind="VolumeSnapshot", status=404)

        assert [one.name for one in runs.look(kube, seen.DATA, {}).runs] == ["akeso-compact-1"]
        assert cluster.unmet_faults == 0

    def test_that_cannot_be_looked_for_is_not_none(self, cluster, kube):
        cluster.fault(kind="VolumeSnapshot", status=500, times=2)

        with pytest.raises(KubeDown):
            runs.look(kube, seen.DATA, {})
