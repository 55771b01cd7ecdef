"""Two people where the policy wants two, a yes that the world overtakes, and the way back up the ladder."""

import pytest

from shared.people.who import VERBS

WHY = {"reason": "looks right"}
TARGET = {"kind": "Deployment", "namespace": "shop", "name": "checkout"}
RUN = {"action": "scale_deployment", "target": TARGET, "params": {"replicas": 2}, "dry_run": False}


def policy(world, text):
    world.cluster.edit("ConfigMap", "akeso-system", "akeso-policy", {"data": {"policy.yaml": text}})
    world.sweep()


def says(world, held, name, word="approve"):
    return world.ask("POST", f"v1/holds/{held}/{word}", WHY, token=world.person(name))


def words(world, incident):
    return [step["text"] for step in world.ok("GET", f"v1/explain/{incident}")["steps"]]


@pytest.fixture
def two(world):
    """An incident whose remedy needs two."""
    policy(world, "rules: [{name: both, namespaces: [shop], approvers: 2}]")
    return world.heal()


class TestFourEyes:
    def test_the_second_yes_is_what_lets_it_run(self, world, two):
        (one,) = world.ok("GET", "v1/holds")["holds"]
        assert (one["needs"], one["missing"], one["risk"]["score"] > 0, one["price"]["undo"]) == (2, 2, True, True)
        assert says(world, two, "ada")[1]["missing"] == 1
        assert world.sink.events == []
        (one,) = world.ok("GET", "v1/holds")["holds"]
        assert (one["given"], one["missing"]) == (["ada"], 1)
        assert says(world, two, "bo")[1]["missing"] == 0
        world.drive(world.sink.events[0])
        assert world.replicas() == 3

    def test_one_person_twice_is_one(self, world, two):
        says(world, two, "ada")
        status, said = says(world, two, "ada")
        assert (status, "has the yes of ada and needs 1 more, by somebody else" in said["text"]) == (409, True)
        assert world.sink.events == []

    def test_one_no_is_enough(self, world, two):
        says(world, two, "ada")
        assert says(world, two, "bo", "deny")[0] == 200
        assert says(world, two, "cy")[0] == 409
        assert world.ok("GET", "v1/holds")["holds"] == []

    def test_whoever_asked_is_one_of_the_two(self, world):
        policy(world, "rules: [{name: both, namespaces: [shop], approvers: 2}]")
        world.checkout()
        world.ok("POST", "v1/run", RUN)
        world.drive(world.sink.events[0])
        (one,) = world.ok("GET", "v1/holds")["holds"]
        assert (one["author"], one["given"], one["missing"]) == ("ada", ["ada"], 1)
        assert says(world, one["incident"], "ada")[0] == 409
        assert says(world, one["incident"], "bo")[0] == 200

    def test_whoever_asked_and_may_not_approve_is_none_of_them(self, world):
        policy(world, "rules: [{name: both, namespaces: [shop], approvers: 2}]")
        world.checkout()
        world.ok("POST", "v1/run", RUN, token=world.person("eve", *(set(VERBS) - {"approve"})))
        world.drive(world.sink.events[0])
        (one,) = world.ok("GET", "v1/holds")["holds"]
        assert (one["given"], one["missing"]) == ([], 2)


