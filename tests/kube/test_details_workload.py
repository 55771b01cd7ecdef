"""A workload's autoscaler, its room, its declared maintenance, and who enforces policies about it."""

import pytest

from shared.kube.details import network, quota, room, scaler, tasks
from shared.kube.facts import take
from tests.kube import seen


def scaled(one):
    return scaler.look(seen.Table({"HorizontalPodAutoscaler": [one]}), seen.WEB, {})


class TestScaler:
    def test_is_told_with_its_bounds_and_what_limits_it(self):
        found = scaled(seen.hpa())

        assert (found.name, found.uid, found.minimum, found.maximum, found.current, found.desired) == (
            "web", "h-1", 2, 5, 5, 5)  # fmt: skip
        assert (found.metrics, found.able, found.limited, found.gitops_owner) == (True, True, "TooManyReplicas", "flux")

    def test_of_another_workload_is_none(self):
        assert scaled(seen.hpa("db")).name == ""

    def test_without_metrics_or_conditions_says_so(self):
        blind = seen.hpa()
        blind["status"]["conditions"][0]["status"] = "False"
        assert not scaled(blind).metrics
        blind["status"] = {}
        assert (scaled(blind).metrics, scaled(blind).able, scaled(blind).limited) == (False, False, "")

    def test_without_a_minimum_has_one_and_no_field_for_it(self):
        bare = seen.hpa()
        del bare["spec"]["minReplicas"]

        assert (scaled(bare).minimum, scaled(bare).minimum_said) == (1, False)


def roomy(ranges=(), quotas=(), nodes=()):
    table = seen.Table({"LimitRange": list(ranges), "ResourceQuota": list(quotas), "Node": list(nodes)})
    return room.look(table, seen.WEB, {})


class TestRoom:
    def test_without_any_limit_is_not_limited(self):
        found = roomy()

        assert (found.container.cpu, found.pod.memory, found.left.storage, found.node.memory) == (None,) * 4

    def test_the_smallest_maximum_counts_each_kind_for_itself(self):
        found = roomy(
            [
                seen.limit_range(cpu="2", memory="1Gi"),
                seen.limit_range(cpu="1500m"),
                seen.limit_range("Pod", memory="4Gi"),
                seen.limit_range("PersistentVolumeClaim", storage="9Gi"),
            ]
        )

        assert (found.container.cpu, found.container.memory) == (1500, 1 << 30)
        assert (found.pod.cpu, found.pod.memory, found.claim) == (None, 4 << 30, 9 << 30)

    def test_what_a_quota_leaves_is_the_least_of_all_under_either_name(self):
        found = roomy(quotas=[
            seen.quota({"requests.cpu": "4", "memory": "2Gi"}, {"requests.cpu": "3500m"}),
            seen.quota({"cpu": "8", "requests.storage": "1Ti", "limits.memory": "1Gi"}, {"limits.memory": "2Gi"}),
        ]).left  # fmt: skip

        assert (found.requests_cpu, found.requests_memory) == (500, 2 << 30)
        assert (found.storage, found.limits_memory, found.limits_cpu) == (1 << 40, -(1 << 30), None)

    def test_the_largest_node_is_one_that_takes_pods(self):
        found = roomy(nodes=[seen.node("a", cpu="3920m", memory="6Gi"), seen.node("b", cpu="2", memory="7Gi"),
                             seen.node("c", cordoned=True, cpu="64", memory="256Gi"),
                             seen.node("d", ready=False, cpu="64", memory="256Gi")]).node  # fmt: skip

        assert (found.cpu, found.memory) == (3920, 7 << 30)


class TestQuota:
    def pods(self, *quotas):
        return quota.look(seen.Table({"ResourceQuota": list(quotas)}), seen.WEB, {}).pods

    @pytest.mark.parametrize(
        ("hard", "used", "left"),
        [
            ({"pods": "10"}, {"pods": "4"}, 6),
            ({"count/pods": "10"}, {"count/pods": "10"}, 0),
            ({"pods": "3"}, {"pods": "5"}, -2),
            ({"pods": "1k"}, {}, 1000),
            ({"requests.cpu": "4"}, {"requests.cpu": "4"}, None),
            ({"pods": "many"}, {"pods": "4"}, None),
        ],
    )
    def test_leaves_what_is_not_used_of_it(self, hard, used, left):
        assert self.pods(seen.quota(hard, used)) == left

    @pytest.mark.parametrize("used", [{}, {"pods": "0"}, {"pods": "2"}])
    @pytest.mark.parametrize("name", ["pods", "count/pods"])
    def test_of_no_pod_lets_none_be_made_anew_whatever_it_has_counted(self, name, used):
        assert self.pods(seen.quota({"pods": "9"}), seen.quota({name: "0"}, used)) < 0

    @pytest.mark.parametrize("scope", ["BestEffort", "Terminating"])
    def test_of_other_pods_is_none(self, scope):
        assert self.pods(seen.quota({"pods": "0"}, scopes=[scope])) is None

    def test_of_one_priority_is_none(self):
        selector = {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}

        assert self.pods(seen.quota({"pods": "0"}, scopeSelector=selector)) is None


