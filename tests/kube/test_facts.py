"""Each field of the snapshot, and what it costs to take one."""

import pytest

from shared import clock
from shared.kube.errors import KubeDown
from shared.kube.facts import read_configmap, stop_mode, take
from shared.model.facts import ContainerState, ObjectRef, Replicas, Scope

WEB = Scope(kind="Deployment", namespace="shop", name="web")
SYSTEM = "akeso-system"


def look(kube, scope=WEB, ref=None):
    return take(kube, scope, ref, stop_namespace=SYSTEM)


@pytest.fixture
def web(cluster):
    cluster.namespace("shop", {"akeso.dev/autonomy": "auto", "team": "a"})
    web = cluster.deployment("shop", "web", 2, ready_after=0)
    cluster.tick()
    cluster.tick()
    return web


@pytest.fixture
def later(web, tmp_path, monkeypatch):
    """A minute after the Deployment was made."""
    clock.simulate(tmp_path / "clock.json", advance_ms=60_000)
    monkeypatch.setenv("AKESO_CLOCK_FILE", str(tmp_path / "clock.json"))
    return clock.now_ms()


def edit(cluster, merge, *, kind="Deployment", name="web", manager="kubectl-edit", status=None):
    cluster.edit(kind, "shop", name, merge, manager=manager)
    if status is not None:
        cluster.store.status((kind, "shop", name), status)


class TestTheScope:
    def test_it_is_read_under_its_present_uid(self, kube, web):
        before = WEB.model_copy(update={"uid": "of-the-one-before"})

        assert look(kube, before).scope == WEB.model_copy(update={"uid": web["metadata"]["uid"]})

    def test_one_that_is_gone_has_no_facts(self, kube):
        assert look(kube) is None

    def test_an_unknown_scope_has_no_facts(self, cluster, kube):
        assert look(kube, Scope(kind="unknown", name="alert/f00")) is None
        assert cluster.requests == []

    @pytest.mark.usefixtures("web")
    def test_it_is_taken_now(self, kube):
        before = clock.now_ms()

        assert before <= look(kube).taken_at <= clock.now_ms()

    @pytest.mark.usefixtures("web")
    def test_a_snapshot_costs_seven_requests_and_none_over_the_whole_cluster(self, cluster, kube):
        look(kube, ref=ObjectRef(kind="Pod", namespace="shop", name=cluster.all("Pod")[0]["metadata"]["name"]))

        assert len(cluster.requests) == 7
        assert all("/namespaces/" in request.path for request in cluster.requests)

    @pytest.mark.usefixtures("web")
    def test_half_a_snapshot_is_none(self, cluster, kube):
        cluster.fault(kind="PodDisruptionBudget", status=500, times=2)

        with pytest.raises(KubeDown):
            look(kube)


@pytest.mark.usefixtures("web")
class TestTheObject:
    def test_a_pod_that_still_runs_is_named_with_its_uid(self, cluster, kube):
        meta = cluster.all("Pod")[0]["metadata"]
        ref = ObjectRef(kind="Pod", namespace="shop", name=meta["name"])

        assert look(kube, ref=ref).object == ref.model_copy(update={"uid": meta["uid"]})

    def test_a_pod_that_is_gone_is_none(self, kube):
        assert look(kube, ref=ObjectRef(kind="Pod", namespace="shop", name="gone")).object is None

    def test_another_pod_of_that_name_is_none(self, cluster, kube):
        name = cluster.all("Pod")[0]["metadata"]["name"]

        assert look(kube, ref=ObjectRef(kind="Pod", namespace="shop", name=name, uid="other")).object is None

    def test_the_scope_itself_is_not_read_twice(self, cluster, kube):
        found = look(kube, ref=ObjectRef(kind="Deployment", namespace="shop", name="web")).object

        assert found.uid == cluster.get("Deployment", "shop", "web")["metadata"]["uid"]
        assert len(cluster.requests) == 6


