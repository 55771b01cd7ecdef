"""One write has one effect: on what was read, marked, and never late."""

import pytest

from shared.action.outcome import reason_of
from shared.kube import write as writing
from shared.kube.errors import Conflict, KubeDown, NotFound, Refused, Throttled
from shared.kube.mark import MARK, UNDO, pointer
from shared.kube.write import Seen
from shared.model.facts import ObjectRef
from shared.model.plan import Write

REPLICAS = "/spec/replicas"


@pytest.fixture
def web(cluster):
    return cluster.deployment("shop", "web", 2)


@pytest.fixture
def scale(web):
    return Write(verb="patch", target=ref(web), path=REPLICAS, before=2, after=5)


@pytest.fixture
def pod(cluster):
    body = {"metadata": {"name": "p", "labels": {"app": "p"}}, "spec": {"nodeName": "emulated"}}
    return cluster.put("Pod", "shop", body | {"status": {"phase": "Running"}})


@pytest.fixture
def evict(pod):
    return Write(verb="evict", target=ref(pod))


@pytest.fixture
def apply(kube):
    def apply(write, seen, *, mark="g/0", undo=False, dry_run=False):
        version = seen if isinstance(seen, str) else seen.resource_version
        writing.apply(
            kube, write, mark=mark, undo=undo, field_manager="akeso-test", resource_version=version, dry_run=dry_run
        )

    return apply


def ref(found):
    meta = found["metadata"]
    return ObjectRef(kind=found["kind"], namespace="shop", name=meta["name"], uid=meta["uid"])


def now(cluster, kind="Deployment", name="web"):
    return cluster.get(kind, "shop", name)


def notes(found):
    return found["metadata"].get("annotations") or {}


def changed(cluster):
    return [(request.verb, request.status) for request in cluster.requests if request.verb not in {"get", "list"}]


class TestReading:
    def test_what_may_still_be_done(self, kube, web, scale):
        assert writing.read(kube, scale) == Seen(
            exists=True, uid_ok=True, holds=True, resource_version=web["metadata"]["resourceVersion"], value=2
        )

    def test_what_is_done_already_and_by_whom(self, kube, scale, apply):
        apply(scale, writing.read(kube, scale))

        seen = writing.read(kube, scale)

        assert (seen.holds, seen.done, seen.mark) == (False, True, "g/0")

    def test_what_somebody_else_changed(self, cluster, kube, scale):
        cluster.edit("Deployment", "shop", "web", {"spec": {"replicas": 7}})

        seen = writing.read(kube, scale)

        assert (seen.uid_ok, seen.holds, seen.done) == (True, False, False)

    def test_what_is_gone(self, cluster, kube, scale):
        cluster.store.delete(("Deployment", "shop", "web"))

        assert writing.read(kube, scale) == Seen()

    def test_another_object_of_that_name_is_neither_done_nor_to_be_done(self, cluster, kube, scale):
        cluster.store.delete(("Deployment", "shop", "web"))
        cluster.deployment("shop", "web", 5)

        seen = writing.read(kube, scale)

        assert (seen.exists, seen.uid_ok, seen.holds, seen.done) == (True, False, False, False)

    def test_a_target_without_uid_is_nobody(self, kube, scale):
        seen = writing.read(kube, scale.model_copy(update={"target": scale.target.model_copy(update={"uid": ""})}))

        assert (seen.uid_ok, seen.holds) == (False, False)

    def test_an_object_on_its_way_out_takes_no_write(self, cluster, kube, scale):
        leaving = {"metadata": {"deletionTimestamp": "x"}}
        cluster.store.patch(("Deployment", "shop", "web"), leaving, manager="", trusted=True)

        seen = writing.read(kube, scale)

        assert (seen.deleting, seen.holds) == (True, False)

    @pytest.mark.parametrize(
        ("path", "before", "holds"),
        [
            ("/spec/template/spec/containers/0/image", "registry.example/api:1", True),
            ("/spec/template/spec/containers/1/image", None, True),
            ("/spec/template/spec/containers/x/image", None, True),
            ("/spec/template/spec/containers/0", {"image": "registry.example/api:1", "name": "app"}, True),
            ("/metadata/labels/a~1b~0c", "v", True),
            ("/metadata/labels/a", None, True),
            ("/spec/replicas", True, False),
            ("/spec/replicas", "2", False),
            ("/spec/replicas/deeper", None, True),
        ],
    )
    def test_a_field_is_found_by_its_pointer_and_compared_exactly(self, cluster, kube, path, before, holds):
        found = cluster.deployment("shop", "api", 2, labels={"a/b~c": "v"})
        write = Write(verb="patch", target=ref(found), path=path, before=before, after=1)

        assert writing.read(kube, write).holds is holds

    def test_an_eviction_holds_until_that_very_pod_is_leaving(self, cluster, kube, evict):
        assert (writing.read(kube, evict).holds, writing.read(kube, evict).done) == (True, False)

        leaving = {"metadata": {"deletionTimestamp": "x"}}
        cluster.store.patch(("Pod", "shop", "p"), leaving, manager="", trusted=True)
        assert (writing.read(kube, evict).holds, writing.read(kube, evict).done) == (False, True)

        cluster.tick()
        assert writing.read(kube, evict) == Seen(done=True)

        cluster.put("Pod", "shop", {"metadata": {"name": "p"}})
        seen = writing.read(kube, evict)
        assert (seen.exists, seen.uid_ok, seen.holds, seen.done) == (True, False, False, True)