class TestTasks:
    def declared(self, *jobs, scope=seen.WEB):
        return tasks.look(seen.Table({"CronJob": list(jobs)}), scope, {}).tasks

    def test_are_those_for_this_scope(self):
        (found,) = self.declared(seen.cronjob(), seen.cronjob("other", of="Deployment/db"), seen.cronjob("odd", "mine"))

        assert (found.name, found.uid, found.task, found.suspended) == ("dump", "j-dump", "backup", True)
        assert found.last_success_at > 0

    @pytest.mark.parametrize(
        ("spec", "vanishes"),
        [
            ({}, False), ({"successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 1}, False),
            ({"successfulJobsHistoryLimit": 0}, True), ({"failedJobsHistoryLimit": 0}, True),
            ({"jobTemplate": {"spec": {"ttlSecondsAfterFinished": 0}}}, True),
            ({"jobTemplate": {"spec": {"ttlSecondsAfterFinished": 119}}}, True),
            ({"jobTemplate": {"spec": {"ttlSecondsAfterFinished": 120}}}, False),
            ({"jobTemplate": {"spec": {"ttlSecondsAfterFinished": "soon"}}}, False),
        ],
        ids=str,
    )  # fmt: skip
    def test_whose_jobs_are_deleted_as_soon_as_they_end_are_told_apart(self, spec, vanishes):
        job = seen.cronjob()
        job["spec"] |= spec
        assert [one.vanishes for one in self.declared(job)] == [vanishes]

    def test_are_at_most_twenty(self):
        assert len(self.declared(*(seen.cronjob(f"j{at}") for at in range(3000)))) == 20

    def test_are_asked_for_by_their_label(self, cluster, kube):
        cluster.put("CronJob", "shop", seen.cronjob())
        plain = seen.cronjob("plain")
        plain["metadata"]["labels"] = {}
        cluster.put("CronJob", "shop", plain)

        assert [one.name for one in tasks.look(kube, seen.WEB, {}).tasks] == ["dump"]


class TestNetwork:
    @pytest.mark.parametrize(
        ("namespace", "name", "enforcer"),
        [("kube-system", "calico-node", "calico"), ("calico-system", "calico-node", "calico"),
         ("kube-system", "cilium", "cilium"), ("kube-system", "anetd", "cilium"),
         ("kube-system", "antrea-agent", "antrea"),
         ("openshift-ovn-kubernetes", "ovnkube-node", "ovn"), ("kube-system", "kube-flannel-ds", "unknown"),
         ("shop", "calico-node", "unknown")],
    )  # fmt: skip
    def test_is_enforced_by_what_is_known_where_it_belongs(self, cluster, kube, namespace, name, enforcer):
        cluster.put("DaemonSet", namespace, {"metadata": {"name": name}, "spec": {}})

        assert network.look(kube, seen.WEB, {}).enforcer == enforcer

    @pytest.mark.parametrize(
        ("spec", "opens"),
        [
            ({"podSelector": {}, "ingress": [{}]}, True),
            ({"podSelector": {}, "egress": [{"ports": [{"port": 53}]}], "policyTypes": ["Egress"]}, True),
            ({"podSelector": {}, "ingress": [{}], "policyTypes": ["Egress"]}, False),
            ({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}, False),
            ({"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{}]}, False),
            ({"podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}, "ingress": [{}]}, False),
            ({"podSelector": {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]},
              "ingress": [{}]}, True),
            ({"podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["db"]}]},
              "ingress": [{}]}, True),
            ({"podSelector": {"matchExpressions": [{"key": "app", "operator": "Gt"}]}, "ingress": [{}]}, True),
            ({"podSelector": {"matchExpressions": ["what"]}, "ingress": [{}]}, True),
            ({"podSelector": {}, "ingress": [{}], "policyTypes": 5}, True),
        ],
        ids=str,
    )  # fmt: skip
    def test_is_open_by_what_lets_traffic_through_to_a_pod_without_labels(self, spec, opens):
        wall = {"metadata": {"name": "p"}, "spec": spec}
        found = network.look(seen.Table({"NetworkPolicy": [wall]}), seen.WEB, {})
        assert found.open_by == (("p",) if opens else ())

    def test_names_the_first_ten_that_do(self):
        walls = [{"metadata": {"name": f"p{n:02}"}, "spec": {"podSelector": {}, "egress": [{}]}} for n in range(12)]
        found = network.look(seen.Table({"NetworkPolicy": walls}), seen.WEB, {})
        assert found.open_by == tuple(f"p{n:02}" for n in range(10))


class TestCost:
    def test_details_ask_nothing_twice_and_at_most_thirteen_more(self, cluster, kube):
        cluster.deployment("shop", "web", 2)
        cluster.tick()
        take(kube, seen.WEB, None, stop_namespace="akeso-system")
        before = len(cluster.requests)

        take(kube, seen.WEB, None, stop_namespace="akeso-system", details=None)

        assert len(cluster.requests) - before <= before + 13
        assert [one.verb for one in cluster.requests if "horizontalpod" in one.path] == ["list", "list"]

    def test_without_details_nothing_further_is_asked(self, cluster, kube):
        cluster.deployment("shop", "web", 2)

        facts = take(kube, seen.WEB, None, stop_namespace="akeso-system")

        assert facts.details.room is None
        assert not [one for one in cluster.requests if "nodes" in one.path]
