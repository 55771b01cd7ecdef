"""Stop, freeze and resume: in Kubernetes first, with the name and the reason, and at once in force."""

import pytest

from shared.errors import UnavailableError
from shared.event.here import Here
from tests.people.world import HOME

ASK = {"reason": "bad deploy", "by": "ada"}


def configmap(world):
    return world.cluster.get("ConfigMap", HOME, "akeso-stop")["data"]


class TestModes:
    @pytest.mark.parametrize("mode", ["stop", "freeze"])
    def test_nothing_is_written_any_more(self, world, mode):
        assert world.ok("POST", "v1/stop", {"mode": mode, **ASK})["remembered"] is True
        assert world.ok("GET", "v1/status")["mode"] == mode
        world.heal()
        assert world.replicas() == 1

    def test_kubernetes_keeps_who_and_why(self, world):
        world.ok("POST", "v1/stop", {"mode": "stop", **ASK})
        kept = configmap(world)
        assert (kept["mode"], kept["reason"], kept["by"]) == ("stop", "bad deploy", "ada")
        said = world.ok("GET", "v1/status")
        assert (said["reason"], said["by"]) == ("bad deploy", "ada")

    def test_resume_is_a_new_epoch(self, world):
        store = world.here.state.store
        before = store.hash("{akeso}:epoch")["value"]
        world.ok("POST", "v1/stop", {"mode": "stop", **ASK})
        world.ok("POST", "v1/stop", {"mode": "run", **ASK})
        assert world.ok("GET", "v1/status")["mode"] == "run"
        assert store.hash("{akeso}:epoch")["value"] != before


class TestWhatIsDown:
    def test_without_kubernetes_nothing_has_changed(self, world):
        world.cluster.fault(kind="ConfigMap", verb="patch", status=500)
        with pytest.raises(UnavailableError) as refused:
            world.ask("POST", "v1/stop", {"mode": "stop", **ASK})
        assert refused.value.reason == "kube"
        assert world.ok("GET", "v1/status")["mode"] == "run"

    def test_without_redis_it_stands_in_kubernetes(self, world, monkeypatch):
        monkeypatch.setenv("AKESO_REDIS__URL", "redis://127.0.0.1:1/0")
        world.here = Here("api")
        said = world.ok("POST", "v1/stop", {"mode": "stop", **ASK})
        assert said["remembered"] is False
        assert configmap(world)["mode"] == "stop"


PARTS = [
    ({"namespace": "shop"}, "namespace.shop"),
    ({"action": "scale_deployment"}, "action.scale_deployment"),
    ({"tenant": "default"}, "tenant.default"),
    ({"cluster": "prod"}, "cluster.default.prod"),
    ({"tenant": "bank", "cluster": "prod"}, "cluster.bank.prod"),
]  # fmt: skip


