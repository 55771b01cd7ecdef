"""Volumes that fill up, as kube-prometheus tells of them: what makes room, what is refused, and what is a person's."""

import json

import pytest

from shared.dev.cluster_job import AFTER
from shared.kube.mark import MADE
from shared.model.details import FOR, TASK

DECLARED = json.dumps([{"path": "cache/tmp", "pattern": "*.log", "older_than": "7d", "at_most_mb": 100}])
KIND = "PersistentVolumeClaim"


@pytest.fixture(autouse=True)
def _drivers(kubeconfig):
    if kubeconfig:
        pytest.skip("no driver of a real cluster made here binds a claim, lets one grow or makes a snapshot")


def filling(scene, namespace, alertname="KubePersistentVolumeFillingUp"):
    return scene.alert(namespace, alertname=alertname, persistentvolumeclaim="data")


def claim(scene, *, grows=False, size="1Gi", autonomy="auto", **notes):
    """A bound claim in a namespace and of a class of its own; `notes` are annotations of ours or the driver's."""
    namespace = scene.namespace(autonomy)
    scene.cluster.storage_class(namespace, grows=grows)
    keys = {"cleanup": "akeso.dev/cleanup", "resize": "emulator.akeso.dev/resize"}
    said = {keys[key]: text for key, text in notes.items()}
    scene.cluster.claim(namespace, "data", size, namespace, said)
    return namespace


def cronjob(scene, namespace, task, **behaviour):
    notes = {f"emulator.akeso.dev/{key.replace('_', '-')}": text for key, text in behaviour.items()}
    scene.cluster.cronjob(namespace, task, notes)
    meta = {"labels": {"akeso.dev/task": task}, "annotations": {"akeso.dev/for": f"{KIND}/data"}}
    scene.cluster.edit("CronJob", namespace, task, {"metadata": meta}, manager="akeso-seed")


def requested(scene, namespace):
    return scene.cluster.get(KIND, namespace, "data")["spec"]["resources"]["requests"]["storage"]


def jobs(scene, namespace):
    return scene.cluster.all("Job", namespace)


def succeeded(scene, namespace):
    """Wait, minute by minute: what an attempt waits for it looks at again by the sweeper."""
    for _ in range(6):
        scene.settle()
        incident = scene.incident(namespace, "data", KIND)
        if incident and "succeeded" in scene.words(incident):
            return incident
        scene.pass_(61)
    raise AssertionError(f"never succeeded: {scene.audit(scene.incident(namespace, 'data', KIND))}")


def verified(scene, namespace, alert):
    incident = succeeded(scene, namespace)
    scene.resolve(alert)
    scene.until_word("resolved", namespace, "data", KIND)
    scene.pass_(61)
    scene.until_word("verified", namespace, "data", KIND)
    return incident


def run(scene, namespace, action, **params):
    return scene.asked("v1/run", {
        "action": action, "target": {"kind": KIND, "namespace": namespace, "name": "data"}, "params": params,
        "dry_run": False,
    })  # fmt: skip