class TestAutonomy:
    @pytest.mark.parametrize(
        ("label", "autonomy"),
        [("auto", "auto"), ("off", "off"), ("approve", "approve"), ("AUTO", "observe"), ("", "observe")],
    )
    def test_it_is_the_namespaces_label_and_observe_when_in_doubt(self, cluster, kube, label, autonomy):
        cluster.namespace("shop", {"akeso.dev/autonomy": label})
        cluster.deployment("shop", "web")

        assert look(kube).autonomy == autonomy

    def test_without_a_label_it_is_observe(self, cluster, kube):
        cluster.deployment("shop", "web")

        assert look(kube).autonomy == "observe"

    def test_a_nodes_is_its_own_label(self, cluster, kube):
        cluster.node("n1", {"akeso.dev/autonomy": "suggest"})

        facts = look(kube, Scope(kind="Node", name="n1"))

        assert (facts.autonomy, facts.namespace_labels, facts.replicas, facts.pods) == ("suggest", {}, None, ())
        assert [request.verb for request in cluster.requests] == ["get", "get"]

    def test_the_namespaces_labels_are_bounded_and_ours_come_first(self, cluster, kube):
        cluster.namespace("shop", {f"a{n:02}": "x" for n in range(40)} | {"akeso.dev/autonomy": "auto"})
        cluster.deployment("shop", "web")

        labels = look(kube).namespace_labels

        assert len(labels) == 32
        assert labels["akeso.dev/autonomy"] == "auto"


