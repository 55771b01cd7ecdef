"""What only real nodes can tell: a full disk, a Job of our own image that makes room, and a writer that goes on then.

What an owner has declared does its work on the data itself, so that a backup can be read and a compaction is felt.
"""

import json
import os
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from shared.action.render import executor_name
from shared.model.details import CLEANUP, FOR, TASK
from tests.cluster.disk import USER, File, disk, volume
from tests.cluster.in_pods import NODE, bring
from tests.cluster.real import IMAGE
from tests.cluster.rig.image import IMAGE as OWN
from tests.cluster.rig.node import DRIVER
from tests.cluster.story import states
from tests.flows.test_volumes import filling

pytestmark = pytest.mark.usefixtures("nothing_broke")

CLAIM = "PersistentVolumeClaim"
SOAK_S = 61
OWNER = {"runAsUser": USER, "runAsGroup": USER}
DECLARED = {CLEANUP: json.dumps(
    [{"path": "cache/tmp", "pattern": "*.log", "older_than": "7d", "at_most_mb": 100}])}  # fmt: skip
OLD = {"cache/tmp/a.log": File(1_000_000, 8), "cache/tmp/deep/er/b.log": File(1_000_000, 9)}
KEPT = {
    "cache/tmp/young.log": File(1000), "cache/tmp/week.log": File(1000, 6),
    "cache/tmp/moved.log": File(1000, 30, moved=True), "cache/tmp/old.txt": File(1000, 30),
    "cache/old.log": File(1000, 30), "db/wal.log": File(1000, 30),
    "cache/tmp/wal.log": "../../db/wal.log", "cache/tmp/db": "../../db", "cache/tmp/all": "/",
}  # fmt: skip
# Each fills its volume up, and from then on is ready exactly as long as what it writes gets there.
_FILLS_BLOCKS = """mkdir -p /data/db
until ! dd if=/dev/zero bs=64k count=1 status=none >> /data/db/journal; do :; done
while true; do
  if dd if=/dev/zero of=/data/db/record bs=64k count=8 status=none; then touch /work/up; else rm -f /work/up; fi
  sleep 0.5
done"""
_FILLS_INODES = """n=0
until ! echo "part $n" > /data/db/part-$n; do n=$((n + 1)); done
while true; do
  rm -f /data/db/record
  if echo now > /data/db/record; then touch /work/up; else rm -f /work/up; fi
  sleep 0.5
done"""
_IDLE = "touch /work/up; sleep 1000000"
_FULL = "No space left on device"


@pytest.fixture(scope="module")
def _image(keeper):
    bring(keeper.folder, Path(os.environ["AKESO_IMAGE"]))


@pytest.fixture
def claim(story):
    """Makes a claim with a disk of that content, on the node that has our image; its namespace."""
    with ExitStack() as made:

        def make(content, name="data", namespace="", *, mebibytes=4, inodes=128, grows=False, **notes):
            namespace = namespace or story.namespace()
            if grows:
                story.cluster.storage_class(f"{namespace}-{name}")
                options = {"disk": f"{namespace}-{name}", "size": f"{mebibytes}m"}
                source = {"flexVolume": {"driver": DRIVER, "options": options}}
            else:
                device = made.enter_context(disk(content, mebibytes=mebibytes, inodes=inodes))
                source = {"local": {"path": device, "fsType": "ext4"}}
            volume(story.api_server, f"{namespace}-{name}", source, NODE, f"{mebibytes}Mi")
            made.callback(story.api_server, "DELETE", f"/api/v1/persistentvolumes/{namespace}-{name}")
            story.cluster.claim(namespace, name, f"{mebibytes}Mi", f"{namespace}-{name}", notes)
            story.until(lambda: story.cluster.get(CLAIM, namespace, name)["status"]["phase"] == "Bound")
            return namespace

        yield make


