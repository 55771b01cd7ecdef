"""What an attempt creates, copies, resizes and means for a time: once, marked, and taken back exactly."""

import copy

import pytest

from shared.kube import made
from shared.kube import write as writing
from shared.kube.errors import Conflict, NotFound, Refused
from shared.kube.mark import KEPT, MADE, MARK, TEMPORARY, UNDO, UNTIL, Stay
from shared.model.facts import ObjectRef
from shared.model.plan import OWN_IMAGE, Plan, Write

STAY = Stay("2026-12-01T00:00:00Z", "{}")
MINE, OTHER = "grant-1", "grant-2"
WALL = {"spec": {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"]}}


@pytest.fixture
def apply(kube):
    def apply(write, *, mark=f"{MINE}/0", undo=False, dry_run=False, stay=None, version=None):
        seen = writing.read(kube, write, mark.partition("/")[0])
        writing.apply(
            kube, write, mark=mark, undo=undo, field_manager="akeso-test", dry_run=dry_run, stay=stay,
            resource_version=seen.resource_version if version is None else version,
        )  # fmt: skip

    return apply


@pytest.fixture
def wall(cluster):
    cluster.namespace("shop")
    return Write(verb="create", target=ObjectRef(kind="NetworkPolicy", namespace="shop", name="wall"), after=WALL)


@pytest.fixture
def history(cluster):
    """A Deployment of two versions: itself, its old and its new ReplicaSet."""
    cluster.deployment("shop", "web", 1)
    cluster.tick()
    (old,) = cluster.all("ReplicaSet", "shop")
    image = {"containers": [{"name": "app", "image": "registry.example/web:2"}]}
    cluster.edit("Deployment", "shop", "web", {"spec": {"template": {"spec": image}}})
    cluster.tick()
    (new,) = (one for one in cluster.all("ReplicaSet", "shop") if one["metadata"]["name"] != old["metadata"]["name"])
    return cluster.get("Deployment", "shop", "web"), old, new


def back(old, new, web):
    path = "/spec/template"
    source = [{"kind": "ReplicaSet", "name": one["metadata"]["name"], "uid": one["metadata"]["uid"], "path": path}
              for one in (new, old)]  # fmt: skip
    return Write(verb="copy", target=ref(web), path=path, before=source[0], after=source[1])


def ref(found):
    meta = found["metadata"]
    return ObjectRef(kind=found["kind"], namespace=meta.get("namespace", ""), name=meta["name"], uid=meta["uid"])


def notes(found):
    return found["metadata"].get("annotations") or {}


def bare(found):
    """Without what a server and we ourselves note on it."""
    found = copy.deepcopy(found)
    for key in ("resourceVersion", "generation", "managedFields"):
        found["metadata"].pop(key, None)
    for key in [key for key in notes(found) if key.startswith("akeso.dev/")]:
        del found["metadata"]["annotations"][key]
    return {**found, "status": None, "metadata": {key: value for key, value in found["metadata"].items() if value}}


class TestWhatIsCreated:
    def test_is_marked_and_knows_its_maker(self, cluster, kube, wall, apply):
        assert writing.read(kube, wall, MINE).holds

        apply(wall)

        found = cluster.get("NetworkPolicy", "shop", "wall")
        assert (notes(found)[MARK], notes(found)[MADE]) == (f"{MINE}/0", MINE)
        assert found["spec"] == WALL["spec"]
        seen = writing.read(kube, wall, MINE)
        assert (seen.uid_ok, seen.done, seen.holds) == (True, True, False)

    def test_is_not_in_a_rehearsal(self, cluster, wall, apply):
        apply(wall, dry_run=True)

        assert cluster.get("NetworkPolicy", "shop", "wall") is None

    def test_is_there_once(self, cluster, wall, apply):
        apply(wall)

        with pytest.raises(Conflict):
            apply(wall)
        assert len(cluster.all("NetworkPolicy", "shop")) == 1

    def test_takes_no_name_that_another_has(self, kube, wall, apply):
        apply(wall)

        seen = writing.read(kube, wall, OTHER)

        assert (seen.exists, seen.uid_ok, seen.holds) == (True, False, False)

    def test_has_a_name_of_its_attempt_where_the_plan_leaves_it_open(self, cluster, wall, apply):
        open_name = wall.model_copy(update={"target": wall.target.model_copy(update={"name": "wall-"})})

        apply(open_name)
        apply(open_name, mark=f"{OTHER}/0")

        names = {one["metadata"]["name"] for one in cluster.all("NetworkPolicy", "shop")}
        assert names == {made.name_of(open_name, MINE), made.name_of(open_name, OTHER)}
        assert len(names) == 2

    def test_is_a_copy_of_exactly_the_object_that_was_meant(self, cluster, apply):
        spec = {"schedule": "0 0 1 1 *", "jobTemplate": {"metadata": {"labels": {"task": "backup"}}, "spec": {
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "dump", "image": "x/dump:1"}]}},
        }}}  # fmt: skip
        job = cluster.put("CronJob", "shop", {"metadata": {"name": "dump"}, "spec": spec})
        source = {"kind": "CronJob", "name": "dump", "uid": job["metadata"]["uid"], "path": "/spec/jobTemplate"}
        target = ObjectRef(kind="Job", namespace="shop", name="dump-")
        write = Write(verb="create", target=target, after={"from": source, "metadata": {"annotations": {"by": "hand"}}})

        apply(write)

        (made_job,) = cluster.all("Job", "shop")
        assert made_job["spec"]["template"] == spec["jobTemplate"]["spec"]["template"]
        assert made_job["metadata"]["labels"]["task"] == "backup"
        assert notes(made_job)["by"] == "hand"
        other = {**write.after, "from": {**source, "uid": "another"}}
        with pytest.raises(NotFound):
            apply(write.model_copy(update={"after": other}), mark=f"{OTHER}/0")

    def test_is_deleted_by_its_undo_and_nothing_else_is(self, cluster, kube, wall, apply):
        apply(wall)
        (undo,) = Plan(writes=(wall,)).inverse(MINE).writes
        (foreign,) = Plan(writes=(wall,)).inverse(OTHER).writes

        assert not writing.read(kube, foreign, "grant-3").holds
        with pytest.raises(Conflict):
            apply(foreign, mark="grant-3/0", undo=True)
        assert cluster.get("NetworkPolicy", "shop", "wall")

        apply(undo, mark="grant-3/0", undo=True)
        assert cluster.get("NetworkPolicy", "shop", "wall") is None

    def test_says_before_it_is_deleted_that_this_takes_back(self, cluster, wall, apply):
        """The fence lets nothing else be deleted while everything is stopped."""
        apply(wall)
        (undo,) = Plan(writes=(wall,)).inverse(MINE).writes
        cluster.refuse(kind="NetworkPolicy", verb="delete", reason="Forbidden")

        with pytest.raises(Refused):
            apply(undo, mark="grant-3/0", undo=True)

        found = cluster.get("NetworkPolicy", "shop", "wall")
        assert notes(found)[MARK] == notes(found)[UNDO] == "grant-3/0"

    def test_of_late_cannot_be_shut_out_and_says_so(self, kube, wall):
        assert writing.fence(kube, wall, mark=f"{MINE}/0", field_manager="akeso-test") is False