class TestReplicas:
    @pytest.mark.usefixtures("web")
    def test_a_deployments(self, cluster, kube):
        assert look(kube).replicas == Replicas(desired=2, ready=2, updated=2, available=2)

        edit(cluster, {"spec": {"replicas": 3}})
        assert look(kube).replicas == Replicas(desired=3, ready=2, updated=2, available=2, observed=False)

    def test_a_stateful_sets(self, cluster, kube):
        status = {"observedGeneration": 1, "readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1}
        cluster.put("StatefulSet", "shop", {"metadata": {"name": "db"}, "spec": {"replicas": 3}, "status": status})

        facts = look(kube, Scope(kind="StatefulSet", namespace="shop", name="db"))

        assert facts.replicas == Replicas(desired=3, ready=1, updated=2, available=1)

    def test_a_daemon_sets(self, cluster, kube):
        status = {"observedGeneration": 1, "desiredNumberScheduled": 4, "numberReady": 3}
        status |= {"updatedNumberScheduled": 4, "numberAvailable": 2}
        cluster.put("DaemonSet", "shop", {"metadata": {"name": "agent"}, "spec": {"x": 1}, "status": status})

        facts = look(kube, Scope(kind="DaemonSet", namespace="shop", name="agent"))

        assert facts.replicas == Replicas(desired=4, ready=3, updated=4, available=2)

    @pytest.mark.parametrize("kind", ["Pod", "Job", "PersistentVolumeClaim"])
    def test_others_have_none(self, cluster, kube, kind):
        cluster.put(kind, "shop", {"metadata": {"name": "it"}})

        assert look(kube, Scope(kind=kind, namespace="shop", name="it")).replicas is None


class TestPods:
    def test_what_a_crash_looks_like(self, cluster, kube):
        cluster.deployment("shop", "web", behaviour="crash")
        cluster.tick()

        (pod,) = look(kube).pods

        (found,) = cluster.all("Pod")
        assert (pod.name, pod.uid) == (found["metadata"]["name"], found["metadata"]["uid"])
        assert (pod.phase, pod.ready, pod.deleting) == ("Running", False, False)
        assert pod.containers == (
            ContainerState(name="app", restarts=1, waiting="CrashLoopBackOff", terminated="Error", exit_code=1),
        )

    @pytest.mark.parametrize(
        ("ended", "crashed", "fell"),
        [
            ({"exitCode": 1, "finishedAt": 119}, True, True),
            ({"exitCode": 1, "finishedAt": 121}, True, False),
            ({"exitCode": 1, "finishedAt": 599}, True, False),
            ({"exitCode": 1, "finishedAt": 601}, False, False),
            ({"exitCode": 0, "finishedAt": 1}, False, False),
            ({"exitCode": 1}, False, False),
            ({}, False, False),
        ],
    )
    def test_a_failed_end_of_the_last_ten_minutes_is_a_crash_and_of_the_last_two_a_fall(
        self, cluster, kube, ended, crashed, fell
    ):
        cluster.deployment("shop", "web", behaviour="crash")
        cluster.tick()
        (pod,) = cluster.all("Pod")
        if "finishedAt" in ended:
            ended = ended | {"finishedAt": clock.iso(clock.now_ms() - 1000 * ended["finishedAt"])}
        state = {"name": "app", "state": {"running": {}}, "restartCount": 3, "lastState": {"terminated": ended}}
        cluster.store.status(("Pod", "shop", pod["metadata"]["name"]), {"containerStatuses": [state]})

        (seen,) = look(kube).pods

        assert (seen.containers[0].crashed, seen.containers[0].fell) == (crashed, fell)
        assert seen.containers[0].looping is crashed

    @pytest.mark.usefixtures("web")
    def test_only_those_that_the_selector_means(self, cluster, kube):
        cluster.put("Pod", "shop", {"metadata": {"name": "stranger", "labels": {"app": "api"}}})
        cluster.put("Pod", "other", {"metadata": {"name": "elsewhere", "labels": {"app": "web"}}})

        facts = look(kube)

        assert facts.pod_count == 2
        assert {pod.name for pod in facts.pods} == {
            p["metadata"]["name"] for p in cluster.all("Pod", "shop", "app=web")
        }

    def test_at_most_fifty_and_the_sick_first_of_all_that_were_counted(self, cluster, kube):
        cluster.deployment("shop", "web", 60, ready_after=0)
        cluster.tick()
        cluster.tick()
        sick = max(pod["metadata"]["name"] for pod in cluster.all("Pod"))
        cluster.store.status(("Pod", "shop", sick), {"phase": "Pending"})

        facts = look(kube)

        assert (len(facts.pods), facts.pod_count) == (50, 60)
        assert [pod.name for pod in facts.pods if not pod.ready] == [facts.pods[0].name] == [sick]

    def test_those_that_are_over_come_last_and_hide_none_that_lives(self, cluster, kube):
        cluster.deployment("shop", "web", 60, ready_after=0)
        cluster.tick()
        cluster.tick()
        names = sorted(pod["metadata"]["name"] for pod in cluster.all("Pod"))
        for name in names[:55]:
            cluster.store.status(("Pod", "shop", name), {"phase": "Failed", "reason": "Evicted"})

        pods = look(kube).pods

        assert {pod.name for pod in pods if not pod.over} >= set(names[55:])
        assert (pods[-1].over, pods[-1].reason) == (True, "Evicted")

    @pytest.mark.usefixtures("web")
    def test_one_that_no_node_can_take_says_so(self, cluster, kube):
        name = cluster.all("Pod")[0]["metadata"]["name"]
        why = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
        cluster.store.status(("Pod", "shop", name), {"phase": "Pending", "conditions": [why]})

        assert [pod.reason for pod in look(kube).pods] == ["Unschedulable", ""]

    @pytest.mark.usefixtures("web")
    def test_one_that_is_leaving_says_so(self, cluster, kube):
        name = cluster.all("Pod")[0]["metadata"]["name"]
        leaving = {"metadata": {"deletionTimestamp": clock.iso(clock.now_ms())}}
        cluster.store.patch(("Pod", "shop", name), leaving, manager="", trusted=True)

        assert {pod.name for pod in look(kube).pods if pod.deleting} == {name}

    @pytest.mark.usefixtures("web")
    def test_their_age_is_in_clock_time(self, kube, tmp_path, monkeypatch):
        clock.simulate(tmp_path / "clock.json", advance_ms=3_600_000)
        monkeypatch.setenv("AKESO_CLOCK_FILE", str(tmp_path / "clock.json"))

        assert {pod.age_s // 60 for pod in look(kube).pods} == {60}

    def test_a_bare_pod_is_its_own(self, cluster, kube):
        cluster.put("Pod", "shop", {"metadata": {"name": "alone"}})

        facts = look(kube, Scope(kind="Pod", namespace="shop", name="alone"))

        assert ([pod.name for pod in facts.pods], facts.pod_count) == (["alone"], 1)

    @pytest.mark.parametrize("selector", [None, {}, {"matchLabels": {}}])
    def test_a_selector_that_means_everything_means_nothing(self, cluster, kube, selector):
        cluster.put("Pod", "shop", {"metadata": {"name": "stranger"}})
        cluster.put("StatefulSet", "shop", {"metadata": {"name": "db"}, "spec": {"selector": selector}})

        assert look(kube, Scope(kind="StatefulSet", namespace="shop", name="db")).pods == ()

    def test_long_words_are_cut(self, cluster, kube):
        waiting = {"name": "c", "state": {"waiting": {"reason": "x" * 999}}}
        status = {"containerStatuses": [waiting] * 40}
        cluster.put("Pod", "shop", {"metadata": {"name": "p"}, "status": status})

        (pod,) = look(kube, Scope(kind="Pod", namespace="shop", name="p")).pods

        assert (len(pod.containers), len(pod.containers[0].waiting)) == (10, 64)


@pytest.mark.usefixtures("web")
class TestWhoElseCares:
    def test_the_autoscaler_that_targets_it(self, cluster, kube):
        cluster.hpa("shop", "other", "api")
        assert look(kube).autoscaler == ""

        cluster.hpa("shop", "wrong-kind", "web", kind="StatefulSet")
        assert look(kube).autoscaler == ""

        cluster.hpa("shop", "hpa", "web")
        assert look(kube).autoscaler == "hpa"

    def test_the_tightest_budget_that_matches(self, cluster, kube):
        assert look(kube).disruption_allowed is None

        cluster.pdb("shop", "other", {"app": "api"}, min_available=0)
        assert look(kube).disruption_allowed is None

        cluster.pdb("shop", "wide", {}, min_available=0)
        assert look(kube).disruption_allowed == 2

        cluster.pdb("shop", "tight", {"app": "web"}, min_available=1)
        assert look(kube).disruption_allowed == 1

    def test_a_budget_whose_controller_has_not_looked_allows_nothing(self, cluster, kube):
        cluster.pdb("shop", "b", {"app": "web"}, min_available=0)
        edit(cluster, {"spec": {"minAvailable": 1}}, kind="PodDisruptionBudget", name="b")

        assert look(kube).disruption_allowed == 0

    @pytest.mark.parametrize(
        ("metadata", "owner"),
        [
            ({"labels": {"argocd.argoproj.io/instance": "x"}}, "argocd"),
            ({"annotations": {"argocd.argoproj.io/tracking-id": "x"}}, "argocd"),
            ({"labels": {"kustomize.toolkit.fluxcd.io/name": "x"}}, "flux"),
            ({"labels": {"helm.toolkit.fluxcd.io/name": "x"}}, "flux"),
            ({"labels": {"app.kubernetes.io/instance": "x"}}, ""),
        ],
    )
    def test_the_gitops_tool_whose_mark_it_carries(self, cluster, kube, metadata, owner):
        edit(cluster, {"metadata": metadata})

        assert look(kube).gitops_owner == owner

    def test_who_changed_it_last_and_when(self, cluster, kube, later):
        edit(cluster, {"spec": {"replicas": 3}}, manager="alice")

        facts = look(kube)

        assert facts.last_changed_by == "alice"
        assert later - 1000 <= facts.last_changed_at <= clock.now_ms()

    @pytest.mark.usefixtures("later")
    @pytest.mark.parametrize("manager", ["akeso-scale_deployment", "kube-controller-manager"])
    def test_our_own_changes_and_the_clusters_are_nobodys(self, cluster, kube, manager):
        edit(cluster, {"spec": {"replicas": 3}}, manager=manager)

        assert look(kube).last_changed_by == ""

    @pytest.mark.usefixtures("later")
    def test_a_change_that_leaves_the_spec_alone_is_nobodys(self, cluster, kube):
        edit(cluster, {"metadata": {"labels": {"a": "b"}}}, manager="alice")

        assert look(kube).last_changed_by == ""

    def test_without_any_record_nobody_is_named(self, cluster, kube):
        cluster.put("Pod", "shop", {"metadata": {"name": "p"}})

        facts = look(kube, Scope(kind="Pod", namespace="shop", name="p"))

        assert (facts.last_changed_by, facts.last_changed_at) == ("", 0)

    def test_that_somebody_paused_it(self, cluster, kube):
        assert look(kube).paused is False
        edit(cluster, {"spec": {"paused": True}})
        assert look(kube).paused is True


class TestRollingOut:
    @pytest.mark.usefixtures("web")
    @pytest.mark.parametrize(
        ("status", "reason", "rolling"),
        [
            ({}, "NewReplicaSetAvailable", False),
            ({"observedGeneration": 0}, "NewReplicaSetAvailable", True),
            ({"updatedReplicas": 1}, "ReplicaSetUpdated", True),
            ({"replicas": 3}, "ReplicaSetUpdated", True),
            ({"availableReplicas": 1}, "ReplicaSetUpdated", True),
            ({"availableReplicas": 1}, "NewReplicaSetAvailable", False),  # a crash after a finished rollout
            ({"updatedReplicas": 1, "replicas": 3}, "ProgressDeadlineExceeded", False),
        ],
    )
    def test_a_deployments_rollout(self, cluster, kube, status, reason, rolling):
        good = {"observedGeneration": 9, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
        conditions = [{"type": "Available", "reason": "x"}, {"type": "Progressing", "reason": reason}]
        cluster.store.status(("Deployment", "shop", "web"), {**good, **status, "conditions": conditions})

        assert look(kube).rolling_out is rolling

    @pytest.mark.parametrize(
        ("spec", "status", "rolling"),
        [
            ({}, {"currentRevision": "a", "updateRevision": "a"}, False),
            ({}, {"currentRevision": "a", "updateRevision": "b"}, True),
            ({"updateStrategy": {"type": "OnDelete"}}, {"currentRevision": "a", "updateRevision": "b"}, False),
            ({"updateStrategy": {"rollingUpdate": {"partition": 2}}}, {"updatedReplicas": 1}, False),
            ({"updateStrategy": {"rollingUpdate": {"partition": 1}}}, {"updatedReplicas": 1}, True),
            ({}, {"observedGeneration": 0}, True),
        ],
    )
    def test_a_stateful_sets_rollout(self, cluster, kube, spec, status, rolling):
        status = {"observedGeneration": 1, **status}
        cluster.put(
            "StatefulSet", "shop", {"metadata": {"name": "db"}, "spec": {"replicas": 3, **spec}, "status": status}
        )

        assert look(kube, Scope(kind="StatefulSet", namespace="shop", name="db")).rolling_out is rolling

    @pytest.mark.parametrize(("updated", "rolling"), [(2, False), (1, True)])
    def test_a_daemon_sets_rollout(self, cluster, kube, updated, rolling):
        status = {"observedGeneration": 1, "desiredNumberScheduled": 2, "updatedNumberScheduled": updated}
        cluster.put("DaemonSet", "shop", {"metadata": {"name": "agent"}, "spec": {"x": 1}, "status": status})

        assert look(kube, Scope(kind="DaemonSet", namespace="shop", name="agent")).rolling_out is rolling


class TestTheSpecThatPlansMayRead:
    @pytest.mark.parametrize(
        ("minimum", "spec"),
        [
            ("3", {"replicas": 2, "minimum_replicas": 3}),
            ("0", {"replicas": 2, "minimum_replicas": 0}),
            ("-1", {"replicas": 2}),
            ("3.5", {"replicas": 2}),
            ("٣", {"replicas": 2}),
            ("", {"replicas": 2}),
            ("1" * 4000, {"replicas": 2}),
        ],
    )
    def test_it_is_bounded_and_a_minimum_must_be_a_number(self, cluster, kube, minimum, spec):
        cluster.deployment("shop", "web", 2, annotations={"akeso.dev/minimum-replicas": minimum})

        assert look(kube).spec == spec

    def test_the_owners_maximum_is_one_too(self, cluster, kube):
        cluster.deployment("shop", "web", 2, annotations={"akeso.dev/maximum-replicas": "9"})

        assert look(kube).spec == {"replicas": 2, "maximum_replicas": 9}

    @pytest.mark.parametrize(
        ("strategy", "notes", "seen"),
        [
            ({}, {}, ("RollingUpdate", "1", False, "")),
            ({"type": "OnDelete"}, {"a": "b"}, ("OnDelete", "1", True, "")),
            ({"rollingUpdate": {"maxUnavailable": "25%"}}, {"akeso.dev/restarted": "7"},
             ("RollingUpdate", "25%", True, "7")),
            ({"rollingUpdate": {"maxUnavailable": 3}}, {}, ("RollingUpdate", "3", False, "")),
            ({"rollingUpdate": {"maxUnavailable": "many"}}, {}, ("RollingUpdate", "1", False, "")),
            ({"rollingUpdate": {"maxUnavailable": -1}}, {}, ("RollingUpdate", "1", False, "")),
            ({"rollingUpdate": 7}, {}, ("RollingUpdate", "1", False, "")),
        ],
    )  # fmt: skip
    def test_of_a_daemon_set_it_tells_how_it_is_rolled(self, cluster, kube, strategy, notes, seen):
        template = {"metadata": {"annotations": notes}} if notes else {}
        spec = {"updateStrategy": strategy, "template": template}
        cluster.put("DaemonSet", "shop", {"metadata": {"name": "agent"}, "spec": spec})

        told = look(kube, Scope(kind="DaemonSet", namespace="shop", name="agent")).spec

        assert tuple(told[field] for field in ("strategy", "max_unavailable", "annotated", "restarted")) == seen
        assert told["generation"] == 1


class TestStopMode:
    @pytest.mark.parametrize("mode", ["run", "stop", "freeze"])
    def test_it_is_what_the_configmap_says(self, cluster, kube, mode):
        cluster.deployment("shop", "web")
        cluster.configmap(SYSTEM, "akeso-stop", {"mode": mode})

        assert stop_mode(kube, SYSTEM) == look(kube).stop_mode == mode

    def test_the_empty_one_that_an_installation_brings_lets_the_machine_run(self, cluster, kube):
        cluster.configmap(SYSTEM, "akeso-stop", {})

        assert stop_mode(kube, SYSTEM) == "run"

    def test_without_configmap_nobody_knows_so_it_is_a_freeze(self, kube):
        assert stop_mode(kube, SYSTEM) == "freeze"

    @pytest.mark.parametrize(
        "data", [{"mode": ""}, {"mode": "STOP"}, {"mode": "halt"}, {"hydrated-at": "1"}, {"mode": " run"}]
    )
    def test_what_cannot_be_understood_is_a_freeze(self, cluster, kube, data):
        cluster.configmap(SYSTEM, "akeso-stop", data)

        assert stop_mode(kube, SYSTEM) == "freeze"

    @pytest.mark.parametrize("status", [403, 500, 501])
    def test_what_cannot_be_read_is_a_freeze(self, cluster, kube, status):
        cluster.configmap(SYSTEM, "akeso-stop", {"mode": "run"})
        cluster.fault(kind="ConfigMap", status=status, times=2)

        assert stop_mode(kube, SYSTEM) == "freeze"


class TestReadConfigmap:
    def test_its_data_or_none(self, cluster, kube):
        cluster.configmap(SYSTEM, "c", {"a": "1"})

        assert read_configmap(kube, SYSTEM, "c") == {"a": "1"}
        assert read_configmap(kube, SYSTEM, "d") is None

    def test_that_it_cannot_be_read_is_not_that_there_is_none(self, cluster, kube):
        cluster.fault(kind="ConfigMap", status=500, times=2)

        with pytest.raises(KubeDown):
            read_configmap(kube, SYSTEM, "c")
