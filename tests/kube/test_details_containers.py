"""What the containers of a scope ask for and get."""

import pytest

from shared import clock
from shared.kube.details import containers
from shared.model.details import Amount, Amounts
from shared.model.facts import Scope
from tests.kube import seen


def look(pods=(), nodes=(), found=None, scope=seen.WEB):
    return containers.look(seen.Table({"Pod": list(pods), "Node": list(nodes)}), scope, found or seen.deployment())


class TestOfTheTemplate:
    def test_amounts_are_numbers_with_the_servers_text(self):
        (app,) = look().containers

        assert (app.name, app.index) == ("app", 0)
        assert app.requests == Amounts(cpu=Amount(value=100, text="100m"), memory=Amount(value=64 << 20, text="64Mi"))
        assert app.limits == Amounts(memory=Amount(value=128 << 20, text="128Mi"))
        assert (app.resize_cpu, app.resize_memory) == ("", "RestartContainer")

    def test_of_a_pod_without_owner_they_are_the_pods(self):
        found = look(found=seen.pod(), scope=Scope(kind="Pod", namespace="shop", name="web-1"))

        assert [one.name for one in found.containers] == ["app"]
        assert [one.name for one in found.pods] == ["web-1"]

    def test_a_container_that_is_none_leaves_the_places_of_the_others(self):
        found = seen.deployment()
        found["spec"]["template"]["spec"]["containers"].insert(0, "junk")

        assert [one.index for one in look(found=found).containers] == [1]


class TestOfLivePods:
    def test_what_the_node_gives_is_told_where_it_is_something_else(self):
        (live,) = look([seen.pod()]).pods
        (app,) = live.containers

        assert (live.name, live.uid, live.node) == ("web-1", "u-web-1", "n1")
        assert app.actual_requests is None
        assert app.actual_limits.memory == Amount(value=256 << 20, text="256Mi")

    @pytest.mark.parametrize(
        ("state", "running"),
        [({"running": {"startedAt": "2026-01-01T00:00:00Z"}}, True), ({"running": {}}, True),
         ({"waiting": {"reason": "CrashLoopBackOff"}}, False), ({"terminated": {"reason": "OOMKilled"}}, False),
         ({}, False), (None, False), ("running", False)],
    )  # fmt: skip
    def test_it_runs_where_its_node_says_so(self, state, running):
        pod = seen.pod()
        pod["status"]["containerStatuses"][0]["state"] = state

        assert look([pod]).pods[0].containers[0].running is running
        del pod["status"]["containerStatuses"]
        assert not look([pod]).pods[0].containers[0].running

    def test_the_last_kill_for_memory_is_told_of_the_container(self):
        (app,) = look([seen.pod()]).containers

        assert app.oom_at == clock.parse_ms("2026-01-01T00:00:00Z")

    def test_pods_that_are_over_or_leaving_are_none(self):
        over, leaving = seen.pod("over"), seen.pod("leaving")
        over["status"]["phase"] = "Failed"
        leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

        assert look([over, leaving]).pods == ()

    def test_at_most_fifty_are_listed_and_it_says_that_there_are_more(self):
        found = look([seen.pod(f"web-{at:04}") for at in range(4000)])

        assert 20 <= len(found.pods) <= 50
        assert found.more
        assert not look([seen.pod()]).more


class TestInPlace:
    @pytest.mark.parametrize(
        ("version", "can"),
        [("v1.34.0", True), ("v1.35.2+k3s1", True), ("v1.34.1-gke.100", True), ("v2.0.0", True), ("v1.33.9", False),
         ("v1.4.0", False), ("", False), ("unknown", False), ("v1.333333", False)],
    )  # fmt: skip
    def test_is_from_1_34_on(self, version, can):
        assert look([seen.pod()], [seen.node(version=version)]).in_place is can

    def test_needs_every_node_that_runs_one_of_them(self):
        pods = [seen.pod("a", "n1"), seen.pod("b", "n2")]

        assert not look(pods, [seen.node("n1"), seen.node("n2", version="v1.33.0")]).in_place
        assert look(pods, [seen.node("n1"), seen.node("n2"), seen.node("n3", version="v1.33.0")]).in_place

    def test_a_node_that_nobody_sees_or_none_yet_is_no_yes(self):
        assert not look([seen.pod(node="n9")], [seen.node()]).in_place
        assert not look([seen.pod(node="")], [seen.node()]).in_place
        assert not look([], [seen.node()]).in_place


class TestAllThatAContainerHas:
    @pytest.mark.parametrize(
        ("resources", "plain"),
        [
            ({}, True),
            ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1"}}, True),
            ({"limits": {"memory": "1Gi", "nvidia.com/gpu": "1"}}, False),
            ({"requests": {"ephemeral-storage": "1Gi"}}, False),
            ({"limits": {"memory": "1Gi"}, "claims": [{"name": "gpu"}]}, False),
            ({"limits": {"memory": 1024}}, False),  # whose text nobody knows
        ],
    )
    def test_is_known_where_it_is_cpu_and_memory_alone(self, resources, plain):
        found, pod = seen.deployment(), seen.pod()
        found["spec"]["template"]["spec"]["containers"][0]["resources"] = resources
        pod["spec"]["containers"][0]["resources"] = resources

        told = look([pod], found=found)

        assert told.containers[0].plain is told.pods[0].containers[0].plain is plain

    def test_what_the_owner_had_set_is_told_as_it_was_noted(self):
        found = seen.deployment()
        found["metadata"]["annotations"] = {"akeso.dev/resources-of": "app/memory=64Mi" + "," * 5000}

        assert look(found=found).kept == ("app/memory=64Mi" + "," * 5000)[:2000]
        assert look().kept == ""
