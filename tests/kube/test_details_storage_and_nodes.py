"""A claim with its volume, and a node with what runs there."""

import pytest

from shared.kube import write
from shared.kube.details import claim, node
from shared.kube.errors import KubeDown
from tests.kube import seen


class TestClaim:
    @pytest.fixture
    def shop(self, cluster):
        cluster.put("PersistentVolumeClaim", "shop", seen.claim())
        cluster.put("StorageClass", "", seen.storage_class())
        return cluster

    def look(self, kube, found=None):
        return claim.look(kube, seen.DATA, found or seen.claim())

    @pytest.mark.usefixtures("shop")
    def test_is_told_with_its_size_its_class_and_its_conditions(self, kube):
        found = self.look(kube)

        assert (found.requested.value, found.requested.text, found.capacity.value) == (1 << 30, "1Gi", 1 << 30)
        assert (found.phase, found.storage_class, found.expandable) == ("Bound", "fast", True)
        assert (found.access_modes, found.volume_mode) == (("ReadWriteOnce",), "Filesystem")
        assert [(one.name, one.status) for one in found.conditions] == [("FileSystemResizePending", "True")]
        assert "wait for the pod" not in found.model_dump_json()

    def test_of_a_class_that_is_gone_does_not_grow(self, kube):
        assert not self.look(kube).expandable

    def test_without_a_class_asks_for_none(self, cluster, kube):
        bare = seen.claim()
        del bare["spec"]["storageClassName"]

        assert self.look(kube, bare).storage_class == ""
        assert not [one for one in cluster.requests if "storageclasses" in one.path]

    @pytest.mark.parametrize("says", ["true", 1, None, False])
    def test_grows_only_where_its_class_says_true(self, says):
        table = seen.Table({"StorageClass": [{**seen.storage_class(), "allowVolumeExpansion": says}]})

        assert not claim.look(table, seen.DATA, seen.claim()).expandable

    def test_is_mounted_by_the_pods_that_name_it_and_are_not_over(self, shop, kube):
        volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
        shop.put("Pod", "shop", seen.pod("has", "n1", owner="StatefulSet", volumes=volumes))
        shop.put("Pod", "shop", seen.pod("other", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "x"}}]))
        over = seen.pod("over", volumes=volumes)
        over["status"]["phase"] = "Succeeded"
        shop.put("Pod", "shop", over)

        assert [(one.name, one.node, one.owner) for one in self.look(kube).mounts] == [("has", "n1", "StatefulSet")]

    @pytest.mark.parametrize(
        ("whole", "own", "said"),
        [
            ({"runAsUser": 5, "runAsGroup": 6, "fsGroup": 7}, {}, (5, 6, 7)),
            ({"runAsUser": 5}, {"runAsUser": 0}, (0, None, None)),
            ({"runAsUser": "5", "fsGroup": -1}, {"runAsGroup": 1 << 40}, (None, None, None)),
            ({}, {}, (None, None, None)),
        ],
    )
    def test_is_mounted_by_whom_the_container_or_its_pod_says(self, whole, own, said):
        pod = seen.pod("has", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}])
        pod["spec"]["securityContext"] = whole
        pod["spec"]["containers"][0]["securityContext"] = own
        (mount,) = claim.look(seen.Table({"Pod": [pod]}), seen.DATA, seen.claim()).mounts

        assert (mount.user, mount.group, mount.fs_group) == said

    def test_is_written_on_by_the_container_that_mounts_it(self):
        pod = seen.pod("has", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}])
        proxy = {"name": "proxy", "securityContext": {"runAsUser": 1337}, "volumeMounts": [{"name": "certs"}]}
        app = {"name": "app", "securityContext": {"runAsUser": 5}, "volumeMounts": [{"name": "v"}]}
        pod["spec"]["containers"] = [proxy, app]
        (mount,) = claim.look(seen.Table({"Pod": [pod]}), seen.DATA, seen.claim()).mounts

        assert mount.user == 5

    def test_shows_a_declaration_whole_or_as_one_that_cannot_be_read(self):
        notes = [claim.look(seen.Table({}), seen.DATA, seen.claim(cleanup="x" * size)).notes for size in (1024, 5000)]

        assert [len(one["akeso.dev/cleanup"]) for one in notes] == [1024, 1025]

    def test_is_mounted_by_at_most_twenty_of_thousands(self):
        volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
        table = seen.Table({"Pod": [seen.pod(f"p{at}", volumes=volumes) for at in range(3000)]})

        assert len(claim.look(table, seen.DATA, seen.claim()).mounts) == 20

    @pytest.mark.usefixtures("shop")
    def test_of_a_cluster_without_snapshots_has_no_class_for_them(self, cluster, kube):
        cluster.fault(kind="VolumeSnapshotClass", status=404)

        assert self.look(kube).snapshot_class == ""
        assert cluster.unmet_faults == 0

    @pytest.mark.usefixtures("shop")
    def test_that_nobody_may_say_whether_there_are_snapshots_is_not_no(self, cluster, kube):
        cluster.fault(kind="VolumeSnapshotClass", status=500, times=2)

        with pytest.raises(KubeDown):
            self.look(kube)

    def test_takes_the_default_class_of_its_own_driver(self, shop, kube):
        shop.put("VolumeSnapshotClass", "", seen.snapshot_class("a"))
        shop.put("VolumeSnapshotClass", "", seen.snapshot_class("b", default=True))
        shop.put("VolumeSnapshotClass", "", seen.snapshot_class("0", driver="nfs.example", default=True))

        assert self.look(kube).snapshot_class == "b"

    def test_shows_what_was_written_for_us_but_our_own_records(self):
        found = seen.claim(paths="/data/tmp")
        found["metadata"]["annotations"] |= {write.MARK: "x", write.UNDO: "y", "team/secret": "z"}

        assert claim.look(seen.Table({}), seen.DATA, found).notes == {"akeso.dev/paths": "/data/tmp"}