class TestAYesThatTheWorldOvertakes:
    @pytest.fixture
    def held(self, world):
        world.autonomy("approve")
        return world.heal()

    def test_is_void_and_says_why(self, world, held):
        hold = world.ok("GET", "v1/holds")["holds"][0]["hold"]
        says(world, held, "ada")
        world.ok("POST", "v1/stop", {**WHY, "mode": "stop"})
        world.drive(world.sink.events[0])
        assert world.replicas() == 1
        assert any(
            text.startswith("the yes of ada to scale_deployment is void [check stop") for text in words(world, held)
        )
        status, said = says(world, held, "bo")
        assert status == 409
        assert said["text"].startswith(f"{hold} waits no longer: ada said yes to it at 20")
        assert "that is void, because the yes of ada" in said["text"]

    def test_every_check_can_be_asked_before_it(self, world, held):
        now = world.ok("GET", f"v1/explain/{held}")["now"]
        checks = {one["check"]: one["ok"] for one in now["checks"]}
        assert (now["decision"], now["action"]) == ("held", "scale_deployment")
        assert [name for name, ok in checks.items() if not ok] == ["approval"]
        assert {"stop", "stale", "cooldown", "lease", "rate-minute", "breaker", "risk"} <= checks.keys()
        world.ok("POST", "v1/stop", {**WHY, "mode": "stop"})
        now = world.ok("GET", f"v1/explain/{held}")["now"]
        assert next(one["check"] for one in now["checks"] if not one["ok"]) == "stop"

    def test_asking_moves_nothing(self, world, held):
        before = world.keys()
        world.ok("GET", f"v1/explain/{held}")
        assert world.keys() == before
        assert world.cluster.writes() == []

    def test_asking_without_the_cluster_still_tells_the_record(self, world, held):
        world.cluster.stop()
        said = world.ok("GET", f"v1/explain/{held}", token=world.shared)
        assert said["now"]["decision"] == "unknown"
        assert said["steps"]


class TestWhatWasRefused:
    def test_is_asked_anew(self, world):
        world.ok("POST", "v1/stop", {**WHY, "mode": "stop"})
        incident = world.heal()
        now = world.ok("GET", f"v1/explain/{incident}")["now"]
        assert (now["decision"], now["check"], now["action"]) == ("denied", "stop", "scale_deployment")
        world.ok("POST", "v1/stop", {**WHY, "mode": "run"})
        assert world.ok("GET", f"v1/explain/{incident}")["now"]["decision"] == "approved"

    def test_is_not_what_was_done(self, world):
        incident = world.heal()
        assert world.ok("GET", f"v1/explain/{incident}")["now"] is None


class TestPromotion:
    BODY = {**WHY, "action": "scale_deployment", "target": TARGET}  # noqa: RUF012

    def cap(self, world, word):
        import hashlib

        key = "{akeso}:default:default:scope:" + hashlib.sha1(b"Deployment/shop/checkout").hexdigest()  # noqa: S324
        world.here.state.store.read("HSET", key, "name", "Deployment/shop/checkout", "cap:scale_deployment", word)

    def test_goes_up_one_step_at_a_time(self, world):
        world.checkout()
        self.cap(world, "suggest")
        token = world.person("ada", "promote", "get", namespace="shop")
        assert world.ok("POST", "v1/promote", self.BODY, token=token) == {
            "action": "scale_deployment", "scope": "Deployment/shop/checkout", "cap": "approve", "by": "ada",
        }  # fmt: skip
        ((rung,),) = [one["ladder"] for one in world.ok("GET", "v1/guard")["places"][0]["scopes"]]
        assert rung["cap"] == "approve"
        assert world.ok("POST", "v1/promote", self.BODY, token=token)["cap"] == ""
        assert world.ok("GET", "v1/guard")["places"][0]["scopes"] == []

    def test_never_beyond_what_was_taken(self, world):
        world.checkout()
        status, said = world.ask("POST", "v1/promote", self.BODY)
        assert (status, said["text"]) == (409, "scale_deployment on Deployment/shop/checkout is not held down")

    def test_of_what_is_not_there(self, world):
        assert world.ask("POST", "v1/promote", self.BODY)[0] == 404
        assert world.ask("POST", "v1/promote", {**self.BODY, "action": "no_such_action"})[0] == 400


class TestAfterAHeal:
    def test_the_guard_shows_the_lease_the_cooldown_and_what_was_spent(self, world):
        world.heal()
        (place,) = world.ok("GET", "v1/guard")["places"]
        (lease,) = place["leases"]
        assert (lease["action"], lease["running"], lease["scope"]) == (
            "scale_deployment",
            False,
            "Deployment/shop/checkout",
        )
        (scope,) = place["scopes"]
        assert scope["cooldown"]["left_s"] > 0
        used = {one["budget"]: one["used"] for one in place["budgets"] if one["of"] in ("", "shop", "scale_deployment")}
        assert (used["rate-minute"], used["rate-action"], used["rate-namespace"], used["concurrency"]) == (1, 1, 1, 0)