class TestAPatch:
    def test_it_is_one_request_that_writes_field_and_mark_together(self, cluster, kube, scale, apply):
        apply(scale, writing.read(kube, scale))

        assert now(cluster)["spec"]["replicas"] == 5
        assert notes(now(cluster)) == {MARK: "g/0"}
        assert changed(cluster) == [("patch", 200)]
        assert cluster.writes()[0].field_manager == "akeso-test"

    def test_it_names_the_very_object_and_version_and_the_old_value(self, kube, scale, apply, monkeypatch):
        sent = []
        monkeypatch.setattr(kube, "patch", lambda *place, form, **_: sent.append((place, form)))
        seen = writing.read(kube, scale)

        apply(scale, seen)

        (((kind, namespace, name, operations), form),) = sent
        assert (kind, namespace, name, form) == ("Deployment", "shop", "web", "json")
        assert [operation for operation in operations if operation["op"] == "test"] == [
            {"op": "test", "path": "/metadata/uid", "value": scale.target.uid},
            {"op": "test", "path": "/metadata/resourceVersion", "value": seen.resource_version},
            {"op": "test", "path": REPLICAS, "value": 2},
        ]

    def test_a_dry_run_changes_nothing(self, cluster, kube, web, scale, apply):
        apply(scale, writing.read(kube, scale), dry_run=True)

        assert now(cluster) == web
        assert cluster.writes() == []

    @pytest.mark.parametrize(
        ("field", "before", "after"),
        [
            ("providerID", None, "x"),
            ("providerID", "x", "y"),
            ("providerID", "x", None),
            ("taints", None, [{"key": "a", "effect": "NoSchedule"}]),
            ("unschedulable", None, True),
            ("unschedulable", True, None),
        ],
    )
    def test_it_sets_replaces_and_removes_and_its_inverse_restores_byte_for_byte(
        self, cluster, kube, apply, field, before, after
    ):
        spec = {} if before is None else {field: before}
        found = cluster.put("Node", "", {"metadata": {"name": "n1"}, "spec": spec})
        target = ObjectRef(kind="Node", name="n1", uid=found["metadata"]["uid"])
        write = Write(verb="patch", target=target, path=f"/spec/{field}", before=before, after=after)
        back = write.model_copy(update={"before": after, "after": before})

        apply(write, writing.read(kube, write))
        assert cluster.get("Node", "", "n1")["spec"] == ({} if after is None else {field: after})
        assert writing.read(kube, write).done

        apply(back, writing.read(kube, back), undo=True)
        assert cluster.get("Node", "", "n1")["spec"] == found["spec"]

    def test_an_object_without_annotations_gets_some(self, cluster, kube, apply):
        found = cluster.put("Node", "", {"metadata": {"name": "n1"}, "spec": {}})
        target = ObjectRef(kind="Node", name="n1", uid=found["metadata"]["uid"])
        write = Write(verb="patch", target=target, path="/metadata/annotations/a~1b", before=None, after="x")

        apply(write, writing.read(kube, write))

        assert notes(cluster.get("Node", "", "n1")) == {"a/b": "x", MARK: "g/0"}

    def test_other_annotations_stay(self, cluster, kube, apply):
        found = cluster.deployment("shop", "api", 2, annotations={"theirs": "kept"})
        write = Write(verb="patch", target=ref(found), path=REPLICAS, before=2, after=5)

        apply(write, writing.read(kube, write))

        assert notes(now(cluster, name="api")) == {"theirs": "kept", MARK: "g/0"}

    def test_an_undo_says_that_it_is_one_and_a_later_write_does_not(self, cluster, kube, scale, apply):
        apply(scale, writing.read(kube, scale), undo=True)
        assert notes(now(cluster)) == {MARK: "g/0", UNDO: "g/0"}

        again = scale.model_copy(update={"before": 5, "after": 6})
        apply(again, writing.read(kube, again), mark="h/0")

        assert notes(now(cluster)) == {MARK: "h/0"}

    def test_a_second_one_after_the_first_is_a_conflict(self, cluster, kube, scale, apply):
        seen = writing.read(kube, scale)
        apply(scale, seen)

        with pytest.raises(Conflict):
            apply(scale, seen)
        assert len(cluster.writes()) == 1


