import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import MalformedError
from shared.guard.policy import Policy, is_held, is_protected
from shared.guard.policy_read import read, revision
from shared.model.protected import BUILT_IN


def refused(text: str, actions: list[str] | None = None) -> str:
    with pytest.raises(MalformedError) as caught:
        read(text, actions)
    assert caught.value.reason == "policy"
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith("policy: ")
    return said


class TestDefaults:
    def test_every_default_is_promised(self):
        assert Policy().model_dump() == {
            "protected_namespaces": (),
            "protected_objects": (),
            "hold": (),
            "rules": (),
            "windows": (),
            "working_hours": None,
            "approval_minutes": 60,
            "risk_approve": 60,
            "risk_refuse": 90,
            "person_minutes": 15,
            "attempts_per_day": 3,
            "min_cooldown_s": 0,
            "oscillation_hours": 6,
            "repeats": 3,
            "resource_changes": 4,
            "resource_hours": 2,
            "concurrency": 3,
            "concurrency_per_action": 2,
            "blast_minutes": 10,
            "blast_workload_percent": 50,
            "blast_namespace_percent": 30,
            "blast_pool_percent": 20,
            "blast_nodes_percent": 10,
            "blast_most": 20,
            "rate_per_minute": 10,
            "rate_per_hour": 100,
            "rate_per_action_hour": 20,
            "rate_per_namespace_hour": 30,
            "breaker_failures": 5,
            "breaker_window_minutes": 60,
            "breaker_open_minutes": 30,
            "backoff_base_s": 60,
            "backoff_max_s": 3600,
            "promote_after": 5,
            "promote_false_percent": 10,
            "demote_after": 1,
            "storm_new_incidents": 20,
            "storm_window_s": 300,
            "storm_failing_percent": 30,
        }

    @pytest.mark.parametrize("text", ["", "\n", "# nothing yet\n", "---\n", "{}"])
    def test_a_policy_that_says_nothing_is_the_defaults(self, text):
        assert read(text) == Policy()

    def test_the_built_in_list_is_promised(self):
        promised = {
            "akeso-system", "kube-system", "kube-public", "kube-node-lease", "knative-serving", "knative-eventing",
            "monitoring", "redis",
        }  # fmt: skip
        assert promised <= set(BUILT_IN)


