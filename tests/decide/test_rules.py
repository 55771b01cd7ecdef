"""What is chosen for an incident, and above all when nothing is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.action.catalogue import Catalogue
from shared.decide.conditions import PodWhen, When
from shared.decide.rules import RUNBOOKS, TELL_ONLY, Rule, choose, load_rules, seen, shipped
from shared.errors import MalformedError
from shared.event.types import TriagedData
from shared.model.details import CLEANUP, Claim, Details, Nodes, Task, Tasks
from shared.model.facts import ContainerState, Facts, PodFacts, Replicas, Scope
from shared.model.wish import Wish


def pod(name="web-1", **changes):
    state = {"restarts": 3, "waiting": "CrashLoopBackOff", "terminated": "Error"} | changes.pop("state", {})
    return PodFacts(name=name, uid=f"u-{name}", phase="Running", age_s=3600, **changes).model_copy(
        update={"containers": (ContainerState(name="app", **state),)}
    )


WELL = {"waiting": "", "ready": True, "crashed": True}


class TestShippedRules:
    def test_some_write_and_some_restrain(self):
        rules = shipped()
        assert sum(rule.action != TELL_ONLY for rule in rules) >= 4
        assert sum(rule.action == TELL_ONLY for rule in rules) >= 3

    def test_restraint_stands_before_every_write_that_it_could_be_about(self):
        told = [rule for rule in shipped() if rule.action == TELL_ONLY]
        for write in (rule for rule in shipped() if rule.action != TELL_ONLY):
            after = {rule.id for rule in told if rule.priority > write.priority}
            # The general word on nodes and volumes gives way where something is known to help; others are of workloads.
            of_its_own = write.when.scope_kinds in (("Node",), ("PersistentVolumeClaim",))
            assert not after or of_its_own, (write.id, after)
            assert "security-needs-a-person" not in after

    def test_choose_as_recorded(self, case, expected, cases, catalogue):
        choice = choose(cases[case], catalogue, shipped())
        assert (choice.rule, choice.action, choice.params) == (
            expected["rule"],
            expected["action"],
            expected["params"],
        )
        assert choice.by == ("rule" if expected["rule"] else "nobody")

    def test_the_reasoning_tells_what_was_seen(self, cases, catalogue):
        reasoning = choose(cases["crash-loop"], catalogue, shipped()).reasoning
        assert "Deployment/shop/web, 1 of 2 ready, pod web-7d4b9f-h6s2k: CrashLoopBackOff, 7 restarts." in reasoning

    def test_the_order_of_the_list_does_not_matter(self, cases, catalogue):
        for data in cases.values():
            assert choose(data, catalogue, shipped()[::-1]) == choose(data, catalogue, shipped())


class TestTried:
    def test_a_crash_loop_is_restarted_three_times_and_then_told(self, change, catalogue):
        chosen = [
            choose(change("crash-loop", tried=("restart_pod",) * n), catalogue, shipped()).action for n in range(5)
        ]
        assert chosen == ["restart_pod"] * 3 + [TELL_ONLY] * 2

    def test_what_was_tried_is_not_proposed_again(self, change, catalogue):
        choice = choose(change("below-minimum", tried=("scale_deployment",)), catalogue, shipped())
        assert (choice.action, choice.by, choice.confidence) == (TELL_ONLY, "nobody", 1)
        assert "Nothing is left to try: below-minimum" in choice.reasoning

    def test_not_after_another_action(self, change, catalogue):
        choice = choose(change("replicas-mismatch", tried=("scale_deployment",)), catalogue, shipped())
        assert choice.action == TELL_ONLY

    def test_a_rule_of_restraint_goes_on_restraining_after_it_told(self, change, catalogue):
        data = change("crash-loop", {"rolling_out": True}, tried=(TELL_ONLY,) * 3)
        assert choose(data, catalogue, shipped()).rule == "rollout-in-progress"


class TestRestraint:
    @pytest.mark.parametrize(
        ("name", "facts", "rule"),
        [
            ("below-minimum", {"rolling_out": True}, "rollout-in-progress"),
            ("below-minimum", {"autoscaler": "checkout"}, "autoscaler-owns-replicas"),
            ("below-minimum", {"paused": True}, ""),
            ("below-minimum", {"spec": {"replicas": 1}}, ""),
            ("below-minimum", {"spec": {"minimum_replicas": 1}}, ""),
            ("below-minimum", {"spec": {"minimum_replicas": "3"}}, ""),
            ("below-minimum", {"spec": {"minimum_replicas": True}, "replicas": Replicas(desired=0, ready=0)}, ""),
            ("below-minimum", {"spec": {"minimum_replicas": 500}}, ""),
            ("below-minimum", {"scope": Scope(kind="StatefulSet", namespace="shop", name="db", uid="u")}, ""),
            ("crash-loop", {"pods": ()}, ""),
            ("crash-loop", {"pods": (pod(deleting=True),)}, ""),
            ("crash-loop", {"pods": (pod(ready=True),)}, ""),
            ("crash-loop", {"pods": (pod(state={"waiting": "ImagePullBackOff"}),)}, ""),
            ("crash-loop", {"pods": (pod(state={"waiting": ""}),)}, ""),
            ("crash-loop", {"pods": (pod(ready=True, state={**WELL, "restarts": 1}),)}, ""),
            ("crash-loop", {"pods": (pod(state={"terminated": "OOMKilled"}),)}, "out-of-memory-crash-loop"),
            (
                "crash-loop",
                {"pods": (pod("a"), pod("b", state={"terminated": "OOMKilled"}))},
                "out-of-memory-crash-loop",
            ),
            ("crash-loop", {"scope": Scope(kind="Pod", namespace="shop", name="web", uid="u")}, ""),
            ("crash-loop", {"scope": Scope(kind="Job", namespace="shop", name="web", uid="u")}, ""),
            ("replicas-mismatch", {"replicas": Replicas(desired=4, ready=0)}, ""),
            ("replicas-mismatch", {"pods": (pod(state={"waiting": ""}).model_copy(update={"age_s": 60}),)}, ""),
            ("replicas-mismatch", {"pods": (pod(state={"waiting": "ContainerCreating"}),)}, ""),
            ("high-memory", {"replicas": Replicas(desired=1, ready=1)}, ""),
            ("high-memory", {"replicas": Replicas(desired=3, ready=2)}, ""),
            ("high-memory", {"replicas": None}, ""),
        ],
    )
    def test_tells_and_does_not_write(self, change, catalogue, name, facts, rule):
        choice = choose(change(name, facts), catalogue, shipped())
        assert (choice.action, choice.rule) == (TELL_ONLY, rule)

    def test_an_action_that_is_not_installed_is_not_chosen(self, cases, tmp_path):
        choice = choose(cases["below-minimum"], Catalogue(tmp_path), shipped())
        assert (choice.action, choice.by) == (TELL_ONLY, "nobody")


SAYS = {CLEANUP: "[]"}


class TestAVolumeThatFillsUp:
    """Restraint gives way where a remedy is for it, and nowhere else."""

    @pytest.mark.parametrize(
        "tasks", [(), (Task(name="v", uid="j", task="compact"),), (Task(name="d", uid="j", task="backup"),)]
    )
    @pytest.mark.parametrize("claim", [
        None, Claim(), Claim(phase="Bound"), Claim(phase="Bound", expandable=True),
        Claim(phase="Pending", expandable=True),
        Claim(phase="Bound", notes=SAYS), Claim(phase="Bound", notes={"akeso.dev/other": "x"}),
    ])  # fmt: skip
    def test_is_a_persons_exactly_where_no_rule_of_ours_fits(self, change, catalogue, claim, tasks):
        details = Details(claim=claim, tasks=Tasks(tasks=tasks))
        for name in ("volume-expand", "volume-errors", "pvc-near-full", "disk-space", "node-maintenance"):
            data = change(name, {"details": details})
            fitting = [rule for rule in shipped() if rule.action != TELL_ONLY and rule.when.met(data)]
            choice = choose(data, catalogue, shipped())
            told = choice.rule == "node-and-storage-need-a-person"
            assert told is not bool(fitting)
            assert (choice.action == TELL_ONLY) is told
            if name != "volume-expand":
                assert told

    def test_is_cleaned_then_compacted_then_enlarged_and_then_told(self, change, catalogue):
        tried, rules = (), []
        for _ in range(4):
            choice = choose(change("volume-cleanup", tried=tried), catalogue, shipped())
            tried, rules = (*tried, choice.action), [*rules, choice.rule]

        assert rules == ["volume-cleanup", "volume-compact", "volume-expand", "node-and-storage-need-a-person"]
        assert tried[-1] == TELL_ONLY


class TestACrashLoopBetweenTwoCrashes:
    """A look comes at any moment: the container may run just then, and without a probe it is ready."""

    @pytest.mark.parametrize(
        "seen", [pod(ready=True, state=WELL), pod(state={"waiting": "", "restarts": 1, "crashed": True})]
    )
    def test_is_restarted(self, change, catalogue, seen):
        assert choose(change("crash-loop", {"pods": (seen,)}), catalogue, shipped()).action == "restart_pod"


class TestWorstPod:
    def test_is_the_one_that_restarted_most_among_those_the_rule_is_about(self, change, catalogue):
        pods = (
            pod("web-b", state={"restarts": 5}),
            pod("web-a", state={"restarts": 5}),
            pod("web-c", state={"restarts": 90, "waiting": ""}),
            pod("web-d", ready=True, state={"restarts": 99}),
        )
        assert choose(change("crash-loop", {"pods": pods}), catalogue, shipped()).params["pod"] == "web-a"

    def test_all_conditions_must_meet_in_one_container(self):
        both = pod().model_copy(
            update={
                "containers": (
                    ContainerState(name="app", waiting="CrashLoopBackOff"),
                    ContainerState(name="side", restarts=9),
                )
            }
        )
        facts = Facts(taken_at=0, scope=Scope(kind="Deployment", name="web"), pods=(both,))
        assert not PodWhen(waiting=("CrashLoopBackOff",), min_restarts=1).pods(facts)
        assert PodWhen(waiting=("CrashLoopBackOff",)).pods(facts)


class TestWishes:
    def test_a_run_is_exactly_what_the_person_asked_for(self, change, catalogue):
        wish = Wish(reason="run", action="scale_deployment", params={"replicas": "7"}, author="mira")
        choice = choose(
            change("crash-loop", {"rolling_out": True}, wish=wish, tried=("scale_deployment",)), catalogue, shipped()
        )
        assert (choice.action, choice.params, choice.confidence) == ("scale_deployment", {"replicas": 7}, 1)
        assert (choice.by, choice.rule, choice.reasoning) == ("person", "", "Asked for by mira.")

    def test_an_approval_keeps_the_action_and_parameters_of_the_hold(self, change, catalogue):
        wish = Wish(reason="approve", action="restart_pod", params={"pod": "web-1"}, approvers=("mira", "jo"), hold="h")
        choice = choose(change("below-minimum", wish=wish), catalogue, shipped())
        assert (choice.action, choice.params["pod"]) == ("restart_pod", "web-1")
        assert choice.reasoning == "Approved by mira, jo."

    @pytest.mark.parametrize(
        ("action", "params", "reason"),
        [
            ("", {}, "unknown-action"),
            ("rm_rf", {}, "unknown-action"),
            ("../rules", {}, "unknown-action"),
            ("scale_deployment", {}, "params"),
            ("scale_deployment", {"replicas": 0}, "params"),
            ("scale_deployment", {"replicas": 101}, "params"),
            ("scale_deployment", {"replicas": "many"}, "params"),
            ("scale_deployment", {"replicas": True}, "params"),
            ("scale_deployment", {"replicas": 3, "force": True}, "params"),
            ("restart_pod", {"pod": "../x"}, "params"),
            ("restart_pod", {"pod": "web\n"}, "params"),
            ("notify_only", {"message": "x" * 501}, "params"),
        ],
    )
    def test_what_cannot_be_done_is_refused_with_a_reason(self, change, catalogue, action, params, reason):
        wish = Wish(reason="run", action=action, params=params, author="mira")
        with pytest.raises(MalformedError) as caught:
            choose(change("below-minimum", wish=wish), catalogue, shipped())
        assert caught.value.reason == reason

    @pytest.mark.parametrize("reason", ["look", "retry"])
    def test_another_look_is_left_to_the_rules(self, change, catalogue, reason):
        choice = choose(change("below-minimum", wish=Wish(reason=reason)), catalogue, shipped())
        assert choice.rule == "below-minimum"


class TestConditions:
    def test_the_crash_loop_rule_excludes_lack_of_memory_by_itself(self, cases):
        rule = next(rule for rule in shipped() if rule.id == "crash-loop-restart")
        assert rule.when.met(cases["crash-loop"])
        assert not rule.when.met(cases["crash-loop-out-of-memory"])

    def test_family_or_alert_name_is_enough(self, cases):
        data = cases["crash-loop"]
        assert When(families=("crash-loop",), alertnames=("Other",)).met(data)
        assert When(families=("other",), alertnames=("KubePodCrashLooping",)).met(data)
        assert not When(families=("other",), alertnames=("Other",)).met(data)
        assert When().met(data)

    def test_an_incident_without_alert_has_no_alert_name(self, change):
        assert When(families=("crash-loop",)).met(change("crash-loop", alert=None))
        assert not When(alertnames=("KubePodCrashLooping",)).met(change("crash-loop", alert=None))

    @given(st.integers(0, 200), st.integers(0, 200))
    def test_below_minimum_means_strictly_below(self, desired, minimum):
        facts = Facts(
            taken_at=0,
            scope=Scope(kind="Deployment", name="w"),
            replicas=Replicas(desired=desired, ready=0),
            spec={"minimum_replicas": minimum},
        )
        data = TriagedData(incident="i", scope=facts.scope, family="replicas", facts=facts)
        assert When(below_minimum=True).met(data) is (minimum > desired)

    @pytest.mark.parametrize(("kind", "told"), [("Deployment", 0), ("Job", 1)])
    def test_a_pod_that_is_over_counts_only_where_it_is_the_matter_itself(self, kind, told):
        ended = ContainerState(name="app", terminated="OOMKilled", restarts=1)
        evicted = PodFacts(name="old", uid="u", phase="Failed", containers=(ended,))
        facts = Facts(taken_at=0, scope=Scope(kind=kind, namespace="shop", name="web"), pods=(evicted,))
        assert len(PodWhen(terminated=("OOMKilled",)).pods(facts)) == told

    def test_what_was_seen_of_a_pod_without_containers_is_why_it_has_none(self):
        pods = (PodFacts(name="web-1", uid="u", phase="Pending", reason="Unschedulable"),)
        facts = Facts(taken_at=0, scope=Scope(kind="Deployment", namespace="shop", name="web"), pods=pods)
        assert seen(facts) == "Seen: Deployment/shop/web, pod web-1: Unschedulable."

    def test_what_was_seen_of_an_unknown_scope(self):
        facts = Facts(taken_at=0, scope=Scope(kind="unknown", name="alert/aa"))
        assert seen(facts) == "Seen: alert/aa."


class TestLoading:
    GOOD = (
        "rules:\n- {id: one, title: T, source: 'https://x', priority: 1, when: {}, action: notify_only,"
        " confidence: 1, reasoning: R}\n"
    )

    def test_the_shipped_folder_is_read_by_priority(self):
        priorities = [rule.priority for rule in load_rules(RUNBOOKS)]
        assert priorities == sorted(priorities)

    def test_a_file_of_ones_own(self, tmp_path):
        (tmp_path / "a.yaml").write_text(self.GOOD)
        (rule,) = load_rules(tmp_path)
        assert isinstance(rule, Rule)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "rules:",
            "rules: 7",
            "- a",
            "rules: [{id: one}]",
            "rules: [x",
            GOOD.replace("when: {}", "when: {expr: 'a > b'}"),
            GOOD.replace("when: {}", "when: {scope_kinds: [Toaster]}"),
            GOOD.replace("id: one", "id: ONE"),
            GOOD.replace("confidence: 1", "confidence: 2"),
            GOOD.replace("title: T", "title: T, command: rm"),
            "rules: !!python/object/apply:os.getcwd []",
        ],
    )
    def test_a_broken_file_is_named(self, tmp_path, text):
        (tmp_path / "broken.yaml").write_text(text)
        with pytest.raises(MalformedError, match=r"broken\.yaml") as caught:
            load_rules(tmp_path)
        assert caught.value.reason == "runbooks"

    def test_no_rules_at_all_are_a_mistake_of_packaging(self, tmp_path):
        with pytest.raises(MalformedError):
            load_rules(tmp_path)


class TestANode:
    """A machine is left to people, except where something is known to help it and others carry on."""

    def rule(self, change, catalogue, which, **changes):
        node = change(which).facts.details.node
        details = Details(node=node.model_copy(update=changes))
        return choose(change(which, {"details": details}), catalogue, shipped()).rule

    @pytest.mark.parametrize("which", ["node-not-ready", "node-pressure"])
    @pytest.mark.parametrize(
        "changes",
        [
            {"unschedulable": True},
            {"control_plane": True},
            {"in_cluster": Nodes(all=1, ready=1, schedulable=0)},
        ],
        ids=["cordoned", "control plane", "last"],
    )
    def test_that_gains_nothing_by_it_is_left_alone(self, change, catalogue, which, changes):
        assert self.rule(change, catalogue, which, **changes) == "node-and-storage-need-a-person"

    @pytest.mark.parametrize(
        "changes", [{"ready": False}, {"control_plane": True}, {"in_cluster": Nodes(all=2, ready=2, schedulable=1)}]
    )
    def test_is_emptied_for_repair_only_while_it_works_and_others_do(self, change, catalogue, changes):
        assert self.rule(change, catalogue, "node-raid", **changes) == "node-and-storage-need-a-person"

    def test_that_nobody_has_looked_at_is_left_alone(self, change, catalogue):
        choice = choose(change("node-not-ready", {"details": Details()}), catalogue, shipped())
        assert choice.rule == "node-and-storage-need-a-person"

    def test_is_not_cordoned_twice_for_one_incident(self, change, catalogue):
        choice = choose(change("node-not-ready", tried=("cordon_node",)), catalogue, shipped())
        assert choice.action == TELL_ONLY


NOW = {"name": "b", "uid": "2", "number": 2, "current": True, "replicas": 2, "template": "b"}
OLD = {"name": "a", "uid": "1", "number": 1, "health": "stood", "template": "a"}


class TestABadVersion:
    """A rollback only where the newest revision is what is wrong, and an older one is known to have been good."""

    def chosen(self, change, catalogue, *, now=None, old=None, rollout="complete", age_s=600, **more):
        taken = change("crash-loop").facts.taken_at
        newest = NOW | {"created_at": taken - age_s * 1000} | (now or {})
        history = {"revisions": [newest, OLD | (old or {})], "rollout": rollout}
        details = Details.model_validate({"revisions": history})
        return choose(change("crash-loop", {"details": details, **more}), catalogue, shipped()).rule

    def test_whose_pods_crash_soon_after_it_came_goes_back_and_is_not_restarted(self, change, catalogue):
        assert self.chosen(change, catalogue) == "bad-version-rollback"

    @pytest.mark.parametrize(
        "how",
        [
            {"age_s": 3601},
            {"age_s": -1},
            {"old": {"health": "unknown"}},
            {"old": {"template": "b"}},
            {"old": {"number": 3}},
        ],
    )
    def test_otherwise_a_fresh_pod_may_end_it(self, change, catalogue, how):
        assert self.chosen(change, catalogue, **how) == "crash-loop-restart"

    def served(self, change, catalogue, *, fell, replicas=2, ready=2, **state):
        """What is chosen where these pods look ready, and so many of them fell just now."""
        app = ContainerState(**{"name": "app", "ready": True, "restarts": 3, "crashed": True} | state)
        pods = tuple(
            PodFacts(name=f"web-{n}", uid=f"u-{n}", phase="Running", ready=True,
                     containers=(app.model_copy(update={"fell": n < fell}),)) for n in range(ready)
        )  # fmt: skip
        now = {"replicas": replicas, "ready": ready, "health": "now" if replicas == ready else "unknown"}
        return self.chosen(change, catalogue, now=now, pods=pods)

    def test_goes_back_also_when_it_looks_well_between_two_crashes(self, change, catalogue):
        assert self.served(change, catalogue, fell=1) == "bad-version-rollback"

    def test_that_serves_for_minutes_after_its_crashes_stays(self, change, catalogue):
        assert self.served(change, catalogue, fell=0) != "bad-version-rollback"
        assert self.served(change, catalogue, fell=2, restarts=1) != "bad-version-rollback"

    def test_of_which_few_pods_fail_stays(self, change, catalogue):
        assert self.served(change, catalogue, fell=4, replicas=10, ready=10) == "crash-loop-restart"
        assert self.served(change, catalogue, fell=0, replicas=10, ready=6) != "bad-version-rollback"
        assert self.served(change, catalogue, fell=5, replicas=10, ready=10) == "bad-version-rollback"
        assert self.served(change, catalogue, fell=2, replicas=10, ready=7) == "bad-version-rollback"

    def test_that_is_stuck_goes_back_however_long_ago_it_came(self, change, catalogue):
        assert self.chosen(change, catalogue, rollout="stuck", age_s=999_999) == "bad-version-rollback"

    def test_is_not_gone_back_from_twice(self, change, catalogue):
        again = choose(change("rollout-stuck", tried=("rollback_deployment",)), catalogue, shipped())
        assert (again.action, again.by) == (TELL_ONLY, "nobody")
