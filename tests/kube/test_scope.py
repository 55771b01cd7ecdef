"""From what an alert names to what is healed, and never by guessing."""

import pytest

from shared.kube.errors import KubeDown
from shared.kube.scope import resolve
from shared.model.facts import ObjectRef, Scope


@pytest.fixture
def put(cluster):
    """Create one object; `owner` is an object whose controller reference it gets."""

    def put(kind, name, owner=None, /, **reference):
        metadata = {"name": name}
        if owner is not None:
            of = owner["metadata"]
            metadata["ownerReferences"] = [
                {"kind": owner["kind"], "apiVersion": owner["apiVersion"], "name": of["name"], "uid": of["uid"]}
                | {"controller": True}
                | reference
            ]
        template = {"template": {"metadata": {"labels": {}}}} if kind == "Deployment" else {}
        return cluster.put(kind, "" if kind == "Node" else "shop", {"metadata": metadata, "spec": template})

    return put


def ref(kind, name, **more):
    return ObjectRef(kind=kind, namespace="" if kind == "Node" else "shop", name=name, **more)


def scope_of(found):
    meta = found["metadata"]
    return Scope(kind=found["kind"], namespace=meta.get("namespace", ""), name=meta["name"], uid=meta["uid"])


class TestChains:
    def test_a_pod_of_a_deployment_is_that_deployment(self, kube, put):
        deployment = put("Deployment", "web")
        put("Pod", "web-1-a", put("ReplicaSet", "web-1", deployment))

        assert resolve(kube, ref("Pod", "web-1-a")) == scope_of(deployment)

    @pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet", "Job"])
    def test_a_pod_of_another_workload_is_that_workload(self, kube, put, kind):
        owner = put(kind, "owner")
        put("Pod", "owner-0", owner)

        assert resolve(kube, ref("Pod", "owner-0")) == scope_of(owner)

    @pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "Job", "Node", "PersistentVolumeClaim"])
    def test_a_root_is_itself(self, kube, put, kind):
        found = put(kind, "it")

        assert resolve(kube, ref(kind, "it")) == scope_of(found)

    @pytest.mark.parametrize("kind", ["Pod", "ReplicaSet"])
    def test_what_nothing_controls_is_itself(self, kube, put, kind):
        found = put(kind, "alone")

        assert resolve(kube, ref(kind, "alone")) == scope_of(found)

    def test_an_owner_that_does_not_control_is_no_owner(self, kube, put):
        found = put("Pod", "p", put("ReplicaSet", "rs"), controller=False)

        assert resolve(kube, ref("Pod", "p")) == scope_of(found)

    @pytest.mark.parametrize("kind", ["Job", "StatefulSet", "Deployment"])
    def test_a_workload_stays_the_root_whoever_made_it(self, kube, put, kind):
        maker = {"kind": "CronJob", "apiVersion": "batch/v1", "metadata": {"name": "nightly", "uid": "u"}}
        found = put(kind, "made", maker)

        assert resolve(kube, ref(kind, "made")) == scope_of(found)

    def test_two_pods_of_one_deployment_have_the_same_key(self, cluster, kube):
        cluster.deployment("shop", "web", 2)
        cluster.tick()

        scopes = {resolve(kube, ref("Pod", pod["metadata"]["name"])).key for pod in cluster.all("Pod")}

        assert scopes == {"Deployment/shop/web"}


