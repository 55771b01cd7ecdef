"""The emulated storage: claims that grow or may not, and snapshots of them."""

import pytest

from shared.dev.cluster_storage import RESIZE, SNAPSHOT
from tests.cluster.api import MERGE_PATCH

CLAIM = "/api/v1/namespaces/shop/persistentvolumeclaims/data"
SNAPSHOTS = "/apis/snapshot.storage.k8s.io/v1/namespaces/shop/volumesnapshots"


def sized(size):
    return {"spec": {"resources": {"requests": {"storage": size}}}}


@pytest.fixture
def grow(send):
    return lambda size, **more: send("PATCH", CLAIM, sized(size), form=MERGE_PATCH, **more)


@pytest.fixture
def claim(cluster):
    """A claim of 1 GiB whose class grows."""
    cluster.storage_class("fast")
    return cluster.claim("shop", "data", "1Gi", "fast")


def status(cluster):
    return cluster.get("PersistentVolumeClaim", "shop", "data")["status"]


class TestAClaim:
    @pytest.mark.usefixtures("claim")
    def test_grows_to_what_is_asked_for(self, cluster, grow, advance):
        assert grow("1.5Gi")[0] == 200
        assert status(cluster)["capacity"] == {"storage": "1Gi"}

        advance()
        assert status(cluster) == {"phase": "Bound", "capacity": {"storage": "1.5Gi"}}

    @pytest.mark.parametrize("size", ["1Gi", "1024Mi", "1Mi", "0"])
    @pytest.mark.usefixtures("claim")
    def test_never_shrinks_to_what_it_has_or_less(self, cluster, grow, advance, size):
        grow("2Gi")
        code, body = grow(size)
        assert (code, body["reason"]) == (422, "Invalid")

        advance()
        assert status(cluster)["capacity"] == {"storage": "2Gi"}
        assert grow("1.5Gi")[0] == 422

    @pytest.mark.usefixtures("claim")
    def test_that_no_driver_has_grown_yet_may_ask_for_less_again(self, cluster, grow, advance):
        grow("2Gi")
        assert grow("1100Mi")[0] == 200

        advance()
        assert status(cluster)["capacity"] == {"storage": "1100Mi"}

    @pytest.mark.parametrize("grows", [False, None])
    def test_of_a_class_that_does_not_grow_or_is_gone_is_refused_in_the_servers_words(self, cluster, grow, grows):
        if grows is False:
            cluster.storage_class("slow", grows=False)
        cluster.claim("shop", "data", "1Gi", "slow")

        code, body = grow("2Gi")
        assert (code, body["reason"]) == (403, "Forbidden")
        assert body["message"] == (
            'persistentvolumeclaims "data" is forbidden: only dynamically provisioned pvc can be resized and the '
            "storageclass that provisions the pvc must support resize"
        )
        assert grow("1Gi")[0] == 200  # nothing is asked

    @pytest.mark.usefixtures("claim")
    def test_takes_no_other_change(self, send):
        code, body = send("PATCH", CLAIM, {"spec": {"storageClassName": "slow"}}, form=MERGE_PATCH)

        assert (code, body["details"]["causes"][0]["field"]) == (422, "spec")

    @pytest.mark.parametrize("size", ["much", "1 Gi", "", "1gi", "NaN"])
    @pytest.mark.usefixtures("claim")
    def test_of_no_size_at_all_is_refused(self, grow, size):
        assert grow(size)[0] == 422

    def test_that_waits_for_its_file_system_says_so_and_stays_as_it_is(self, cluster, grow, advance):
        cluster.storage_class("fast")
        cluster.claim("shop", "data", "1Gi", "fast", {RESIZE: "file-system-pending"})
        grow("2Gi")
        advance()
        version = cluster.store.version
        advance(60)

        (condition,) = status(cluster)["conditions"]
        assert (condition["type"], condition["status"]) == ("FileSystemResizePending", "True")
        assert status(cluster)["capacity"] == {"storage": "1Gi"}
        assert cluster.store.version == version

        cluster.edit("PersistentVolumeClaim", "shop", "data", {"metadata": {"annotations": {RESIZE: None}}})
        advance()
        assert status(cluster) == {"phase": "Bound", "capacity": {"storage": "2Gi"}}

    def test_whose_driver_does_nothing_stays_as_it_is(self, cluster, grow, advance):
        cluster.storage_class("fast")
        cluster.claim("shop", "data", "1Gi", "fast", {RESIZE: "stuck"})
        grow("2Gi")
        advance()

        assert status(cluster) == {"phase": "Bound", "capacity": {"storage": "1Gi"}}

    def test_made_by_somebody_is_bound_a_moment_later_where_there_is_its_class(self, cluster, send, grow, advance):
        cluster.namespace("shop")
        cluster.storage_class("fast")
        for name, chosen in (("data", "fast"), ("lost", "none")):
            spec = {"storageClassName": chosen, "accessModes": ["ReadWriteOnce"], **sized("1Gi")["spec"]}
            assert send("POST", CLAIM.removesuffix("/data"), {"metadata": {"name": name}, "spec": spec})[0] == 201
        assert grow("2Gi")[0] == 422  # not bound yet

        advance()
        assert status(cluster)["phase"] == "Bound"
        assert grow("2Gi")[0] == 200
        assert "status" not in cluster.get("PersistentVolumeClaim", "shop", "lost")


class TestASnapshot:
    @pytest.fixture
    def snap(self, cluster, send, advance):
        def snap(source="data", notes=()):
            body = {
                "metadata": {"name": "s", "annotations": dict(notes)},
                "spec": {"source": {"persistentVolumeClaimName": source}},
            }
            assert send("POST", SNAPSHOTS, body)[0] == 201
            assert "status" not in cluster.get("VolumeSnapshot", "shop", "s")
            advance()
            return cluster.get("VolumeSnapshot", "shop", "s").get("status", {})

        return snap

    @pytest.mark.usefixtures("claim")
    def test_is_ready_a_moment_later(self, snap):
        found = snap()

        assert (found["readyToUse"], found["restoreSize"]) == (True, "1Gi")
        assert found["boundVolumeSnapshotContentName"]

    @pytest.mark.usefixtures("claim")
    def test_that_the_driver_refuses_says_why(self, snap):
        found = snap(notes={SNAPSHOT: "fail"})

        assert (found["readyToUse"], found["error"]["message"]) == (False, "the driver says no")

    def test_can_be_told_by_its_claim_to_get_nowhere(self, cluster, snap):
        cluster.claim("shop", "data", annotations={SNAPSHOT: "stuck"})

        assert snap() == {}

    def test_of_no_claim_is_an_error(self, cluster, snap):
        cluster.namespace("shop")

        assert "not found" in snap("nothing")["error"]["message"]