class TestAStaleWrite:
    def check_refused(self, cluster, write, seen, apply, error=Conflict):
        before = now(cluster)
        with pytest.raises(error):
            apply(write, seen)
        assert now(cluster) == before
        assert cluster.writes() == []

    def test_anything_written_since_the_read_is_a_conflict(self, cluster, kube, scale, apply):
        seen = writing.read(kube, scale)
        cluster.edit("Deployment", "shop", "web", {"metadata": {"labels": {"a": "b"}}})

        self.check_refused(cluster, scale, seen, apply)
        assert changed(cluster) == []  # what can only fail is not sent

    def test_a_field_that_somebody_else_changed_is_a_conflict_even_on_the_present_version(
        self, cluster, kube, scale, apply
    ):
        cluster.edit("Deployment", "shop", "web", {"spec": {"replicas": 7}})

        self.check_refused(cluster, scale, writing.read(kube, scale), apply)

    def test_a_field_that_is_there_when_it_should_not_be_is_a_conflict(self, cluster, kube, web, apply):
        write = Write(verb="patch", target=ref(web), path=REPLICAS, before=None, after=5)

        self.check_refused(cluster, write, writing.read(kube, write), apply)

    def test_another_object_of_that_name_is_a_conflict(self, cluster, kube, scale, apply):
        cluster.store.delete(("Deployment", "shop", "web"))
        cluster.deployment("shop", "web", 2)

        self.check_refused(cluster, scale, writing.read(kube, scale), apply)

    def test_a_target_without_uid_is_a_conflict(self, cluster, kube, scale, apply):
        nobody = scale.model_copy(update={"target": scale.target.model_copy(update={"uid": ""})})

        self.check_refused(cluster, nobody, writing.read(kube, scale), apply)

    def test_an_object_that_is_gone_is_not_found(self, cluster, kube, scale, apply):
        seen = writing.read(kube, scale)
        cluster.store.delete(("Deployment", "shop", "web"))

        self.check_refused(cluster, scale, seen, apply, NotFound)

    def test_a_change_between_our_look_and_our_patch_is_refused_by_the_server(
        self, cluster, kube, scale, apply, monkeypatch
    ):
        seen = writing.read(kube, scale)
        honest = kube.patch

        def late(*args, **kwargs):
            cluster.edit("Deployment", "shop", "web", {"metadata": {"labels": {"a": "b"}}})
            return honest(*args, **kwargs)

        monkeypatch.setattr(kube, "patch", late)

        with pytest.raises(Conflict):
            apply(scale, seen)
        assert changed(cluster) == [("patch", 422)]
        assert now(cluster)["spec"]["replicas"] == 2

    def test_a_result_that_the_server_judges_wrong_is_refused_and_no_conflict(self, cluster, kube, scale, apply):
        wrong = scale.model_copy(update={"after": -1})

        self.check_refused(cluster, wrong, writing.read(kube, wrong), apply, Refused)


class TestNoAnswer:
    def test_a_write_that_happened_without_an_answer_is_found_by_its_mark(self, cluster, kube, scale, apply):
        seen = writing.read(kube, scale)
        cluster.fault(verb="patch", status=500, applied=True)

        with pytest.raises(KubeDown) as caught:
            apply(scale, seen)

        assert caught.value.unclear
        found = writing.read(kube, scale)
        assert (found.done, found.mark) == (True, "g/0")

    def test_a_write_that_did_not_happen_leaves_no_mark(self, cluster, kube, scale, apply):
        seen = writing.read(kube, scale)
        cluster.fault(verb="patch", status=500)

        with pytest.raises(KubeDown):
            apply(scale, seen)

        assert writing.read(kube, scale) == seen


