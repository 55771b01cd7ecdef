"""What of an incident can still be taken back: by the record, and by what the cluster is now."""

import pytest

from shared.kube.mark import MADE
from shared.model.plan import Plan
from shared.people import undoable

HERE = "{akeso}:default:default:"
BY = {"reason": "looks right", "by": "ada"}


@pytest.fixture
def listed(world, incident, attempt):
    """The one attempt as the list tells it now."""

    def listed():
        said = world.ok("GET", f"v1/incidents/{incident}/undo", token=world.shared)
        return next(one for one in said["attempts"] if one["id"] == attempt)

    return listed


def store(world, *command):
    return world.here.state.store.read(*command)


class TestAnAttempt:
    def test_that_can_be_taken_back_says_what_it_wrote_and_how(self, listed, attempt):
        one = listed()
        assert (one["undo"], one["why"]) == (f"akeso undo {attempt}", "")
        assert one["wrote"] == ["Deployment/shop/checkout /spec/replicas", "- 1", "+ 3"]
        assert (one["action"], one["outcome"]) == ("scale_deployment", "succeeded")
        assert one["at"].startswith("20")

    def test_that_others_have_changed_shows_both(self, world, listed):
        world.cluster.edit("Deployment", "shop", "checkout", {"spec": {"replicas": 7}})
        one = listed()
        assert one["undo"] == ""
        assert one["why"] == "others changed Deployment/shop/checkout /spec/replicas: we wrote 3, there is 7 now"

    def test_that_others_have_taken_back(self, world, listed):
        world.cluster.edit("Deployment", "shop", "checkout", {"spec": {"replicas": 1}})
        assert "is as it was before already" in listed()["why"]

    def test_whose_object_is_gone(self, world, listed):
        world.cluster.delete("Deployment", "shop", "checkout")
        assert listed()["why"] == "Deployment/shop/checkout /spec/replicas is gone"

    def test_whose_object_is_another_one_by_now(self, world, listed):
        world.cluster.delete("Deployment", "shop", "checkout")
        world.cluster.deployment("shop", "checkout", replicas=3)
        assert "another one by now" in listed()["why"]

    def test_that_was_undone_says_by_which(self, world, listed, attempt, incident):
        world.ok("POST", "v1/undo", {"attempt": attempt, **BY})
        world.drive(world.sink.events[0])
        undo = world.ok("GET", f"v1/incidents/{incident}")["attempts"][0]["undone_by"]
        assert listed()["why"] == f"already undone by {undo}"
        others = world.ok("GET", f"v1/incidents/{incident}/undo")["attempts"]
        (why,) = (one["why"] for one in others if one["id"] == undo)
        assert why == f"it took {attempt} back, and what takes back is not taken back"

    @pytest.mark.parametrize(("state", "why"), [("begun", "still running"), ("granted", "not begun")])
    def test_that_has_not_ended(self, world, listed, attempt, state, why):
        store(world, "HSET", f"{HERE}attempt:{attempt}", "state", state)
        assert listed()["why"] == why

    def test_that_left_no_undo(self, world, listed, attempt):
        store(world, "HDEL", f"{HERE}attempt:{attempt}", "inverse")
        assert listed()["why"] == "nothing to take back: scale_deployment left no undo"

    def test_that_wrote_nothing(self, world, listed, attempt):
        store(world, "HDEL", f"{HERE}attempt:{attempt}", "inverse")
        store(world, "HSET", f"{HERE}attempt:{attempt}", "outcome", "skipped")
        assert (listed()["why"], listed()["wrote"]) == ("nothing to take back: it wrote nothing", [])

    def test_that_is_too_old(self, world, listed, attempt):
        store(world, "DEL", f"{HERE}attempt:{attempt}")
        assert listed()["why"] == "older than 8 days: its record is gone"

    def test_whose_object_cannot_be_read_now(self, world, listed):
        world.cluster.fault(kind="Deployment", status=403)
        assert "cannot be read now" in listed()["why"]

    @pytest.mark.parametrize("junk", ["", "{", "[]", '{"writes": 7}', "null"])
    def test_whose_undo_cannot_be_understood(self, world, listed, attempt, junk):
        store(world, "HSET", f"{HERE}attempt:{attempt}", "inverse", junk)
        assert listed()["why"] == "how to take it back cannot be read"


