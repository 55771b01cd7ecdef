"""The policy on its way from Kubernetes into force: which one counts, and what happens with one that cannot be read."""

import json

import pytest

from shared import clock
from shared.guard import source
from shared.state.client import PREFIX

HOME = "akeso-system"
DAY = 86_400_000


def put(world, spec):
    if world.cluster.get("RemediationPolicy", HOME, "akeso") is None:
        world.cluster.put("RemediationPolicy", HOME, {"metadata": {"name": "akeso"}, "spec": spec})
    else:
        world.cluster.edit("RemediationPolicy", HOME, "akeso", {"spec": spec})
    world.sweep()


def configmap(world, text):
    world.cluster.edit("ConfigMap", HOME, "akeso-policy", {"data": {"policy.yaml": text}})
    world.sweep()


def in_force(world, field):
    return world.here.state.store.read("HGET", f"{PREFIX}:policy", field)


def told(world):
    return sorted(world.here.state.store.read("SMEMBERS", f"{PREFIX}:default:default:pending:akeso-policy"))


class TestWhichOneCounts:
    def test_without_any_it_is_the_defaults(self, world):
        assert in_force(world, "attempts") == "3"

    def test_the_object_counts_before_the_configmap(self, world):
        configmap(world, "attempts_per_day: 2")
        assert in_force(world, "attempts") == "2"

        put(world, {"attempts_per_day": 1})
        assert in_force(world, "attempts") == "1"
        assert len(in_force(world, "revision")) == 12

    def test_an_object_that_says_nothing_is_the_defaults(self, world):
        configmap(world, "attempts_per_day: 2")
        put(world, {})

        assert in_force(world, "attempts") == "3"

    def test_deleting_the_object_lifts_none_of_its_limits(self, world):
        put(world, {"attempts_per_day": 1})
        world.cluster.delete("RemediationPolicy", HOME, "akeso")
        world.sweep()

        assert in_force(world, "attempts") == "1"
        assert "RemediationPolicy akeso is gone" in told(world)[0]

    @pytest.mark.parametrize("text", ["", " \n", None, "# attempts_per_day: 1", "---\n", "null", "~"])
    def test_emptying_the_configmap_lifts_none_of_its_limits(self, world, text):
        configmap(world, "attempts_per_day: 1")
        configmap(world, text)

        assert in_force(world, "attempts") == "1"
        assert "akeso-policy has no policy.yaml" in told(world)[0]

    @pytest.mark.parametrize("data", [{"policy.yml": "attempts_per_day: 1"}, {"policy.yaml": "# attempts_per_day: 1"}])
    def test_a_first_one_that_nobody_would_find_is_told(self, world, data):
        world.cluster.edit("ConfigMap", HOME, "akeso-policy", {"data": data})
        world.sweep()

        assert "akeso-policy has no policy.yaml" in told(world)[0]

    def test_deleting_the_configmap_lifts_none_of_its_limits(self, world):
        configmap(world, "attempts_per_day: 1")
        world.cluster.delete("ConfigMap", HOME, "akeso-policy")
        world.sweep()

        assert in_force(world, "attempts") == "1"
        assert "write `{}` there for the defaults" in told(world)[0]

    def test_the_defaults_are_taken_back_to_in_so_many_words(self, world):
        configmap(world, "attempts_per_day: 1")
        configmap(world, "{}")

        assert in_force(world, "attempts") == "3"

    def test_a_configmap_that_was_always_empty_may_go(self, world):
        world.cluster.delete("ConfigMap", HOME, "akeso-policy")
        world.sweep()

        assert (in_force(world, "attempts"), told(world)) == ("3", [])

    def test_the_form_of_an_object_is_read_in_the_configmap_as_well(self, world):
        head = "apiVersion: akeso.dev/v1, kind: RemediationPolicy"
        configmap(world, f"{{{head}, metadata: {{name: akeso, namespace: {HOME}}}, spec: {{attempts_per_day: 2}}}}")
        assert in_force(world, "attempts") == "2"

        configmap(world, f"{{{head}, metadata: {{name: akeso, namespace: shop}}, spec: {{attempts_per_day: 9}}}}")
        assert in_force(world, "attempts") == "2"
        assert "not one in shop" in told(world)[0]

    def test_an_unchanged_policy_is_expanded_anew_at_each_sweep(self, world, tmp_path, monkeypatch):
        file = tmp_path / "clock.json"
        monkeypatch.setenv("AKESO_CLOCK_FILE", str(file))
        clock.simulate(file, speed=0.0)
        put(world, {"windows": [{"name": "nights", "kind": "maintenance", "from": "22:00", "to": "06:00"}]})
        before, revision = int(in_force(world, "windows_until")), in_force(world, "revision")

        clock.simulate(file, advance_ms=DAY)
        world.sweep()

        assert int(in_force(world, "windows_until")) - before == DAY
        assert in_force(world, "revision") == revision

    def test_what_is_left_out_of_the_next_one_is_gone(self, world):
        put(world, {"rules": [{"name": "r", "autonomy": "off"}]})
        assert json.loads(in_force(world, "rules"))
        put(world, {"rules": None})

        assert in_force(world, "rules") is None


