"""A Job that has the volume and nothing else, and deletes what its owner has declared."""

import json

import pytest

from shared.action.catalogue import Catalogue
from shared.model.details import CLEANUP, Claim, Details, Mount, Run, Runs
from shared.model.facts import Facts, Scope
from shared.model.plan import OWN_IMAGE, Refusal
from shared.tool.cleanup import declared

ACTION = Catalogue.home().load("cleanup_storage")
SCOPE = Scope(kind="PersistentVolumeClaim", namespace="shop", name="data", uid="c-1")
LOGS = {"path": "logs", "pattern": "*.log", "older_than": "7d", "at_most_mb": 100}
SAYS = json.dumps([LOGS])
DB = Mount(name="db-0", uid="p-1", node="n1", user=999, group=998, fs_group=997)


def facts(*, runs=(), scope=SCOPE, says=SAYS, attempt="", **claim):
    notes = {} if says is None else {CLEANUP: says}
    made = {"phase": "Bound", "access_modes": ("ReadWriteOnce",), "notes": notes, **claim}
    return Facts(taken_at=1, scope=scope, details=Details(claim=Claim(**made), runs=Runs(runs=runs)), attempt=attempt)


def plan(*, dry_run=False, **changes):
    return ACTION.plan(facts(**changes), ACTION.Params(dry_run=dry_run))


def job(**changes):
    return plan(**changes).writes[0].after["spec"]


def pod(**changes):
    return job(**changes)["template"]["spec"]