class TestRead:
    def test_takes_what_it_says_and_leaves_the_rest(self):
        policy = read("attempts_per_day: 1\nhold: [drain_node]\nprotected_namespaces:\n- vault-*\n- pay\n")

        assert policy == Policy(attempts_per_day=1, hold=("drain_node",), protected_namespaces=("vault-*", "pay"))

    @pytest.mark.parametrize(
        ("key", "nearest"),
        [
            ("attempt_per_day", "attempts_per_day"),
            ("holds", "hold"),
            ("rate_per_minutes", "rate_per_minute"),
            ("zzz", ""),
        ],
    )
    def test_an_unknown_key_is_refused_with_the_nearest_known_one(self, key, nearest):
        said = refused(f"{key}: 1")

        assert f"unknown key '{key}'" in said
        assert f"did you mean {nearest}" in said

    def test_every_wrong_key_is_named_in_one_line(self):
        said = refused("attempts_per_day: 11\nrate_per_minute: fast\nstorm: 1\n")

        assert all(key in said for key in ("attempts_per_day", "rate_per_minute", "storm"))

    @pytest.mark.parametrize(
        ("key", "low", "high"),
        [
            ("approval_minutes", 1, 1440),
            ("risk_approve", 0, 101),
            ("risk_refuse", 0, 101),
            ("person_minutes", 0, 1440),
            ("oscillation_hours", 1, 24),
            ("repeats", 1, 16),
            ("resource_changes", 1, 16),
            ("resource_hours", 1, 24),
            ("concurrency", 1, 100),
            ("concurrency_per_action", 1, 100),
            ("blast_minutes", 1, 60),
            ("blast_workload_percent", 1, 100),
            ("blast_namespace_percent", 1, 100),
            ("blast_pool_percent", 1, 100),
            ("blast_nodes_percent", 1, 100),
            ("blast_most", 1, 1000),
            ("rate_per_action_hour", 1, 1000),
            ("rate_per_namespace_hour", 1, 1000),
            ("breaker_failures", 1, 100),
            ("breaker_window_minutes", 1, 1440),
            ("breaker_open_minutes", 1, 1440),
            ("backoff_base_s", 1, 3600),
            ("backoff_max_s", 60, 86_400),
            ("promote_after", 1, 1000),
            ("promote_false_percent", 0, 100),
            ("demote_after", 1, 10),
            ("storm_failing_percent", 1, 101),
            ("attempts_per_day", 1, 10),
            ("rate_per_minute", 1, 100),
            ("rate_per_hour", 1, 1000),
            ("min_cooldown_s", 0, 86_400),
            ("storm_new_incidents", 2, 1000),
            ("storm_window_s", 60, 3600),
        ],
    )
    def test_every_number_has_a_floor_and_a_ceiling(self, key, low, high):
        for number in (low, high):
            assert getattr(read(f"{key}: {number}"), key) == number
        for number in (low - 1, high + 1):
            assert key in refused(f"{key}: {number}")

    @pytest.mark.parametrize(
        "value", ["true", "'3'", "3.0", "3.5", "null", "[3]", "{a: 1}", "three", "2024-01-01", ".inf"]
    )
    def test_a_number_is_a_number(self, value):
        assert "attempts_per_day" in refused(f"attempts_per_day: {value}")

    @pytest.mark.parametrize(
        "value", ["'*'", "drain_node", "3", "null", "[Drain]", "[1]", "['**']", "['']", "['a b']", "{a: 1}"]
    )
    def test_a_hold_is_a_list_of_actions(self, value):
        assert "hold" in refused(f"hold: {value}")

    @pytest.mark.parametrize(
        "value", ["pay", "[Pay]", "[pay_ments]", "['']", "[-pay]", "['p?y']", "['[ab]']", f"[{'a' * 64}]", "[no]"]
    )
    def test_a_namespace_is_one_that_kubernetes_could_have(self, value):
        assert "protected_namespaces" in refused(f"protected_namespaces: {value}")

    def test_a_hold_on_an_action_that_does_not_exist_is_no_hold(self):
        assert "did you mean drain_node" in refused("hold: [drain_nodes]", ["drain_node", "restart_pod"])
        assert read("hold: [drain_node, '*']", ["drain_node"]).hold == ("drain_node", "*")

    def test_a_key_given_twice_is_refused(self):
        assert "line 2" in refused("attempts_per_day: 1\nattempts_per_day: 9\n")

    @pytest.mark.parametrize(
        "text",
        [
            "a: [", "a: b: c", "- 1", "word", "1: 2", "? [a]\n: 1", "%", "\t", "a: !!python/object:os.system {}",
            "attempts_per_day: !!int x", "&a [*a]", "hold: &a [*a]", "--- 1\n--- 2", "\x00", "\ud800",
            "hold: " + "[" * 5000,
            "attempts_per_day: 2024-13-45", "attempts_per_day: " + "9" * 5000, "x" * 70_000,
        ],
    )  # fmt: skip
    def test_what_is_no_policy_is_refused_in_one_line(self, text):
        assert len(refused(text)) < 1100

    @given(st.text())
    def test_noise_gives_a_policy_or_one_line(self, text):
        try:
            policy = read(text)
        except MalformedError:
            refused(text)
        else:
            assert policy == Policy()


class TestRevision:
    def test_names_exactly_this_text(self):
        assert revision("") == "e3b0c44298fc"
        assert revision("hold: []") != revision("hold: [] ")

    def test_any_text_has_one(self):
        assert len(revision("\ud800")) == 12


class TestProtection:
    @pytest.mark.parametrize("namespace", BUILT_IN)
    @pytest.mark.parametrize("text", ["", "protected_namespaces: []", "protected_namespaces: [other]"])
    def test_the_built_in_list_cannot_be_shortened(self, namespace, text):
        assert is_protected(read(text), namespace)

    def test_a_policy_adds_to_it(self):
        policy = read("protected_namespaces: [vault-*, pay]")

        assert [n for n in ("vault-prod", "pay", "payments", "shop", "my-vault-x") if is_protected(policy, n)] == [
            "vault-prod",
            "pay",
        ]

    def test_a_namespace_that_only_resembles_a_built_in_one_is_free(self):
        assert not is_protected(Policy(), "kube-system-2")
        assert not is_protected(Policy(), "Kube-System")

    def test_cluster_wide_objects_have_none_unless_all_is_protected(self):
        assert not is_protected(Policy(), "")
        assert is_protected(read("protected_namespaces: ['*']"), "")


class TestHold:
    def test_holds_the_named_actions_or_all(self):
        assert not is_held(Policy(), "drain_node")
        assert is_held(read("hold: [drain_node]"), "drain_node")
        assert not is_held(read("hold: [drain_node]"), "restart_pod")
        assert is_held(read("hold: ['*']"), "restart_pod")


def test_a_policy_survives_the_way_through_json():
    policy = read("hold: ['*']\nprotected_namespaces: [a-*]\nrate_per_hour: 7")

    assert Policy.model_validate_json(policy.model_dump_json()) == policy
