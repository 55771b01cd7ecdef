"""Table tests of policies, and the record tried on another one: the real guard answers, so its checks must be met."""

import json
import random

import pytest

from shared import clock
from shared.action.catalogue import Catalogue
from shared.dev import backtest, cases
from shared.dev.question import Question
from shared.dev.trial import CLUSTER, TENANT, Trial
from shared.errors import MalformedError
from shared.guard.policy_read import read
from shared.state.client import PREFIX

AT = clock.parse_ms("2026-11-26T12:00:00Z")  # a Thursday
MINUTE = 60_000
WEB = "action: scale_deployment, target: Deployment/shop/web"


@pytest.fixture(scope="module")
def trial():
    with Trial() as one:
        yield one


def found(policy, given, expect="{decision: approved}"):
    text = f"cases: [{{name: a, given: {{{given}}}, expect: {expect}}}]"
    (result,) = cases.play(cases.read(text), read(policy), Catalogue.home())
    return result


class TestACase:
    @pytest.mark.parametrize(
        ("policy", "given", "decision"),
        [
            ("", WEB, "approved"),
            ("", f"{WEB}, autonomy: observe", "denied (observe)"),
            ("", f"{WEB}, autonomy: suggest", "denied (suggest)"),
            ("", f"{WEB}, autonomy: approve", "held"),
            ("", f"{WEB}, autonomy: approve, approvers: [ann]", "approved"),
            ("", f"{WEB}, autonomy: 'off'", "denied (autonomy)"),
            ("", f"{WEB}, risk: 59", "approved"),
            ("", f"{WEB}, risk: 60", "held"),
            ("", f"{WEB}, risk: 90", "denied (risk)"),
            ("", f"{WEB}, protected: true", "denied (protected): Deployment/shop/web is protected"),
            ("", f"{WEB}, paused: true", "denied (person): paused by somebody"),
            ("", f"{WEB}, changed_minutes_ago: 14", "denied (person): somebody has changed it"),
            ("", f"{WEB}, changed_minutes_ago: 16", "approved"),
            ("", "action: scale_deployment, target: Deployment/kube-system/dns", "denied (protected)"),
            ("protected_objects: [Deployment/shop/w*]", WEB, "denied (protected): Deployment/shop/web is protected"),
            ("protected_objects: [Deployment/shop/b*]", WEB, "approved"),
            ("hold: [scale_deployment]", WEB, "held"),
            ("hold: [restart_pod]", WEB, "approved"),
            ("rules: [{name: r, severities: [crit*], autonomy: approve}]", f"{WEB}, severity: critical", "held"),
            ("rules: [{name: r, severities: [crit*], autonomy: approve}]", f"{WEB}, severity: warning", "approved"),
            ("rules: [{name: r, kinds: [Node], autonomy: 'off'}]", WEB, "approved"),
            ("rules: [{name: r, kinds: [Deployment], autonomy: 'off'}]", WEB, "denied (rule): r"),
            ("rules: [{name: x, namespaces: [sh*], autonomy: auto}, {name: r, autonomy: 'off'}]", WEB, "approved"),
            ("rules: [{name: x, namespaces: [pay], autonomy: auto}, {name: r, autonomy: 'off'}]", WEB,
             "denied (rule): r"),
            ("rules: [{name: few, most_replicas: 4}]", f"{WEB}, turn: up, replicas: 4", "approved"),
            ("rules: [{name: few, most_replicas: 4}]", f"{WEB}, turn: up, replicas: 5", "denied (bounds): few"),
            ("rules: [{name: few, most_replicas: 4}]", f"{WEB}, turn: down, replicas: 5", "approved"),
            ("rules: [{name: few, most_replicas: 4}, {name: r, autonomy: 'off'}]", f"{WEB}, turn: up, replicas: 4",
             "denied (rule): r"),
            ("rules: [{name: some, least_replicas: 2}]", f"{WEB}, turn: down, replicas: 1", "denied (bounds): some"),
            ("blast_workload_percent: 50", f"{WEB}, touches: {{unit: pod, count: 2, population: 3}}",
             "denied (blast-workload): 2 more of 3 pods of the workload"),
        ],
    )  # fmt: skip
    def test_is_answered_by_the_real_guard(self, policy, given, decision):
        assert found(policy, given).found == decision

    @pytest.mark.parametrize(
        ("at", "decision"),
        [
            ("2026-11-26T20:59:59Z", "denied (window): outside of nights"),
            ("2026-11-26T21:00:00Z", "approved"),  # 22:00 in Berlin
            ("2026-11-27T04:59:59Z", "approved"),
            ("2026-11-27T05:00:00Z", "denied (window): outside of nights"),
            ("2026-12-24T23:30:00Z", "denied (change-freeze): christmas"),
            ("2026-10-25T04:30:00Z", "approved"),  # the night with an hour twice
            ("2026-10-25T05:00:00Z", "denied (window): outside of nights"),
        ],
    )
    def test_lives_in_the_time_that_it_names(self, at, decision):
        policy = (
            "windows:\n- {name: nights, kind: maintenance, from: 22:00, to: 06:00, timezone: Europe/Berlin}\n"
            "- {name: christmas, kind: freeze, start: 2026-12-24T00:00:00Z, end: 2026-12-27T00:00:00Z}\n"
        )
        assert found(policy, f"{WEB}, at: '{at}'").found == decision

    @pytest.mark.parametrize(
        ("ended", "minutes", "check"),
        [
            ("verified", 4, "cooldown"),
            ("running", 1, "lease"),
            ("harmful", 30, "observe"),
            ("verified", 30, ""),
        ],
    )
    def test_knows_what_was_done_before_and_how_it_ended(self, ended, minutes, check):
        given = f"{WEB}, before: [{{{WEB}, minutes_ago: {minutes}, ended: {ended}}}]"
        expect = f"{{decision: denied, check: {check}}}" if check else "{decision: approved}"

        result = found("", given, expect)

        assert result.good, result.found

    def test_counts_attempts_against_the_policys_limit(self):
        before = ", ".join(f"{{{WEB}, minutes_ago: {minutes}}}" for minutes in (300, 200))
        given = f"{WEB}, before: [{before}]"

        assert found("attempts_per_day: 3", given).good
        assert found("attempts_per_day: 2", given).found == "denied (attempts)"

    def test_says_when_what_was_before_could_not_have_been(self):
        before = ", ".join(f"{{{WEB}, minutes_ago: {minutes}}}" for minutes in (300, 200))
        result = found("attempts_per_day: 1", f"{WEB}, before: [{before}]", "{decision: denied}")

        assert not result.good
        assert result.found == "scale_deployment 200 minutes ago would not have been done: attempts"

    def test_knows_nothing_of_the_case_before_it(self):
        before = f"{{{WEB}, minutes_ago: 1, ended: running}}"
        one = f"{{name: a, given: {{{WEB}, before: [{before}]}}, expect: {{decision: denied}}}}"
        two = f"{{name: b, given: {{{WEB}}}, expect: {{decision: approved}}}}"

        results = list(cases.play(cases.read(f"cases: [{one}, {two}]"), read(""), Catalogue.home()))

        assert [each.good for each in results] == [True, True]

    def test_how_many_must_say_yes_is_part_of_what_is_expected(self):
        policy = "rules: [{name: two, actions: ['*'], approvers: 2}]"

        assert found(policy, WEB, "{decision: held, needs: 2}").good
        assert not found(policy, WEB, "{decision: held, needs: 1}").good
        assert not found(policy, f"{WEB}, approvers: [ann]").good
        assert found(policy, f"{WEB}, approvers: [ann, bob]").good