class TestAnEviction:
    def test_the_pod_is_marked_first_and_then_evicted(self, cluster, kube, evict, apply):
        apply(evict, writing.read(kube, evict))

        assert notes(now(cluster, "Pod", "p")) == {MARK: "g/0"}
        assert writing.read(kube, evict).done
        assert changed(cluster) == [("patch", 200), ("evict", 201)]

    def test_a_dry_run_changes_nothing(self, cluster, kube, pod, evict, apply):
        apply(evict, writing.read(kube, evict), dry_run=True)

        assert now(cluster, "Pod", "p") == pod
        assert cluster.writes() == []
        assert changed(cluster) == [("patch", 200), ("evict", 201)]

    def test_a_dry_run_asks_the_budget_too(self, cluster, kube, evict, apply):
        ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        cluster.set_status("Pod", "shop", "p", ready)
        cluster.pdb("shop", "b", {"app": "p"}, min_available=1)

        with pytest.raises(Throttled):
            apply(evict, writing.read(kube, evict), dry_run=True)

    def test_a_pod_that_changed_since_the_read_is_neither_marked_nor_evicted(self, cluster, kube, evict, apply):
        seen = writing.read(kube, evict)
        cluster.set_status("Pod", "shop", "p", {"phase": "Running", "message": "changed"})

        with pytest.raises(Conflict):
            apply(evict, seen)
        assert cluster.writes() == []

    def test_a_pod_that_changes_after_its_mark_is_not_evicted(self, cluster, kube, evict):
        version = writing.read(kube, evict).resource_version
        marked = writing.mark_first(
            kube, evict, mark="g/0", undo=False, field_manager="akeso-test", resource_version=version
        )
        cluster.set_status("Pod", "shop", "p", {"phase": "Running", "message": "changed"})

        with pytest.raises(Conflict):
            writing.evict(kube, evict, mark="g/0", resource_version=marked)
        assert not writing.read(kube, evict).deleting

    def test_the_eviction_itself_carries_the_mark_too(self, kube, evict, apply, monkeypatch):
        carried = []
        monkeypatch.setattr(kube, "evict", lambda *_, annotations, **__: carried.append(annotations))

        apply(evict, writing.read(kube, evict))

        assert carried == [{MARK: "g/0"}]

    def test_a_pod_that_a_run_which_is_gone_has_marked_is_evicted_under_that_mark(self, cluster, kube, evict, apply):
        version = writing.read(kube, evict).resource_version
        writing.mark_first(kube, evict, mark="g/0", undo=False, field_manager="akeso-test", resource_version=version)

        apply(evict, writing.read(kube, evict))

        # Marking it again would bring no new mark, which the API server's own fence refuses.
        assert changed(cluster) == [("patch", 200), ("evict", 201)]

    def test_another_pod_of_that_name_is_not_touched(self, cluster, kube, evict, apply):
        cluster.store.delete(("Pod", "shop", "p"))
        cluster.put("Pod", "shop", {"metadata": {"name": "p"}})

        with pytest.raises(Conflict):
            apply(evict, writing.read(kube, evict))
        assert cluster.writes() == []

    def test_evicting_twice_is_once(self, cluster, kube, evict, apply):
        seen = writing.read(kube, evict)
        apply(evict, seen)

        with pytest.raises(Conflict):
            apply(evict, seen)
        assert [verb for verb, _ in changed(cluster)].count("evict") == 1