class TestAVolumeThatFillsUp:
    def test_and_may_grow_grows_by_one_step(self, scene):
        namespace = claim(scene, grows=True)
        alert = filling(scene, namespace)
        scene.fire(alert)

        incident = verified(scene, namespace, alert)

        assert requested(scene, namespace) == "1280Mi"
        assert scene.writes(namespace) == [f"patch /api/v1/namespaces/{namespace}/persistentvolumeclaims/data"]
        assert scene.tickets(incident) == []

    def test_with_declared_files_is_cleaned_and_keeps_its_size(self, scene):
        namespace = claim(scene, grows=True, cleanup=DECLARED)
        alert = filling(scene, namespace)
        scene.fire(alert)

        verified(scene, namespace, alert)

        (job,) = jobs(scene, namespace)
        pod = job["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert requested(scene, namespace) == "1Gi"
        assert container["args"][:1] == ["/volume"]
        assert json.loads(container["args"][1]) == json.loads(DECLARED)
        assert container["image"] != "akeso:own"
        assert pod["automountServiceAccountToken"] is False
        assert [one["persistentVolumeClaim"]["claimName"] for one in pod["volumes"]] == ["data"]

    def test_of_inodes_with_declared_maintenance_is_compacted_once(self, scene):
        namespace = claim(scene)
        cronjob(scene, namespace, "compact")
        alert = filling(scene, namespace, "KubePersistentVolumeInodesFillingUp")
        scene.fire(alert)

        verified(scene, namespace, alert)

        (job,) = jobs(scene, namespace)
        assert job["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"] == "manual"
        assert job["metadata"]["ownerReferences"][0]["name"] == "compact"

    def test_whose_cleaning_helped_nothing_grows_next(self, scene):
        namespace = claim(scene, grows=True, cleanup=DECLARED)
        scene.fire(filling(scene, namespace))
        incident = succeeded(scene, namespace)
        scene.pass_(1800)  # it goes on firing

        scene.until(lambda: requested(scene, namespace) == "1280Mi", lambda: str(scene.audit(incident)))

    def test_that_nothing_is_declared_for_and_that_may_not_grow_is_a_persons(self, scene):
        namespace = claim(scene)
        scene.fire(filling(scene, namespace))
        incident = scene.until(lambda: scene.incident(namespace, "data", KIND))

        ticket = scene.until_told(incident)

        assert scene.writes(namespace) == []
        assert "volume with data on it" in str(ticket["content"])

    def test_with_errors_is_a_persons_whatever_is_declared(self, scene):
        namespace = claim(scene, grows=True, cleanup=DECLARED)
        scene.fire(filling(scene, namespace, "KubePersistentVolumeErrors"))
        incident = scene.until(lambda: scene.incident(namespace, "data", KIND))

        scene.until_told(incident)

        assert scene.writes(namespace) == []
        assert jobs(scene, namespace) == []


class TestWhatIsRefused:
    def refused(self, scene, namespace, word):
        incident = scene.until(lambda: scene.incident(namespace, "data", KIND))
        ticket = scene.until_told(incident)
        assert word in str(ticket)
        assert scene.writes(namespace) == []

    def test_a_claim_that_is_growing_already_is_told_with_what_ends_it(self, scene):
        namespace = claim(scene, grows=True, resize="file-system-pending")
        scene.cluster.edit(KIND, namespace, "data", {"spec": {"resources": {"requests": {"storage": "2Gi"}}}},
                           manager="akeso-seed")  # fmt: skip
        scene.fire(filling(scene, namespace))

        self.refused(scene, namespace, "nothing-to-do")

    def test_a_declaration_that_leads_out_of_the_volume_is_told(self, scene):
        namespace = claim(scene, cleanup=DECLARED.replace("cache/tmp", "../tmp"))
        scene.fire(filling(scene, namespace))

        self.refused(scene, namespace, "undeclared")

    def test_maintenance_that_runs_already_is_told(self, scene):
        namespace = claim(scene)
        cronjob(scene, namespace, "compact")
        scene.cluster.job(namespace, "by-hand", {AFTER: "9999"})
        notes = {"labels": {TASK: "compact"}, "annotations": {FOR: f"{KIND}/data", MADE: "another"}}
        scene.cluster.edit("Job", namespace, "by-hand", {"metadata": notes}, manager="akeso-seed")
        scene.fire(filling(scene, namespace, "KubePersistentVolumeInodesFillingUp"))

        self.refused(scene, namespace, "compact_storage was chosen and refuses: nothing-to-do")
        assert len(jobs(scene, namespace)) == 1

    def test_a_limit_range_that_leaves_nothing_is_told(self, scene):
        namespace = claim(scene, grows=True)
        limits = [{"type": KIND, "max": {"storage": "1Gi"}}]
        scene.cluster.put("LimitRange", namespace, {"metadata": {"name": "most"}, "spec": {"limits": limits}})
        scene.fire(filling(scene, namespace))

        self.refused(scene, namespace, "quota")


@pytest.mark.faults  # it waits for its deadline
class TestAGrowthThatDoesNotArrive:
    def test_fails_by_its_deadline_and_says_which_restart_would_end_it(self, scene):
        namespace = claim(scene, grows=True, resize="file-system-pending")
        scene.fire(filling(scene, namespace))
        incident = scene.until(lambda: scene.incident(namespace, "data", KIND))
        scene.until_held_up(incident)

        scene.pass_(600, step=600)  # at one look: each that finds time left waits for as long as a run may take

        assert "failed" in scene.words(incident)
        (line,) = scene.lines(incident, "failed")
        assert line["text"].startswith("deadline: its file system grows when a pod mounts it")
        assert requested(scene, namespace) == "1280Mi"  # and stays, because nothing shrinks it


class TestABackup:
    def test_is_a_snapshot_where_the_driver_makes_them(self, scene):
        namespace = claim(scene)
        scene.cluster.put("VolumeSnapshotClass", "", {
            "metadata": {"name": namespace}, "driver": "storage.example", "deletionPolicy": "Delete"})  # fmt: skip

        run(scene, namespace, "backup_data")
        succeeded(scene, namespace)

        (snapshot,) = scene.cluster.all("VolumeSnapshot", namespace)
        assert snapshot["status"]["readyToUse"] is True
        scene.cluster.delete("VolumeSnapshotClass", "", namespace)

    def test_is_the_declared_cronjob_where_it_does_not(self, scene):
        namespace = claim(scene)
        cronjob(scene, namespace, "backup")

        run(scene, namespace, "backup_data")
        succeeded(scene, namespace)

        assert [job["status"]["succeeded"] for job in jobs(scene, namespace)] == [1]
        scene.pass_(61)
        scene.until_word("verified", namespace, "data", KIND)

    def test_that_fails_is_no_backup(self, scene):
        namespace = claim(scene)
        cronjob(scene, namespace, "backup", job="fail")

        run(scene, namespace, "backup_data")
        incident = scene.until_word("failed", namespace, "data", KIND)

        assert scene.lines(incident, "failed")[0]["reason"] == "failed"
        assert "verified" not in scene.words(incident)

    def test_that_nobody_has_declared_is_refused_and_says_how_to(self, scene):
        namespace = claim(scene)

        answer = scene.api("POST", "v1/run", {
            "action": "backup_data", "target": {"kind": KIND, "namespace": namespace, "name": "data"}, "dry_run": True,
        })  # fmt: skip

        assert "akeso.dev/task=backup" in answer.text
        assert scene.writes(namespace) == []


class TestADryRunOfACleaning:
    def test_mounts_the_volume_for_reading_alone(self, scene):
        namespace = claim(scene, cleanup=DECLARED)

        run(scene, namespace, "cleanup_storage", dry_run=True)
        succeeded(scene, namespace)

        (job,) = jobs(scene, namespace)
        pod = job["spec"]["template"]["spec"]
        assert pod["containers"][0]["args"][0] == "--dry-run"
        assert pod["containers"][0]["volumeMounts"] == [{"name": "data", "mountPath": "/volume", "readOnly": True}]
        assert pod["volumes"][0]["persistentVolumeClaim"]["readOnly"] is True
