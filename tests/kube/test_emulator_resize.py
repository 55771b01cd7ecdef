"""Memory that is too little, and the resize that cures it: what the emulated API takes, and what the node does then."""

import pytest

from shared import clock
from shared.kube.errors import Conflict, Refused
from tests.cluster.api import STRATEGIC_PATCH

PODS = "/api/v1/namespaces/shop/pods"
LIMITED = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}
NEEDS, RESIZE = "emulator.akeso.dev/needs-memory", "emulator.akeso.dev/resize"


@pytest.fixture
def hungry(cluster, advance):
    """A Deployment whose one pod was killed once, and since then waits for more than it may have."""
    return _starving(cluster, advance, "hungry")


@pytest.fixture
def looping(cluster, advance):
    """One whose pod is killed over and over."""
    return _starving(cluster, advance, "oom")


def _starving(cluster, advance, behaviour):
    cluster.deployment("shop", "web", 1, behaviour=behaviour, notes={NEEDS: "200Mi"}, resources=LIMITED)
    advance()
    advance(30)
    return cluster


def pod(cluster):
    (found,) = cluster.all("Pod")
    return found


def container(cluster):
    (found,) = pod(cluster)["status"]["containerStatuses"]
    return found


def resize(kube, cluster, value="256Mi", was="128Mi", **more):
    path = "/spec/containers/0/resources/limits/memory"
    body = [{"op": "test", "path": path, "value": was}, {"op": "replace", "path": path, "value": value}]
    name = pod(cluster)["metadata"]["name"]
    return kube.patch("Pod", "shop", name, body, form="json", field_manager="m", sub="resize", **more)


class TestAPodThatNeedsMore:
    def test_is_killed_for_its_memory_and_started_again(self, looping, advance):
        before = container(looping)
        advance(300)

        killed = before["lastState"]["terminated"]
        assert (killed["reason"], killed["exitCode"]) == ("OOMKilled", 137)
        assert clock.parse_ms(killed["finishedAt"]) <= clock.now_ms()
        assert before["state"] == {"waiting": {"reason": "CrashLoopBackOff"}}
        assert container(looping)["restartCount"] > before["restartCount"] > 0

    def test_does_not_recover_by_more_that_it_gets_while_it_waits(self, looping, kube, advance):
        resize(kube, looping)
        advance()
        advance(300)

        assert container(looping)["resources"]["limits"]["memory"] == "256Mi"
        assert container(looping)["state"] == {"waiting": {"reason": "CrashLoopBackOff"}}

    def test_recovers_in_place_once_its_limit_is_raised(self, hungry, kube, advance):
        before, restarts = pod(hungry)["metadata"], container(hungry)["restartCount"]

        resize(kube, hungry)
        assert container(hungry)["resources"]["limits"]["memory"] == "128Mi"
        advance()

        after = container(hungry)
        assert (after["ready"], after["restartCount"]) == (True, restarts)
        assert after["resources"] == LIMITED | {"limits": {"memory": "256Mi"}}
        assert after["lastState"]["terminated"]["reason"] == "OOMKilled"  # what was stays known
        assert pod(hungry)["metadata"]["uid"] == before["uid"]
        assert pod(hungry)["metadata"]["generation"] == before["generation"] + 1

    def test_does_not_recover_by_too_little(self, hungry, kube, advance):
        resize(kube, hungry, "199Mi")
        advance()

        assert not container(hungry)["ready"]

    @pytest.mark.parametrize("why", ["Infeasible", "Deferred"])
    def test_waits_where_the_node_does_not_do_it(self, hungry, kube, advance, why):
        hungry.edit("Pod", "shop", pod(hungry)["metadata"]["name"], {"metadata": {"annotations": {RESIZE: why}}})
        resize(kube, hungry)
        advance()

        assert container(hungry)["resources"]["limits"]["memory"] == "128Mi"
        assert not container(hungry)["ready"]
        pending = {"type": "PodResizePending", "status": "True", "reason": why}
        assert pending in pod(hungry)["status"]["conditions"]

    def test_is_replaced_by_a_healthy_one_when_the_template_is_raised(self, hungry, advance):
        more = {"name": "app", "image": "registry.example/web:1", "resources": {"limits": {"memory": "1Gi"}}}
        hungry.edit("Deployment", "shop", "web", {"spec": {"template": {"spec": {"containers": [more]}}}})
        advance()
        advance(2)
        advance()

        assert container(hungry)["ready"]