class TestACopy:
    def test_brings_the_template_back_without_the_controllers_own_label(self, cluster, kube, history, apply):
        web, old, new = history
        write = back(old, new, web)
        assert writing.read(kube, write, MINE).holds

        apply(write)

        template = cluster.get("Deployment", "shop", "web")["spec"]["template"]
        assert template["spec"]["containers"][0]["image"] == "registry.example/web:1"
        assert "pod-template-hash" not in template["metadata"]["labels"]
        assert writing.read(kube, write, MINE).done

    def test_is_taken_back_byte_for_byte(self, cluster, history, apply):
        web, old, new = history
        write = back(old, new, web)
        apply(write)

        apply(*Plan(writes=(write,)).inverse(MINE).writes, mark="grant-3/0", undo=True)

        assert bare(cluster.get("Deployment", "shop", "web")) == bare(web)

    def test_is_not_made_over_what_somebody_else_has_changed(self, cluster, kube, history):
        web, old, new = history
        image = {"containers": [{"name": "app", "image": "registry.example/web:3"}]}
        cluster.edit("Deployment", "shop", "web", {"spec": {"template": {"spec": image}}})

        assert not writing.read(kube, back(old, new, web), MINE).holds

    @pytest.mark.parametrize("which", ["before", "after"])
    def test_of_what_is_gone_is_none(self, cluster, kube, history, apply, which):
        web, old, new = history
        gone = new if which == "before" else old
        cluster.delete("ReplicaSet", "shop", gone["metadata"]["name"])
        write = back(old, new, web)

        if which == "before":
            assert not writing.read(kube, write, MINE).holds
        else:
            with pytest.raises(NotFound):
                apply(write)

    def test_puts_no_value_into_the_plan(self, history):
        web, old, new = history

        assert "registry.example" not in Plan(writes=(back(old, new, web),)).model_dump_json()


