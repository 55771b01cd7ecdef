"""The shipped rules are clean, and every kind of finding can occur."""

import pytest

from shared.decide.conditions import When
from shared.decide.lint import lint
from shared.decide.rules import TELL_ONLY, Rule, shipped


def rule(**changes):
    return Rule.model_validate(
        {
            "id": "mine",
            "title": "Mine",
            "source": "https://example.org/runbook",
            "priority": 1,
            "when": {"families": ["crash-loop"]},
            "action": TELL_ONLY,
            "confidence": 1,
            "reasoning": "Because.",
            **changes,
        }
    )


SCALE = {"action": "scale_deployment", "params": {"replicas": "one_more_replica"}, "when": {"families": ["crash-loop"]}}


def kinds(rules, cases, catalogue):
    return [(found.kind, found.rule) for found in lint(rules, cases, catalogue)]


def test_the_shipped_rules_are_clean(cases, catalogue):
    assert lint(shipped(), cases, catalogue) == []


def test_every_shipped_rule_is_chosen_for_some_fixture_that_vanishes_without_it(cases, catalogue):
    for one in shipped():
        fewer = {name: data for name, data in cases.items() if not one.when.met(data)}
        assert ("never-met", one.id) in kinds(shipped(), fewer, catalogue)


def test_a_good_rule_has_no_finding(cases, catalogue):
    assert kinds([rule()], cases, catalogue) == []
    assert kinds([rule(**SCALE)], cases, catalogue) == []


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"source": ""}, "no-source"),
        ({"source": "a colleague"}, "no-source"),
        ({"action": "cure_everything"}, "unknown-action"),
        ({"not_after": ["cure_everything"]}, "unknown-action"),
        (SCALE | {"params": {}}, "bad-params"),
        (SCALE | {"params": {"replicas": "as_the_alert_says"}}, "bad-params"),
        (SCALE | {"params": {"replicas": "worst_pod"}}, "bad-params"),
        (SCALE | {"params": {"replicas": "one_more_replica", "force": "worst_pod"}}, "bad-params"),
        ({"when": {"families": ["nobody-has-this"]}}, "never-met"),
    ],
)
def test_each_fault_of_one_rule_is_found(cases, catalogue, changes, kind):
    assert (kind, "mine") in kinds([rule(**changes)], cases, catalogue)


def test_duplicates_are_found(cases, catalogue):
    twins = [rule(), rule(priority=2, when=When(families=("network",)))]
    assert ("duplicate-id", "mine") in kinds(twins, cases, catalogue)
    same = [rule(), rule(id="other", when=When(families=("network",)))]
    assert ("duplicate-priority", "other") in kinds(same, cases, catalogue)


def test_a_rule_that_another_always_hides_is_unreachable(cases, catalogue):
    hidden = rule(id="hidden", priority=2, when=When(alertnames=("KubePodCrashLooping",)))
    assert kinds([rule(), hidden], cases, catalogue) == [("unreachable", "hidden")]
    first = hidden.model_copy(update={"priority": 1})
    assert kinds([first, rule(priority=2)], cases, catalogue) == []
