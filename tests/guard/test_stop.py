"""What the stop ConfigMap says about a part, who it is about, and that no key is lost by an accident."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.model.stop import Halt, halt, keys, mode_of, plain, scoped

HOME = "akeso-system"
WRITE = keys(tenant="default", cluster="prod", action="scale_deployment", namespaces=["shop", "", "shop"])
VALUES = st.sampled_from(
    ["stop", "stop: why", "freeze", "freeze: why", "run", "", "Stop", " stop", "stopped", "stop :"]
)


class TestAValue:
    @pytest.mark.parametrize("value", ["stop", "stop:", "stop: a sale", "stop:a sale: really"])
    def test_that_says_stop_is_one(self, value):
        assert mode_of(value) == "stop"

    @pytest.mark.parametrize(
        "value", ["freeze", "freeze: a sale", "", "run", "run: it", "Stop", "STOP", " stop", "stop ", "stopped",
                  "stop\n", "st\u043ep", "stop\uff1a why", "x" * 100_000],
    )  # fmt: skip
    def test_that_says_anything_else_is_a_freeze(self, value):
        assert mode_of(value) == "freeze"

    @pytest.mark.parametrize(
        "value", ["stop", "stop:", "freeze", "freeze: why", "", "run", "halt", "stop it", "x" * 1000]
    )
    def test_means_the_same_in_plain_words(self, value):
        assert mode_of(plain(value)) == mode_of(value)
        assert plain(plain(value)) == plain(value)


class TestAWrite:
    def test_is_held_by_its_own_tenant_cluster_namespaces_and_action(self):
        assert WRITE == ("tenant.default", "cluster.default.prod", "namespace.shop", "action.scale_deployment")

    @pytest.mark.parametrize("key", WRITE)
    def test_is_held_by_each_of_them_alone(self, key):
        assert halt({"mode": "run", key: "stop: a sale"}, WRITE) == Halt("stop", key)

    @pytest.mark.parametrize(
        "key", ["tenant.shop", "cluster.other.prod", "namespace.sho", "namespace.shop2", "action.scale"]
    )
    def test_is_not_held_by_what_is_about_others(self, key):
        assert halt({"mode": "run", key: "freeze"}, WRITE) == Halt("run")

    @pytest.mark.parametrize(
        "key", ["cluster.prod", "cluster.default", "cluster.a.b.c", "tenant.", "tenant.A", "namespace.",
                "namespace.Shop", "namespace.a.b", "namespace.-", "namespace." + "x" * 64, "action.scale-deployment",
                "Namespace.shop", "namespaces.shop", "Mode", "shop", "node.n1", "", "mode ", "namespace.shop\n"],
    )  # fmt: skip
    def test_is_held_by_a_key_that_nobody_knows(self, key):
        found = halt({"mode": "run", key: "stop"}, WRITE)
        assert (found.mode, found.unknown) == ("freeze", (key,))
        assert str(found).startswith("freeze is set: akeso-stop has what nobody knows: ")

    @pytest.mark.parametrize("key", ["mode", "reason", "by", "since", "hydrated-at"])
    def test_is_not_held_by_what_we_write_there_ourselves(self, key):
        assert halt({"mode": "run", key: "run"}, WRITE) == Halt("run")

    def test_is_told_which_part_holds_it(self):
        assert str(halt({"mode": "run", "namespace.shop": "stop"}, WRITE)) == "stop is set for namespace shop"
        assert str(halt({"mode": "stop"}, WRITE)) == "stop is set"

    @given(
        st.dictionaries(st.sampled_from([*WRITE, "namespace.other"]), VALUES),
        st.sampled_from(["run", "stop", "freeze"]),
    )
    def test_is_held_as_strictly_as_the_strictest_says(self, parts, mode):
        order = ["run", "stop", "freeze"]
        its = [mode_of(value) for key, value in parts.items() if key in WRITE]

        assert halt({"mode": mode, **parts}, WRITE).mode == max([mode, *its], key=order.index)

    @given(st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=5))
    def test_can_be_judged_whatever_the_configmap_says(self, data):
        assert halt(data, WRITE).mode == ("run" if data.keys() <= {"by", "since", "reason"} else "freeze")
        assert scoped(data).items() <= data.items()


def data(world):
    return dict(world.cluster.get("ConfigMap", HOME, "akeso-stop")["data"])


def put(world, found):
    world.cluster.edit("ConfigMap", HOME, "akeso-stop", {"data": found})


def remembered(world):
    return scoped(world.here.state.store.hash("{akeso}:stop"))


def epoch(world):
    return world.here.state.store.hash("{akeso}:epoch")["value"]


class TestAKeyThatNobodyKnows:
    def test_freezes_everything_and_is_named_where_people_look(self, world):
        put(world, {"namespaces.shop": "stop"})
        world.sweep()
        for said in (world.ok("GET", "v1/status"), world.ok("GET", "v1/guard")["stop"]):
            assert (said["mode"], said["reason"]) == ("freeze", "akeso-stop has what nobody knows: namespaces.shop")
        world.heal()
        assert world.replicas() == 1

    def test_holds_no_longer_than_it_is_there(self, world):
        put(world, {"Mode": "stop", "mode": "run"})
        world.sweep()
        before = epoch(world)
        put(world, {"Mode": None})
        world.sweep()
        assert world.ok("GET", "v1/status")["mode"] == "run"
        assert epoch(world) != before
        assert data(world)["mode"] == "run"

    def test_weakens_nothing_that_is_remembered(self, world):
        put(world, {"mode": "stop", "reason": "a sale"})
        world.sweep()
        world.cluster.delete("ConfigMap", HOME, "akeso-stop")
        world.cluster.configmap(HOME, "akeso-stop", {"Mode": "run"})
        world.sweep()
        assert world.ok("GET", "v1/status")["mode"] == "freeze"
        assert data(world)["mode"] == "stop"


class TestLoading:
    def test_remembers_each_part_under_its_own_name(self, world):
        put(world, {"namespace.shop": "stop: a sale", "action.restart_pod": "halt"})

        assert world.sweep() == "renewed"
        assert remembered(world) == {"namespace.shop": "stop: a sale", "action.restart_pod": "freeze: halt"}
        assert world.sweep() == "kept"

    @pytest.mark.parametrize("value", ["stop it", "stop!", "stop1", "stop\n", "Stop: why", "", "run", "stop : why"])
    def test_lets_the_guard_understand_no_less_than_the_executors_do(self, world, value):
        put(world, {"namespace.shop": value})
        world.sweep()
        world.checkout()

        said = world.drive(world.alert())[-1]

        assert mode_of(value) == "freeze"
        assert said.data.check == "freeze"

    def test_forgets_what_was_lifted_and_nothing_else(self, world):
        put(world, {"namespace.shop": "stop", "namespace.bank": "stop"})
        world.sweep()
        before = epoch(world)
        put(world, {"namespace.shop": None})

        world.sweep()

        assert remembered(world) == {"namespace.bank": "stop"}
        assert epoch(world) != before

    def test_carries_no_novel(self, world):
        put(world, {"namespace.shop": "stop: " + "x" * 200_000})

        world.sweep()

        assert mode_of(remembered(world)["namespace.shop"]) == "stop"
        assert len(remembered(world)["namespace.shop"]) < 500


class TestAConfigMapThatSomebodyHasEmptied:
    @pytest.fixture
    def held(self, world):
        put(world, {"namespace.shop": "stop: a sale", "tenant.bank": "freeze"})
        world.sweep()
        return {"namespace.shop": "stop: a sale", "tenant.bank": "freeze"}

    def empty(self, world):
        world.cluster.edit("ConfigMap", HOME, "akeso-stop", {"data": None})

    def delete(self, world):
        world.cluster.delete("ConfigMap", HOME, "akeso-stop")

    @pytest.mark.parametrize("how", [empty, delete])
    def test_lifts_no_part_and_is_put_right(self, world, held, how):
        how(self, world)

        world.sweep()

        assert remembered(world) == held
        assert scoped(data(world)) == held
        assert data(world)["hydrated-at"]

    def test_lifts_none_either_when_it_says_a_mode_or_another_part_by_now(self, world, held):
        self.empty(world)
        put(world, {"mode": "run", "action.restart_pod": "stop"})

        world.sweep()

        assert remembered(world) == {**held, "action.restart_pod": "stop"}

    def test_keeps_the_mode_with_its_reason(self, world):
        said = world.ok("POST", "v1/stop", {"mode": "freeze", "reason": "a sale", "by": "ada"})
        self.empty(world)

        world.sweep()

        assert {key: data(world)[key] for key in ("mode", "reason", "by")} == {
            "mode": "freeze", "reason": "a sale", "by": said["by"],
        }  # fmt: skip

    def test_one_part_is_lifted_all_the_same_by_a_persons_word(self, world, held):
        self.empty(world)

        world.ok("POST", "v1/stop", {"mode": "run", "namespace": "shop", "reason": "over", "by": "ada"})

        assert held.pop("namespace.shop")
        assert remembered(world) == scoped(data(world)) == held