class TestAPart:
    @pytest.mark.parametrize(("part", "key"), PARTS)
    @pytest.mark.parametrize("mode", ["stop", "freeze"])
    def test_is_held_by_a_key_of_its_own_and_nothing_else_is_touched(self, world, part, key, mode):
        before = configmap(world)
        said = world.ok("POST", "v1/stop", {"mode": mode, **part, **ASK})

        after = configmap(world)
        assert (said["scope"], said["remembered"]) == (key, True)
        assert after.pop(key) == f"{mode}: bad deploy, by {said['by']}"
        assert {**after, "since": ""} == {**before, "since": ""}
        assert world.ok("GET", "v1/status")["scopes"] == said["scopes"] == {key: f"{mode}: bad deploy, by {said['by']}"}
        assert world.ok("GET", "v1/status")["mode"] == "run"

    @pytest.mark.parametrize("part", [{"namespace": "shop"}, {"action": "scale_deployment"}, {"cluster": "default"}])
    def test_that_is_held_is_written_to_no_more(self, world, part):
        world.ok("POST", "v1/stop", {"mode": "stop", **part, **ASK})
        world.heal()
        assert world.replicas() == 1

    def test_beside_it_goes_on(self, world):
        world.ok("POST", "v1/stop", {"mode": "freeze", "namespace": "elsewhere", **ASK})
        world.ok("POST", "v1/stop", {"mode": "stop", "action": "restart_pod", **ASK})
        world.heal()
        assert world.replicas() == 3

    def test_of_two_one_is_lifted_and_the_other_stays(self, world):
        for part in ({"namespace": "shop"}, {"action": "restart_pod"}):
            world.ok("POST", "v1/stop", {"mode": "stop", **part, **ASK})
        said = world.ok("POST", "v1/stop", {"mode": "run", "namespace": "shop", **ASK})
        assert list(said["scopes"]) == ["action.restart_pod"]
        assert "namespace.shop" not in configmap(world)

    def test_stays_held_when_everything_else_is_let_go(self, world):
        world.ok("POST", "v1/stop", {"mode": "stop", "namespace": "shop", **ASK})
        world.ok("POST", "v1/stop", {"mode": "stop", **ASK})
        said = world.ok("POST", "v1/stop", {"mode": "run", **ASK})
        assert list(said["scopes"]) == ["namespace.shop"]

    def test_that_is_set_or_lifted_is_a_new_epoch_even_unseen(self, world):
        """What was granted before ends, also where Redis has seen neither."""
        store = world.here.state.store
        before = store.hash("{akeso}:epoch")["value"]
        world.ok("POST", "v1/stop", {"mode": "stop", "namespace": "shop", **ASK})
        data = configmap(world)
        world.ok("POST", "v1/stop", {"mode": "run", "namespace": "shop", **ASK})
        assert store.hash("{akeso}:epoch")["value"] != before
        assert configmap(world)["since"] != data["since"]

    def test_that_was_not_held_is_let_go_without_harm(self, world):
        said = world.ok("POST", "v1/stop", {"mode": "run", "namespace": "nowhere", **ASK})
        assert said["scopes"] == {}

    @pytest.mark.parametrize(
        "part",
        [
            {"namespace": "shop", "action": "restart_pod"}, {"tenant": "default", "namespace": "shop"},
            {"cluster": "prod", "action": "restart_pod"}, {"namespace": "Shop"}, {"namespace": "a.b"},
            {"namespace": "-"}, {"namespace": "x" * 64}, {"namespace": "shop\n"}, {"namespace": ["shop"]},
            {"namespace": None}, {"tenant": "a.b"}, {"tenant": "x" * 41}, {"cluster": "a/b"}, {"cluster": "A"},
            {"action": "restart-pod"}, {"action": "restart_pods"}, {"action": "__proto__"}, {"node": "n1"},
            {"mode": "halt"}, {"reason": ""},
        ],
    )  # fmt: skip
    def test_that_nobody_could_mean_is_refused_and_nothing_changes(self, world, part):
        before = configmap(world)
        status, said = world.ask("POST", "v1/stop", {"mode": "stop", **ASK, **part})
        assert status == 400, said
        assert configmap(world) == before

    def test_an_action_that_does_not_exist_is_refused_with_the_nearest(self, world):
        _, said = world.ask("POST", "v1/stop", {"mode": "stop", "action": "restart_pods", **ASK})
        assert "did you mean 'restart_pod'" in said["text"]

    def test_an_action_that_is_gone_can_still_be_let_go(self, world):
        world.cluster.edit("ConfigMap", HOME, "akeso-stop", {"data": {"action.gone": "stop"}})
        assert world.ok("POST", "v1/stop", {"mode": "run", "action": "gone", **ASK})["scopes"] == {}

    def test_without_redis_it_stands_in_kubernetes(self, world, monkeypatch):
        monkeypatch.setenv("AKESO_REDIS__URL", "redis://127.0.0.1:1/0")
        world.here = Here("api")
        said = world.ok("POST", "v1/stop", {"mode": "stop", "namespace": "shop", **ASK})
        assert said["remembered"] is False
        assert configmap(world)["namespace.shop"].startswith("stop: ")