@pytest.mark.usefixtures("_image")
class TestAFullVolume:
    def test_is_cleaned_by_the_image_of_the_product_and_its_workload_writes_again(self, story, claim):
        namespace = claim(OLD | KEPT, **DECLARED)
        pod = _workload(story, namespace, _FILLS_BLOCKS)
        story.until(lambda: _FULL in _log(story, namespace, pod), "the volume never gets full")
        assert not story.on(namespace, ready=True)
        before = _files(story, namespace, pod)
        assert {f"/data/{name}" for name in OLD | KEPT} <= before

        alert = filling(story, namespace)
        story.fire(alert)
        incident = _ended(story, namespace, "succeeded")
        story.until(lambda: story.on(namespace, ready=True), "the workload never writes again")
        story.cured(alert, namespace, "data", CLAIM, soak_s=SOAK_S)

        assert before - _files(story, namespace, pod) == {f"/data/{name}" for name in OLD}
        ran = _ran(story, namespace)
        assert ran["image"] == OWN
        assert ran["state"]["terminated"]["exitCode"] == 0
        assert ran["state"]["terminated"]["message"].startswith("deleted 2 files, ")
        assert states(story.cluster.get("Pod", namespace, pod))[0]["restartCount"] == 0
        assert story.effects(namespace) == [f"create jobs {executor_name('cleanup_storage')}"]
        assert story.tickets(incident) == []

    def test_is_only_looked_at_by_a_dry_run(self, story, claim):
        namespace = claim(OLD | KEPT, **DECLARED)
        pod = _workload(story, namespace, _IDLE)
        before = _files(story, namespace, pod)

        _run(story, namespace, "cleanup_storage", dry_run=True)
        _ended(story, namespace, "succeeded")

        said = _ran(story, namespace)["state"]["terminated"]["message"]
        assert said.startswith("would delete 2 files, ")
        assert all(name in said for name in OLD)
        assert _files(story, namespace, pod) == before

    def test_of_one_who_writes_as_root_is_left_alone_and_told(self, story, claim):
        namespace = claim(OLD, **DECLARED)
        pod = _workload(story, namespace, _IDLE, {"runAsUser": 0})

        story.fire(filling(story, namespace))
        incident = story.until(lambda: story.incident(namespace, "data", CLAIM))
        story.until_told(incident)

        assert "as root" in story.reasons(incident)
        assert story.effects(namespace) == []
        assert len(_files(story, namespace, pod)) == len(OLD)

    def test_of_one_who_does_not_say_as_whom_keeps_all_that_the_job_may_not_delete(self, story, claim):
        namespace = claim(OLD, **DECLARED)
        pod = _workload(story, namespace, _IDLE, {})

        story.fire(filling(story, namespace))
        incident = _ended(story, namespace, "failed")
        story.told(incident)

        ended = _ran(story, namespace)["state"]["terminated"]
        assert ended["exitCode"] == 1
        assert ended["message"].endswith(f"{len(OLD)} entries could not be read or deleted")
        assert story.lines(incident, "failed")[0]["reason"] == "failed"
        assert len(_files(story, namespace, pod)) == len(OLD)


class TestABackup:
    def test_is_the_declared_one_and_can_be_read(self, story, claim):
        namespace = claim(KEPT)
        claim({}, "backups", namespace)
        _declare(story, namespace, "backup", "tar -cf /backups/data.tar -C /data cache db", "data", "backups")
        pod = _workload(story, namespace, _IDLE, claims=("data", "backups"))

        _run(story, namespace, "backup_data")
        incident = _ended(story, namespace, "succeeded")
        story.pass_(SOAK_S)
        story.until_word("verified", namespace, "data", CLAIM)

        listed = set(_exec(story, namespace, pod, "tar", "-tf", "/backups/data.tar").split())
        assert set(KEPT) <= listed
        check = "tar -xOf /backups/data.tar db/wal.log | cmp - /data/db/wal.log"
        assert _exec(story, namespace, pod, "sh", "-c", check) == ""
        assert story.effects(namespace) == [f"create jobs {executor_name('backup_data')}"]
        assert story.tickets(incident) == []

    def test_for_which_there_is_no_room_is_none(self, story, claim):
        namespace = claim(OLD)
        claim({}, "backups", namespace, mebibytes=1)
        _declare(story, namespace, "backup", "tar -cf /backups/data.tar -C /data cache", "data", "backups")

        _run(story, namespace, "backup_data")
        incident = _ended(story, namespace, "failed")

        assert _ran(story, namespace)["state"]["terminated"]["exitCode"] != 0
        assert story.lines(incident, "failed")[0]["reason"] == "failed"
        assert not {"succeeded", "verified"} & set(story.words(incident))


class TestAVolumeWithoutAnInodeLeft:
    def test_is_compacted_as_declared_and_its_workload_writes_again(self, story, claim):
        namespace = claim({"db/whole": File(0)}, inodes=64)
        compact = "cd /data/db; for part in part-*; do cat $part >> whole && rm $part || exit 1; done"
        _declare(story, namespace, "compact", compact, "data")
        pod = _workload(story, namespace, _FILLS_INODES)
        story.until(lambda: _FULL in _log(story, namespace, pod), "the volume never gets full")
        assert not story.on(namespace, ready=True)
        parts = [file for file in _files(story, namespace, pod) if "part-" in file]
        assert len(parts) > 8

        alert = filling(story, namespace, "KubePersistentVolumeInodesFillingUp")
        story.fire(alert)
        incident = _ended(story, namespace, "succeeded")
        story.until(lambda: story.on(namespace, ready=True), "the workload never writes again")
        story.cured(alert, namespace, "data", CLAIM, soak_s=SOAK_S)

        assert _files(story, namespace, pod) <= {"/data/db/whole", "/data/db/record"}
        said = _exec(story, namespace, pod, "cat", "/data/db/whole").splitlines()
        assert sorted(said) == sorted(f"part {number}" for number in range(len(parts)))
        assert story.effects(namespace) == [f"create jobs {executor_name('compact_storage')}"]
        assert story.tickets(incident) == []