def at_node(pods=(), nodes=None, found=None):
    one = found or seen.node()
    return node.look(seen.Table({"Pod": list(pods), "Node": [one] if nodes is None else nodes}), seen.N1, one)


class TestNode:
    def test_is_told_with_its_state(self):
        one = seen.node(version="v1.34.0", cordoned=True)
        one["spec"]["taints"] = [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]
        one["status"]["conditions"].append({"type": "MemoryPressure", "status": "True", "message": "free text"})
        found = at_node(found=one)

        assert (found.ready, found.unschedulable, found.kubelet) == (True, True, "v1.34.0")
        assert found.taints == ("node.kubernetes.io/unschedulable",)
        assert [(one.name, one.status) for one in found.conditions] == [("Ready", "True"), ("MemoryPressure", "True")]
        assert "free text" not in found.model_dump_json()

    @pytest.mark.parametrize(
        ("labels", "pool"),
        [({"cloud.google.com/gke-nodepool": "a", "node.kubernetes.io/instance-type": "m"}, "a"),
         ({"eks.amazonaws.com/nodegroup": "b"}, "b"), ({"kubernetes.azure.com/agentpool": "c"}, "c"),
         ({"karpenter.sh/nodepool": "d"}, "d"), ({"node.kubernetes.io/instance-type": "m5.large"}, "m5.large"),
         ({}, "")],
    )  # fmt: skip
    def test_has_the_pool_that_its_provider_says(self, labels, pool):
        assert at_node(found=seen.node(**labels)).pool == pool

    def test_counts_the_nodes_of_its_pool_and_all(self):
        pool = {"karpenter.sh/nodepool": "a"}
        one = seen.node(**pool)
        others = [seen.node("n2", ready=False, **pool), seen.node("n3", cordoned=True, **pool), seen.node("n4")]
        found = at_node(nodes=[one, *others], found=one)

        assert (found.in_pool.all, found.in_pool.ready, found.in_pool.schedulable) == (3, 2, 1)
        assert (found.in_cluster.all, found.in_cluster.ready, found.in_cluster.schedulable) == (4, 3, 2)


def traits(one):
    return set(at_node([one]).pods[0].traits)


class TestPodsOnTheNode:
    def test_are_those_of_this_node_in_every_namespace(self, cluster, kube):
        for namespace, name, on in [("shop", "a", "n1"), ("bank", "b", "n1"), ("shop", "c", "n2"), ("shop", "d", "")]:
            one = seen.pod(name, on)
            one["metadata"]["namespace"] = namespace
            cluster.put("Pod", namespace, one)

        found = node.look(kube, seen.N1, seen.node())

        assert [(one.namespace, one.name) for one in found.pods] == [("bank", "b"), ("shop", "a")]
        assert not found.more

    def test_an_ordinary_one_has_no_trait(self):
        assert traits(seen.pod()) == set()

    def test_each_trait_is_seen(self):
        mirror, critical, marked = seen.pod(owner="Node"), seen.pod(priority=2_000_001_000), seen.pod()
        mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
        marked["metadata"]["annotations"] = {"akeso.dev/protected": "true"}
        over, leaving, system = seen.pod(), seen.pod(), seen.pod()
        over["status"]["phase"], leaving["metadata"]["deletionTimestamp"] = "Failed", "2026-01-01T00:00:00Z"
        system["metadata"]["namespace"] = "kube-system"

        assert traits(mirror) == {"mirror"}
        assert traits(seen.pod(owner="DaemonSet")) == {"daemonset"}
        assert traits(seen.pod(volumes=[{"name": "e", "emptyDir": {}}])) == {"local"}
        assert traits(seen.pod(owner="")) == {"unmanaged"}
        assert traits(critical) == traits(seen.pod(priorityClassName="system-node-critical")) == {"critical"}
        assert traits(system) == traits(marked) == {"protected"}
        assert (traits(over), traits(leaving)) == ({"over"}, {"leaving"})

    def test_are_at_most_110_and_it_says_that_there_are_more(self):
        found = at_node([seen.pod(f"web-{at:04}") for at in range(4000)])

        assert len(found.pods) == 110
        assert found.more