class TestAResize:
    @pytest.fixture
    def pod(self, cluster):
        limits = {"limits": {"memory": "64Mi"}, "requests": {"memory": "64Mi"}}
        containers = [{"name": "side", "image": "x"}, {"name": "web", "image": "x", "resources": limits}]
        return cluster.put("Pod", "shop", {"metadata": {"name": "p"}, "spec": {"containers": containers}})

    @pytest.fixture
    def bigger(self, pod):
        was = pod["spec"]["containers"][1]["resources"]
        more = {"limits": {"memory": "128Mi"}, "requests": {"memory": "64Mi"}}
        path = "/spec/containers/[name=web]/resources"
        return Write(verb="patch", target=ref(pod), path=path, sub="resize", before=was, after=more)

    def test_changes_the_named_container_in_place_after_its_mark(self, cluster, kube, bigger, apply):
        apply(bigger)

        found = cluster.get("Pod", "shop", "p")
        assert found["spec"]["containers"][1]["resources"]["limits"] == {"memory": "128Mi"}
        assert found["metadata"]["uid"] == bigger.target.uid
        assert notes(found)[MARK] == f"{MINE}/0"
        assert writing.read(kube, bigger, MINE).done

    def test_that_was_only_marked_has_not_happened(self, kube, bigger):
        version = writing.read(kube, bigger, MINE).resource_version
        writing.mark_first(
            kube, bigger, mark=f"{MINE}/0", undo=False, field_manager="akeso-test", resource_version=version
        )

        seen = writing.read(kube, bigger, MINE)

        assert (seen.mark, seen.done, seen.holds) == (f"{MINE}/0", False, True)
        assert writing.fence(kube, bigger, mark=f"{MINE}/0", field_manager="akeso-test")

    def test_is_taken_back(self, cluster, bigger, apply):
        apply(bigger)

        apply(*Plan(writes=(bigger,)).inverse(MINE).writes, mark="grant-3/0", undo=True)

        assert cluster.get("Pod", "shop", "p")["spec"]["containers"][1]["resources"] == bigger.before


class TestWhatIsMeantForATime:
    def test_says_so_on_the_object_and_no_more_when_it_is_taken_back(self, cluster, apply):
        node = cluster.put("Node", "", {"metadata": {"name": "n1"}, "spec": {"podCIDR": "10.0.0.0/24"}})
        cordon = Write(verb="patch", target=ref(node), path="/spec/unschedulable", before=None, after=True)

        apply(cordon, stay=STAY)
        found = cluster.get("Node", "", "n1")
        assert notes(found)[UNTIL] == "2026-12-01T00:00:00Z"
        assert found["metadata"]["labels"][TEMPORARY] == "true"

        apply(*Plan(writes=(cordon,)).inverse(MINE).writes, mark="grant-3/0", undo=True)
        found = cluster.get("Node", "", "n1")
        assert not {UNTIL, KEPT} & notes(found).keys()
        assert TEMPORARY not in (found["metadata"].get("labels") or {})

    def test_is_a_label_on_what_is_created(self, cluster, wall, apply):
        apply(wall, stay=STAY)

        assert cluster.all("NetworkPolicy", "shop", f"{TEMPORARY}=true")


TREE = {"a": [{"name": "x", "v": 1}, {"name": "y/z", "v": 2}], "b": {"k/l": {"m": 3}}}


class TestAPath:
    @pytest.mark.parametrize(
        ("path", "value", "pointer"),
        [
            ("/a/[name=x]/v", 1, "/a/0/v"),
            ("/a/[name=y~1z]/v", 2, "/a/1/v"),
            ("/a/1/v", 2, "/a/1/v"),
            ("/b/k~1l/m", 3, "/b/k~1l/m"),
            ("/a/[name=q]/v", None, "/a/[name=q]/v"),
            ("/a/7/v", None, "/a/7/v"),
            ("/a/v", None, "/a/v"),
            ("/b/none/m", None, "/b/none/m"),
        ],
    )
    def test_names_an_item_of_a_list(self, path, value, pointer):
        assert made.at(TREE, path) == value
        assert made.pointed(TREE, path) == pointer


class TestOurOwnImage:
    """A plan stands for it by a word, because who plans does not know it and who writes does."""

    @pytest.fixture
    def job(self, cluster):
        cluster.namespace("shop")
        containers = [{"name": "own", "image": OWN_IMAGE}, {"name": "other", "image": "registry.example/other:1"}]
        spec = {"template": {"spec": {"restartPolicy": "Never", "containers": containers}}}
        return Write(verb="create", target=ObjectRef(kind="Job", namespace="shop", name="once"), after={"spec": spec})

    def test_is_filled_in_when_it_is_written(self, cluster, kube, job, apply, monkeypatch):
        monkeypatch.setattr(kube, "image", "registry.example/akeso:7")
        before = job.model_dump_json()

        apply(job)

        pod = cluster.get("Job", "shop", "once")["spec"]["template"]["spec"]
        assert [one["image"] for one in pod["containers"]] == ["registry.example/akeso:7", "registry.example/other:1"]
        assert job.model_dump_json() == before

    def test_that_nobody_has_told_is_no_image(self, cluster, job, apply):
        with pytest.raises(Refused, match="AKESO_IMAGE"):
            apply(job)
        assert cluster.all("Job", "shop") == []


class TestAnOwner:
    def test_that_a_copy_is_given_is_on_it(self, cluster, kube, apply):
        cluster.cronjob("shop", "dump")
        of = cluster.get("CronJob", "shop", "dump")
        owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "dump", "uid": of["metadata"]["uid"],
                 "controller": True}  # fmt: skip
        source = {"kind": "CronJob", "name": "dump", "uid": of["metadata"]["uid"], "path": "/spec/jobTemplate"}
        after = {"from": source, "metadata": {"ownerReferences": [owner]}}

        apply(Write(verb="create", target=ObjectRef(kind="Job", namespace="shop", name="once"), after=after))

        assert kube.get("Job", "shop", "once")["metadata"]["ownerReferences"] == [owner]