class TestTheJob:
    def test_is_created_and_waited_for(self):
        create, watch = plan().writes

        assert (create.verb, create.target.kind, create.target.name) == ("create", "Job", "akeso-cleanup-")
        assert create.after["metadata"] == {
            "labels": {"akeso.dev/task": "cleanup"}, "annotations": {"akeso.dev/for": "PersistentVolumeClaim/data"},
        }  # fmt: skip
        assert (watch.verb, watch.target.uid) == ("watch", "c-1")
        assert plan().inverse("grant-1") is None

    def test_has_the_volume_and_nothing_else(self):
        made = pod(mounts=(DB,))
        (container,) = made["containers"]

        assert made["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": "data", "readOnly": False}}]
        assert container["volumeMounts"] == [{"name": "data", "mountPath": "/volume", "readOnly": False}]
        assert made["automountServiceAccountToken"] is False
        assert made["enableServiceLinks"] is False
        assert not {"env", "envFrom", "ports"} & set(container)
        assert not {"serviceAccountName", "hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(made)

    @pytest.mark.parametrize("mounts", [(), (DB,), (Mount(name="x", uid="u"),)])
    def test_is_one_that_the_strictest_pod_security_lets_pass(self, mounts):
        made = pod(mounts=mounts)
        own = made["containers"][0]["securityContext"]

        assert made["securityContext"]["runAsNonRoot"] is True
        assert made["securityContext"]["runAsUser"] > 0
        assert made["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert own["allowPrivilegeEscalation"] is False
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert own["readOnlyRootFilesystem"] is True

    def test_is_bounded_in_time_in_tries_and_in_what_it_takes(self):
        made = job()
        resources = made["template"]["spec"]["containers"][0]["resources"]

        assert made["backoffLimit"] == 0
        assert made["activeDeadlineSeconds"] < plan().writes[1].patience_s < ACTION.run_s
        assert made["ttlSecondsAfterFinished"] == 3600
        assert set(resources["requests"]) == set(resources["limits"]) == {"cpu", "memory"}

    def test_names_our_image_by_a_word_that_is_the_same_in_every_process(self):
        assert pod()["containers"][0]["image"] == OWN_IMAGE

    def test_is_told_the_declaration_and_no_more(self):
        assert json.loads(pod()["containers"][0]["args"][1]) == [LOGS]

    def test_is_told_a_dollar_as_a_dollar(self):
        says = json.dumps([LOGS | {"pattern": "$(HOME)*.log"}])
        args = pod(says=says)["containers"][0]["args"]

        assert declared(args[1].replace("$$", "$")) == declared(says)
        assert "$$(HOME)" in args[1]

    def test_of_a_dry_run_has_the_volume_for_reading_alone(self):
        made = pod(dry_run=True)

        assert made["containers"][0]["args"][:2] == ["--dry-run", "/volume"]
        assert made["containers"][0]["volumeMounts"][0]["readOnly"] is True
        assert made["volumes"][0]["persistentVolumeClaim"]["readOnly"] is True


class TestAsWhom:
    def test_it_runs_is_what_the_pod_says(self):
        made = pod(mounts=(DB,))["securityContext"]

        assert (made["runAsUser"], made["runAsGroup"], made["fsGroup"]) == (999, 998, 997)

    def test_it_gives_no_volume_to_another_group(self):
        assert pod(mounts=(DB,))["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"
        assert "fsGroup" not in pod(mounts=(Mount(name="x", uid="u", user=5),))["securityContext"]

    def test_it_runs_where_nobody_says_is_nobody(self):
        assert pod()["securityContext"]["runAsUser"] == 65_532


class TestWhere:
    def test_it_runs_is_the_node_that_has_the_volume(self):
        made = pod(mounts=(DB,))
        (term,) = made["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
            "nodeSelectorTerms"
        ]

        assert term == {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}
        assert made["tolerations"] == [{"operator": "Exists"}]

    def test_it_runs_is_not_asked_of_a_pod_that_waits_for_a_node_itself(self):
        made = pod(mounts=(Mount(name="waits", uid="u", user=5), DB))

        assert made["securityContext"]["runAsUser"] == 999
        assert "n1" in str(made["affinity"])

    @pytest.mark.parametrize(
        "changes",
        [{}, {"mounts": (Mount(name="x", uid="u"),)}, {"mounts": (DB,), "access_modes": ("ReadWriteMany",)}],
    )
    def test_it_runs_is_the_schedulers_choice_elsewhere(self, changes):
        assert not {"affinity", "tolerations", "nodeName"} & set(pod(**changes))


@pytest.mark.parametrize(
    ("changes", "reason", "word"),
    [
        ({"says": None}, "undeclared", "akeso.dev/cleanup="),
        ({"says": ""}, "undeclared", "no JSON"),
        ({"says": json.dumps([LOGS | {"path": "../etc"}])}, "undeclared", "path is"),
        ({"says": json.dumps([LOGS | {"path": "/"}])}, "undeclared", "path is"),
        ({"says": json.dumps([LOGS | {"pattern": "*"}])}, "undeclared", "pattern is"),
        ({"says": "[" * 1025}, "undeclared", "longer"),
        ({"phase": "Pending"}, "unsupported", "Pending"),
        ({"volume_mode": "Block"}, "unsupported", "bare device"),
        ({"access_modes": ("ReadWriteOncePod",), "mounts": (DB,)}, "unsupported", "db-0"),
        ({"mounts": (DB.model_copy(update={"user": 0}),)}, "unsupported", "root"),
        ({"runs": (Run(kind="Job", name="akeso-cleanup-1", task="cleanup"),)}, "nothing-to-do", "akeso-cleanup-1"),
        ({"scope": SCOPE.model_copy(update={"uid": ""})}, "not-found", "data"),
        ({"scope": SCOPE.model_copy(update={"kind": "StatefulSet"})}, "unsupported", "StatefulSet"),
    ],
)
def test_refuses_and_names_the_reason(changes, reason, word):
    refused = plan(**changes)

    assert isinstance(refused, Refusal)
    assert refused.reason == reason
    assert word in refused.text
    assert len(refused.text) <= 300


def test_what_nobody_has_looked_at_is_not_cleaned():
    assert ACTION.plan(Facts(taken_at=1, scope=SCOPE), ACTION.Params()).reason == "not-found"


@pytest.mark.parametrize(("state", "reason"), [("complete", ""), ("failed", "failed")])
def test_ends_as_its_job_does(state, reason):
    run = Run(kind="Job", name="akeso-cleanup-1", task="cleanup", attempt="a-1", state=state)
    said = ACTION.arrived(facts(runs=(run,), attempt="a-1"), ACTION.Params())

    assert getattr(said, "reason", said) == reason
    assert ACTION.healthy(facts(runs=(run,))) is (state == "complete")