class TestAFence:
    def test_a_late_write_fails_and_changes_nothing(self, cluster, kube, scale, apply):
        seen = writing.read(kube, scale)

        assert writing.fence(kube, scale, mark="g/0", field_manager="akeso-test") is True
        with pytest.raises(Conflict):
            apply(scale, seen)

        assert now(cluster)["spec"]["replicas"] == 2
        assert notes(now(cluster)) == {MARK: "g/0/fenced"}

    def test_a_patch_already_on_its_way_fails_too(self, cluster, kube, scale, apply, monkeypatch):
        honest = kube.patch

        def overtaken(*args, **kwargs):
            monkeypatch.setattr(kube, "patch", honest)
            assert writing.fence(kube, scale, mark="g/0", field_manager="akeso-test")
            return honest(*args, **kwargs)

        monkeypatch.setattr(kube, "patch", overtaken)

        with pytest.raises(Conflict):
            apply(scale, writing.read(kube, scale))
        assert now(cluster)["spec"]["replicas"] == 2

    def test_a_late_eviction_fails_even_after_its_mark(self, kube, evict):
        version = writing.read(kube, evict).resource_version
        marked = writing.mark_first(
            kube, evict, mark="g/0", undo=False, field_manager="akeso-test", resource_version=version
        )

        assert writing.fence(kube, evict, mark="g/0", field_manager="akeso-test")
        with pytest.raises(Conflict):
            writing.evict(kube, evict, mark="g/0", resource_version=marked)

    def test_an_eviction_that_has_landed_cannot_be_fenced(self, kube, evict, apply):
        apply(evict, writing.read(kube, evict))

        assert writing.fence(kube, evict, mark="g/0", field_manager="akeso-test") is False

    def test_what_has_landed_cannot_be_fenced(self, cluster, kube, scale, apply):
        apply(scale, writing.read(kube, scale))

        assert writing.fence(kube, scale, mark="g/0", field_manager="akeso-test") is False
        assert notes(now(cluster)) == {MARK: "g/0"}

    def test_a_write_that_lands_while_the_fence_goes_up_is_seen(self, cluster, kube, scale, apply, monkeypatch):
        honest, seen = kube.patch, writing.read(kube, scale)

        def raced(*args, **kwargs):
            monkeypatch.setattr(kube, "patch", honest)
            apply(scale, seen)
            return honest(*args, **kwargs)

        monkeypatch.setattr(kube, "patch", raced)

        assert writing.fence(kube, scale, mark="g/0", field_manager="akeso-test") is False
        assert now(cluster)["spec"]["replicas"] == 5

    def test_what_is_gone_or_another_needs_no_fence(self, cluster, kube, scale):
        cluster.store.delete(("Deployment", "shop", "web"))
        assert writing.fence(kube, scale, mark="g/0", field_manager="akeso-test") is False

        cluster.deployment("shop", "web", 2)
        assert writing.fence(kube, scale, mark="g/0", field_manager="akeso-test") is False
        assert cluster.writes() == []

    def test_an_object_that_never_rests_is_a_conflict(self, cluster, kube, scale):
        cluster.fault(verb="patch", status=409, times=3)

        with pytest.raises(Conflict):
            writing.fence(kube, scale, mark="g/0", field_manager="akeso-test")

    def test_fencing_twice_is_as_good_as_once(self, cluster, kube, scale):
        for mark in ("g/0", "g/0/fenced"):
            assert writing.fence(kube, scale, mark=mark, field_manager="akeso-test") is True

        assert notes(now(cluster)) == {MARK: "g/0/fenced"}
        # A second one would bring no new mark, which the API server's own fence refuses.
        assert changed(cluster) == [("patch", 200)]


class TestPutConfigmap:
    def test_it_is_made_where_missing_and_other_keys_stay(self, cluster, kube):
        cluster.namespace("akeso-system")
        writing.put_configmap(kube, "akeso-system", "c", {"a": "1", "b": "2"}, field_manager="m")
        writing.put_configmap(kube, "akeso-system", "c", {"b": "3"}, field_manager="m")

        assert cluster.get("ConfigMap", "akeso-system", "c")["data"] == {"a": "1", "b": "3"}

    def test_without_its_namespace_it_cannot_be_made(self, kube):
        with pytest.raises(NotFound):
            writing.put_configmap(kube, "akeso-system", "c", {"a": "1"}, field_manager="m")


def test_a_pointer_escapes_what_would_be_read_as_a_step():
    assert pointer("metadata", "annotations", "a.b/c~d") == "/metadata/annotations/a.b~1c~0d"


class TestTheWordForWhatAServerRefuses:
    @pytest.mark.parametrize(
        ("error", "word"),
        [
            (Throttled("Cannot evict pod as it would violate the pod's disruption budget."), "disruption-budget"),
            (Throttled("too many requests, please try again later"), "busy"),
            (Refused("PATCH /apis/apps/v1/namespaces/shop/deployments/quota-api: 403 is forbidden"), "unsupported"),
            (Refused('pods "web" is forbidden: exceeded quota: pods, requested: pods=1'), "quota"),
            (Refused("maximum memory usage per Container is 32Mi"), "quota"),
            (Refused("denied request: akeso: stop is set"), "protected"),
        ],
    )  # fmt: skip
    def test_goes_by_its_own_message(self, error, word):
        assert reason_of(error) == word