class TestOneThatCannotBeRead:
    @pytest.mark.parametrize(
        "spec",
        [
            {"attempt_per_day": 1},
            {"attempts_per_day": "1"},
            {"working_hours": {"days": ["mon"], "timezone": "Mars/Base"}},
            {"rules": [{"name": "r", "autonomy": False}]},
            {"rules": [{"name": "r", "autonomy": "off", "actions": ["restart_pods"]}]},
        ],
    )
    def test_leaves_the_last_good_one_in_force_and_tells_people(self, world, spec):
        put(world, {"attempts_per_day": 2, "hold": ["*"]})
        good = in_force(world, "revision")
        put(world, {"attempts_per_day": None, "hold": None} | spec)

        assert in_force(world, "revision") == good
        assert (in_force(world, "attempts"), in_force(world, "hold")) == ("2", '["*"]')
        (reason,) = told(world)
        assert "is refused, the last good one stays in force: policy: " in reason

    def test_because_it_names_an_action_that_does_not_exist_is_refused_in_the_configmap_too(self, world):
        configmap(world, "attempts_per_day: 2")
        configmap(world, "hold: [restart_pods]")

        assert (in_force(world, "attempts"), in_force(world, "hold")) == ("2", "[]")
        assert "no action 'restart_pods', did you mean restart_pod?" in told(world)[0]

    def test_is_told_once_and_another_one_again(self, world):
        configmap(world, "attempts: 1")
        world.sweep()
        world.sweep()
        assert len(told(world)) == 1

        configmap(world, "attempts: 2")
        assert len(told(world)) == 2

    def test_does_not_keep_a_stop_from_being_loaded(self, world):
        configmap(world, "attempts: 1")
        world.cluster.edit("ConfigMap", HOME, "akeso-stop", {"data": {"mode": "freeze"}})
        world.sweep()

        assert world.here.state.store.read("HGET", f"{PREFIX}:stop", "mode") == "freeze"

    def test_nor_does_one_that_may_not_be_read(self, world):
        world.cluster.fault(status=403, times=1, kind=source.KIND)
        world.cluster.edit("ConfigMap", HOME, "akeso-stop", {"data": {"mode": "freeze"}})
        world.sweep()

        assert world.here.state.store.read("HGET", f"{PREFIX}:stop", "mode") == "freeze"
        assert "cannot be read" in told(world)[0]

    def test_is_over_with_the_next_good_one(self, world):
        configmap(world, "attempts: 1")
        configmap(world, "attempts_per_day: 1")

        assert in_force(world, "attempts") == "1"