class TestWhatOtherVerbsLeave:
    """As the record holds it, since what can be taken back is read from there."""

    @pytest.fixture
    def left(self, world, listed, attempt):
        def left(**write):
            plan = Plan.model_validate({"writes": [write]})
            store(world, "HSET", f"{HERE}attempt:{attempt}", "inverse", plan.model_dump_json())
            return listed()

        return left

    def test_a_template_that_others_changed_is_not_shown(self, world, left):
        env = [{"name": "QUIET", "value": "a-quiet-value-77"}]
        spec = {"containers": [{"name": "app", "image": "other:2", "env": env}]}
        world.cluster.edit("Deployment", "shop", "checkout", {"spec": {"template": {"spec": spec}}})
        (old, *_) = sorted(
            world.cluster.all("ReplicaSet", "shop"), key=lambda one: one["metadata"]["creationTimestamp"]
        )
        source = {"kind": "ReplicaSet", "uid": old["metadata"]["uid"], "path": "/spec/template"}
        source |= {"name": old["metadata"]["name"]}
        found = world.cluster.get("Deployment", "shop", "checkout")["metadata"]
        target = {"kind": "Deployment", "namespace": "shop", "name": "checkout", "uid": found["uid"]}
        one = left(verb="copy", target=target, path="/spec/template", before=source, after={**source, "name": "gone"})
        assert one["why"].endswith(f"we wrote what ReplicaSet {source['name']} has, there is something else now")
        assert "a-quiet-value-77" not in str(one)

    def test_what_was_created_can_go_while_it_is_ours(self, world, left, attempt):
        target = {"kind": "ConfigMap", "namespace": "shop", "name": "made"}
        made = {"verb": "delete", "target": target, "before": {"attempt": attempt}}
        assert left(**made)["why"] == "ConfigMap/shop/made is gone"
        world.cluster.configmap("shop", "made", {})
        assert "another one by now" in left(**made)["why"]
        world.cluster.edit("ConfigMap", "shop", "made", {"metadata": {"annotations": {MADE: attempt}}})
        assert left(**made)["undo"] == f"akeso undo {attempt}"


class TestTheList:
    def test_says_what_undo_says(self, world, listed, attempt):
        """Where it says that it can be taken back, taking it back restores what was there."""
        assert listed()["undo"]
        world.ok("POST", "v1/undo", {"attempt": attempt, **BY})
        world.drive(world.sink.events[0])
        assert world.replicas() == 1

    def test_moves_nothing(self, world, listed):
        before = world.keys()
        writes = len(world.cluster.writes())
        listed()
        assert world.keys() == before
        assert len(world.cluster.writes()) == writes

    def test_of_many_attempts_looks_at_so_many_objects(self, world, incident, attempt):
        fields = dict(world.here.state.store.hash(f"{HERE}attempt:{attempt}"))
        for number in range(undoable.LISTED + 10):
            name = f"grant-{number:020}"
            store(world, "HSET", f"{HERE}attempt:{name}", *(part for pair in fields.items() for part in pair))
            store(world, "RPUSH", f"{HERE}attempts-of:{incident}", name)
        world.cluster.requests.clear()
        said = world.ok("GET", f"v1/incidents/{incident}/undo", token=world.shared)["attempts"]
        assert len(said) == undoable.LISTED
        assert sum(bool(one["undo"]) for one in said) == undoable.LOOKED
        assert sum("/deployments/" in request.path for request in world.cluster.requests) == undoable.LOOKED

    def test_of_an_incident_that_nobody_knows(self, world):
        status, said = world.ask("GET", "v1/incidents/inc-0000000000000000/undo")
        assert (status, said["error"]) == (404, "not-found")

    def test_of_one_without_attempts_is_empty(self, world):
        world.autonomy("observe")
        incident = world.heal()
        assert world.ok("GET", f"v1/incidents/{incident}/undo")["attempts"] == []