class TestAFreeze:
    PLACES = ({}, {"namespace": "shop"}, {"action": "scale_deployment"})

    @pytest.mark.parametrize("part", PLACES)
    def test_is_made_a_stop_only_by_whoever_may_let_go(self, world, part):
        world.ok("POST", "v1/stop", {"mode": "freeze", **part, **ASK})
        before = configmap(world)
        stops = world.person("eve", "stop", "freeze")
        for token in (world.shared, stops):
            status, said = world.ask("POST", "v1/stop", {"mode": "stop", **part, **ASK}, token=token)
            assert (status, said["error"]) == (403, "not-allowed" if token == stops else "nobody")
        assert configmap(world) == before
        world.ok("POST", "v1/stop", {"mode": "stop", **part, **ASK}, token=world.person("ada", "stop", "resume"))

    def test_that_only_redis_remembers_is_one(self, world):
        world.ok("POST", "v1/stop", {"mode": "freeze", **ASK})
        world.cluster.delete("ConfigMap", HOME, "akeso-stop")
        world.cluster.configmap(HOME, "akeso-stop", {})
        assert world.ask("POST", "v1/stop", {"mode": "stop", **ASK}, token=world.shared)[0] == 403

    @pytest.mark.parametrize("part", PLACES)
    def test_is_one_also_while_redis_is_away(self, world, monkeypatch, part):
        world.ok("POST", "v1/stop", {"mode": "freeze", **part, **ASK})
        monkeypatch.setenv("AKESO_REDIS__URL", "redis://127.0.0.1:1/0")
        world.here = Here("api")
        assert world.ask("POST", "v1/stop", {"mode": "stop", **part, **ASK}, token=world.shared)[0] == 403

    @pytest.mark.parametrize(
        ("put", "part"), [({"mode": "halt"}, {}), ({"namespace.shop": "halt"}, {"namespace": "shop"})]
    )
    def test_in_words_that_nobody_knows_and_only_kubernetes_has_is_one_too(self, world, monkeypatch, put, part):
        world.cluster.delete("ConfigMap", HOME, "akeso-stop")
        world.cluster.configmap(HOME, "akeso-stop", put)  # and Redis, which might remember more, is away
        monkeypatch.setenv("AKESO_REDIS__URL", "redis://127.0.0.1:1/0")
        world.here = Here("api")
        assert world.ask("POST", "v1/stop", {"mode": "stop", **part, **ASK}, token=world.shared)[0] == 403

    def test_of_a_part_may_be_beside_a_stop_of_everything_by_the_shared_token(self, world):
        world.ok("POST", "v1/stop", {"mode": "freeze", "namespace": "shop", **ASK})
        world.ok("POST", "v1/stop", {"mode": "stop", **ASK}, token=world.shared)
        assert configmap(world)["namespace.shop"].startswith("freeze: ")


class TestTwoWhoStop:
    def test_are_both_kept_and_named_by_whoever_lifts_it(self, world):
        world.ok("POST", "v1/stop", {"mode": "stop", "reason": "a sale"}, token=world.person("ann"))
        world.ok("POST", "v1/stop", {"mode": "freeze", "reason": "bad deploy"}, token=world.person("bo"))
        assert configmap(world)["reason"] == "bad deploy; before: a sale, by ann"
        said = world.ok("POST", "v1/stop", {"mode": "run", "reason": "all clear"})
        assert said["lifted"] == "freeze: bad deploy; before: a sale, by ann, by bo"
        assert configmap(world)["reason"] == "all clear"

    def test_is_one_who_says_it_twice(self, world):
        for reason in ("a sale", "a bigger sale"):
            world.ok("POST", "v1/stop", {"mode": "stop", "reason": reason}, token=world.person("ann"))
        assert configmap(world)["reason"] == "a bigger sale"

    def test_never_fill_more_than_one_reason(self, world):
        for name in ("ann", "bo", "cy", "di"):
            world.ok("POST", "v1/stop", {"mode": "stop", "reason": name * 100}, token=world.person(name))
        assert len(configmap(world)["reason"]) <= 300


class TestAWordOfWarning:
    def test_everything_is_still_stopped_when_a_part_is_let_go(self, world):
        world.ok("POST", "v1/stop", {"mode": "stop", "namespace": "shop", **ASK})
        world.ok("POST", "v1/stop", {"mode": "stop", **ASK})
        said = world.ok("POST", "v1/stop", {"mode": "run", "namespace": "shop", **ASK})
        assert (said["everything"], said["lifted"]) == ("stop: bad deploy", "stop: bad deploy, by ada")

    @pytest.mark.parametrize("part", [{}, {"namespace": "shop"}])
    def test_nothing_was_stopped_that_is_let_go(self, world, part):
        said = world.ok("POST", "v1/stop", {"mode": "run", **part, **ASK})
        assert (said["warning"], said["lifted"], said["everything"]) == ("nothing was stopped there", "", "")

    def test_a_namespace_that_is_not_there_is_stopped_all_the_same(self, world):
        said = world.ok("POST", "v1/stop", {"mode": "stop", "namespace": "soon", **ASK})
        assert said["warning"] == "there is no namespace soon yet"
        assert configmap(world)["namespace.soon"].startswith("stop: ")
        assert world.ok("POST", "v1/stop", {"mode": "stop", "namespace": "shop", **ASK})["warning"] == ""


class TestABodyThatSaysTwoThings:
    @pytest.mark.parametrize(
        "raw",
        [b'{"mode": "stop", "reason": "x", "by": "ada", "mode": "run"}',
         b'{"mode": "stop", "reason": "x", "reason": "x", "by": "ada"}'],
    )  # fmt: skip
    def test_is_refused_and_nothing_changes(self, world, raw):
        before = configmap(world)
        assert world.ask("POST", "v1/stop", raw=raw)[0] == 400
        assert configmap(world) == before