class TestNeverGuessed:
    def test_a_pod_that_is_gone(self, kube):
        assert resolve(kube, ref("Pod", "gone")) is None

    def test_a_pod_that_was_replaced_under_its_name(self, kube, put):
        owner = put("StatefulSet", "db")
        put("Pod", "db-0", owner)

        assert resolve(kube, ref("Pod", "db-0", uid="of-the-one-before")) is None

    def test_an_owner_that_is_gone(self, cluster, kube, put):
        put("Pod", "p", put("ReplicaSet", "rs"))
        cluster.store.delete(("ReplicaSet", "shop", "rs"))

        assert resolve(kube, ref("Pod", "p")) is None

    def test_an_owner_that_was_replaced_under_its_name(self, cluster, kube, put):
        put("Pod", "p", put("ReplicaSet", "rs"))
        cluster.store.delete(("ReplicaSet", "shop", "rs"))
        put("ReplicaSet", "rs")

        assert resolve(kube, ref("Pod", "p")) is None

    def test_an_owner_without_uid(self, kube, put):
        put("Pod", "p", put("ReplicaSet", "rs"), uid="")

        assert resolve(kube, ref("Pod", "p")) is None

    @pytest.mark.parametrize(
        ("kind", "group"),
        [("Rollout", "argoproj.io/v1alpha1"), ("ReplicaSet", "example.com/v1"), ("Node", "v1"), ("ConfigMap", "v1")],
    )
    def test_an_owner_of_a_kind_that_akeso_does_not_know(self, kube, put, kind, group):
        put("Pod", "p", put("ReplicaSet", "rs"), kind=kind, apiVersion=group)

        assert resolve(kube, ref("Pod", "p")) is None

    def test_owners_in_a_circle(self, cluster, kube, put):
        first = put("ReplicaSet", "a")
        second = put("ReplicaSet", "b", first)
        owner = {"kind": "ReplicaSet", "apiVersion": "apps/v1", "controller": True}
        owner |= {"name": "b", "uid": second["metadata"]["uid"]}
        cluster.edit("ReplicaSet", "shop", "a", {"metadata": {"ownerReferences": [owner]}})

        assert resolve(kube, ref("ReplicaSet", "a")) is None
        assert len(cluster.requests) == 3

    def test_a_chain_that_is_too_long(self, kube, put):
        owner = None
        for name in ("a", "b", "c", "d", "e"):
            owner = put("ReplicaSet", name, owner)

        assert resolve(kube, ref("ReplicaSet", "e")) is None

    @pytest.mark.parametrize("kind", ["ConfigMap", "Namespace", "Secret", "", "unknown"])
    def test_a_kind_that_cannot_be_healed(self, cluster, kube, kind):
        assert resolve(kube, ref(kind, "x")) is None
        assert cluster.requests == []

    def test_a_name_that_is_no_name(self, cluster, kube):
        assert resolve(kube, ref("Pod", "../../nodes/n1")) is None
        assert cluster.requests == []

    def test_an_object_that_we_may_not_read(self, cluster, kube, put):
        put("Pod", "p")
        cluster.fault(verb="get", status=403)

        assert resolve(kube, ref("Pod", "p")) is None


def test_an_api_that_does_not_answer_is_no_verdict(cluster, kube, put):
    put("Pod", "p")
    cluster.fault(verb="get", status=500, times=2)

    with pytest.raises(KubeDown):
        resolve(kube, ref("Pod", "p"))


class TestAnAutoscaler:
    def put(self, cluster, **target):
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"} | target
        spec = {"scaleTargetRef": target, "maxReplicas": 9}
        return cluster.put("HorizontalPodAutoscaler", "shop", {"metadata": {"name": "hpa"}, "spec": spec})

    def test_is_what_it_scales(self, cluster, kube, put):
        deployment, scaler = put("Deployment", "web"), self.put(cluster)

        assert resolve(kube, ref("HorizontalPodAutoscaler", "hpa")) == scope_of(deployment)
        uid = scaler["metadata"]["uid"]
        assert resolve(kube, ref("HorizontalPodAutoscaler", "hpa", uid=uid)) == scope_of(deployment)

    @pytest.mark.parametrize(
        "target",
        [{"kind": "Widget"}, {"apiVersion": "example.org/v1"}, {"apiVersion": ""}, {"name": "other"}, {"name": ""},
         {"kind": "Pod", "apiVersion": "v1"}],
    )  # fmt: skip
    def test_of_what_nobody_knows_is_nothing(self, cluster, kube, put, target):
        put("Deployment", "web")
        self.put(cluster, **target)

        assert resolve(kube, ref("HorizontalPodAutoscaler", "hpa")) is None

    def test_that_is_another_one_by_now_or_gone_is_nothing(self, cluster, kube, put):
        put("Deployment", "web")
        self.put(cluster)

        assert resolve(kube, ref("HorizontalPodAutoscaler", "hpa", uid="former")) is None
        assert resolve(kube, ref("HorizontalPodAutoscaler", "other")) is None