class TestAResize:
    def test_that_is_a_rehearsal_changes_nothing(self, hungry, kube):
        version = hungry.store.version

        assert resize(kube, hungry, dry_run=True)["spec"]["containers"][0]["resources"]["limits"]["memory"] == "256Mi"
        assert hungry.store.version == version

    def test_of_what_somebody_else_has_resized_is_a_conflict(self, hungry, kube):
        with pytest.raises(Conflict):
            resize(kube, hungry, was="96Mi")

    @pytest.mark.parametrize("value", ["63Mi", "-1", "many", "1 Gi", ""])
    def test_to_what_cannot_be_is_refused_and_changes_nothing(self, hungry, kube, value):
        version = hungry.store.version

        with pytest.raises(Refused) as caught:
            resize(kube, hungry, value)
        assert caught.value.status == 422
        assert hungry.store.version == version

    @pytest.mark.parametrize(
        ("change", "field", "reason"),
        [
            ({"resources": {"requests": {"cpu": "200m"}, "limits": {"cpu": "0.1"}}}, "resources.requests", "Invalid"),
            ({"resources": {"limits": {"memory": None}}}, "resources.limits", "Forbidden"),
            ({"resources": {"requests": {"cpu": None}}}, "resources.requests", "Forbidden"),
            ({"resources": {"limits": {"ephemeral-storage": "1Gi"}}}, "spec", "Forbidden"),
            ({"resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}},
             "spec", "Invalid"),
            ({"name": "other", "image": "x"}, "spec.containers", "Forbidden"),
        ],
    )  # fmt: skip
    def test_names_the_field_it_is_refused_for(self, hungry, send, change, field, reason):
        path = f"{PODS}/{pod(hungry)['metadata']['name']}/resize"
        status, body = send("PATCH", path, {"spec": {"containers": [{"name": "app"} | change]}}, form=STRATEGIC_PATCH)

        assert status == 422
        (cause,) = body["details"]["causes"]
        assert cause["field"].endswith(field)
        assert cause["reason"] == f"FieldValue{reason}"

    @pytest.mark.parametrize(
        "body",
        [
            {"metadata": {"labels": {"a": "b"}, "annotations": {"akeso.dev/attempt": "x"}}},
            {"spec": {"containers": [{"name": "app", "image": "other"}], "nodeName": "elsewhere"}},
            {"status": {"phase": "Failed"}},
        ],
    )
    def test_drops_whatever_else_comes_with_it_without_a_word(self, hungry, send, body):
        before = pod(hungry)

        assert send("PATCH", f"{PODS}/{before['metadata']['name']}/resize", body, form=STRATEGIC_PATCH)[0] == 200
        assert pod(hungry) == before

    def test_is_the_only_way_to_other_resources_of_a_pod_that_runs(self, hungry, kube):
        path, name = "/spec/containers/0/resources/limits/memory", pod(hungry)["metadata"]["name"]

        with pytest.raises(Refused):
            kube.patch("Pod", "shop", name, [{"op": "replace", "path": path, "value": "256Mi"}], form="json",
                       field_manager="m")  # fmt: skip

    @pytest.mark.parametrize("path", ["/apis/apps/v1/namespaces/shop/deployments/web/resize", f"{PODS}/none/resize"])
    def test_of_what_has_none_is_a_404(self, call, path):
        assert call("PATCH", path, {}, form=STRATEGIC_PATCH)[0] == 404