def asked(scope="Deployment/shop/web", **more):
    return {"scope": scope, "namespace": scope.split("/")[1], "action": "scale_deployment", "cooldown": 5 * MINUTE,
            "soak": MINUTE, **more}  # fmt: skip


def series(trial, policy, seed):
    """Decisions as the guard itself notes them, of a random day."""
    random.seed(seed)
    trial.begin(read(policy), AT)
    at = AT
    for number in range(120):
        at += random.choice((1, 2, 5, 20)) * MINUTE
        scope = f"Deployment/{random.choice(('shop', 'pay'))}/{random.choice(('web', 'db'))}"
        touches = {"unit": "pod", "count": 1, "population": 3}
        question = Question.model_validate(asked(scope, incident=f"i{number}", taken_at=at, touches=touches))
        trial.decide(question.request(), at)
    return trial._state.store.read("LRANGE", f"{PREFIX}:{TENANT}:{CLUSTER}:decisions", 0, -1)


class TestTheRecord:
    @pytest.mark.parametrize("seed", range(3))
    def test_comes_out_under_its_own_policy_as_it_was_decided(self, trial, seed):
        policy = "attempts_per_day: 5\nrate_per_hour: 6"
        records = backtest.read(series(trial, policy, seed))
        assert {one.decision for one in records} == {"approved", "denied"}

        same = backtest.compare(records, read(policy), read(policy))

        assert (same.of, same.as_recorded, same.changed) == (120, 120, ())

    def test_tells_each_decision_that_another_policy_would_change(self, trial):
        records = backtest.read(series(trial, "attempts_per_day: 5", 1))
        approved = [one for one in records if one.decision == "approved"]

        compared = backtest.compare(records, read("attempts_per_day: 5"), read("attempts_per_day: 5\nrisk_refuse: 0"))

        assert {one.record.at for one in compared.changed} >= {one.at for one in approved}
        assert {one.after.decision for one in compared.changed} == {"denied"}

    def test_what_one_refusal_makes_possible_later_is_seen(self):
        """Under the stricter rate the second is refused, and so the third still has its attempt."""
        records = backtest.read(
            [
                {
                    "at": AT + n * MINUTE,
                    "decision": "approved",
                    "asked": asked(taken_at=AT + n * MINUTE, incident=f"i{n}"),
                }
                for n in (0, 30, 61)
            ]
        )
        compared = backtest.compare(records, read("attempts_per_day: 2"), read("attempts_per_day: 2\nrate_per_hour: 1"))

        assert [(str(one.before), str(one.after)) for one in compared.changed] == [
            ("approved", "denied (rate-hour)"),
            ("denied (attempts)", "approved"),
        ]

    def test_the_last_so_many_are_the_newest_in_their_order(self):
        listed = [{"at": AT + n, "decision": "held", "asked": asked()} for n in (3, 1, 2)]

        assert [one.at - AT for one in backtest.read({"decisions": listed}, 2)] == [2, 3]

    def test_windows_reach_through_weeks_of_record(self):
        nights = "windows: [{name: nights, kind: maintenance, from: 22:00, to: 06:00}]"
        times = [AT + day * 86_400_000 + hour * 60 * MINUTE for day in range(40) for hour in (0, 12)]
        records = backtest.read(
            [{"at": at, "decision": "approved", "asked": asked(taken_at=at, incident=f"i{at}")} for at in times]
        )

        compared = backtest.compare(records, read(""), read(nights))

        assert [one.record.at for one in compared.changed] == times[::2]
        assert {str(one.after) for one in compared.changed} == {"denied (window)"}

    def test_what_is_no_record_is_named_by_its_place(self):
        with pytest.raises(MalformedError, match="decision 2: at "):
            backtest.read([json.dumps({"at": 1, "decision": "held", "asked": asked()}), {"at": "x"}])