class TestAFullVolumeThatMayGrow:
    def test_grows_by_a_step_under_its_workload_which_writes_again(self, story, claim):
        namespace = claim({}, grows=True)
        pod = _workload(story, namespace, _FILLS_BLOCKS)
        story.until(lambda: _FULL in _log(story, namespace, pod), "the volume never gets full")
        assert not story.on(namespace, ready=True)
        assert _mebibytes(story, namespace, pod) == 4

        alert = filling(story, namespace)
        story.fire(alert)
        incident = _ended(story, namespace, "succeeded", _has_grown)
        story.until(lambda: story.on(namespace, ready=True), "the workload never writes again")
        story.cured(alert, namespace, "data", CLAIM, soak_s=SOAK_S)

        assert _mebibytes(story, namespace, pod) == 5
        assert states(story.cluster.get("Pod", namespace, pod))[0]["restartCount"] == 0
        assert story.effects(namespace) == [f"patch persistentvolumeclaims {executor_name('expand_pvc')}"]
        assert story.tickets(incident) == []


def _workload(story, namespace, script, as_whom=OWNER, claims=("data",)):
    """A Deployment `web` that has the claims, at paths of their names, and does what the script says; its pod runs."""
    probe = {"exec": {"command": ["test", "-e", "/work/up"]}, "periodSeconds": 1}
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in (*claims, "work")]
    story.workload(
        namespace, "good", serves=False, securityContext=as_whom,
        container={"command": ["sh", "-c", script], "readinessProbe": probe, "volumeMounts": mounts},
        volumes=[*map(_volume, claims), {"name": "work", "emptyDir": {}}],
    )  # fmt: skip

    def runs():
        return next((pod for pod in story.on(namespace) for state in states(pod) if "running" in state["state"]), None)

    return story.until(runs, lambda: f"it never runs: {story.pods(namespace)}")["metadata"]["name"]


def _declare(story, namespace, task, script, *claims):
    """A CronJob by which the owner of claim `data` declares that task of it."""
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in claims]
    container = {"name": task, "image": IMAGE, "command": ["sh", "-c", script], "volumeMounts": mounts}
    pod = {"restartPolicy": "Never", "securityContext": OWNER, "containers": [container],
           "volumes": [*map(_volume, claims)]}  # fmt: skip
    job = {"backoffLimit": 0, "template": {"spec": pod}}
    marks = {"labels": {TASK: task}, "annotations": {FOR: f"{CLAIM}/data"}}
    story.cluster.put("CronJob", namespace, {
        "metadata": {"name": task, **marks},
        "spec": {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": job}},
    })  # fmt: skip


def _volume(claim):
    return {"name": claim, "persistentVolumeClaim": {"claimName": claim}}


def _run(story, namespace, action, **params):
    story.asked("v1/run", {
        "action": action, "target": {"kind": CLAIM, "namespace": namespace, "name": "data"}, "params": params,
        "dry_run": False, "reason": "a test",
    })  # fmt: skip


def _log(story, namespace, pod):
    return str(story.api_server("GET", f"/api/v1/namespaces/{namespace}/pods/{pod}/log").body)


def _files(story, namespace, pod):
    """All that is on the volume, but for folders; the file system's own one is not for everybody to see."""
    # What is taken away under its eyes makes it fail, and is not there.
    find = "find /data/* -name lost+found -prune -o ! -type d -print 2> /dev/null; true"
    return set(_exec(story, namespace, pod, "sh", "-c", find).splitlines())


def _mebibytes(story, namespace, pod):
    """How large its file system is."""
    blocks, size = _exec(story, namespace, pod, "stat", "-f", "-c", "%b %S", "/data").split()
    return int(blocks) * int(size) / (1 << 20)


def _exec(story, namespace, pod, *command):
    folder = story.keeper.folder
    kubectl = [folder / "bin/kube", "kubectl", "--kubeconfig", folder / "admin.yaml", "-n", namespace]
    done = subprocess.run([*kubectl, "exec", pod, "--", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _ran(story, namespace):
    """How the container of the one Job there has ended."""
    (job,) = story.cluster.all("Job", namespace)
    (pod,) = story.cluster.all("Pod", namespace, f"job-name={job['metadata']['name']}")
    (state,) = states(pod)
    return state


def _jobs_are_over(story, namespace):
    jobs = story.cluster.all("Job", namespace)
    return jobs and all(one["status"].get("completionTime") or one["status"].get("failed") for one in jobs)


def _has_grown(story, namespace):
    return story.cluster.get(CLAIM, namespace, "data")["status"]["capacity"]["storage"] == "5Mi"


def _ended(story, namespace, word, over=_jobs_are_over):
    """Wait for the end in the cluster, and then let the sweeper look until the audit has that word; the incident."""

    def why():
        return f"{word}: {story.pods(namespace)} {story.audit(story.incident(namespace, 'data', CLAIM))}"

    story.until(lambda: over(story, namespace), why)
    for _ in range(6):
        story.settle()
        incident = story.incident(namespace, "data", CLAIM)
        if word in story.words(incident):
            return incident
        story.pass_(61)
    raise AssertionError(f"never {why()}")
