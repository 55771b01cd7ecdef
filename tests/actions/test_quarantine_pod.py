"""Exactly one pod loses its labels and everybody's reach, behind a policy that was there before."""

import pytest
from pydantic import ValidationError

from shared.action.catalogue import Catalogue
from shared.model.details import Details, Network, Seat
from shared.model.facts import Facts, PodFacts, Replicas, Scope
from shared.model.plan import Refusal

ACTION = Catalogue.home().load("quarantine_pod")
SCOPE = Scope(kind="Deployment", namespace="shop", name="web", uid="d-1")
UID = "1f8e72fe-aad3-482e-95f8-51bd6ee9fb58"
LABELS = {"app": "web", "pod-template-hash": "7d4b9", "tier": "front"}


def seat(**changes):
    return Seat(**{"name": "web-1", "uid": UID, "labels": LABELS} | changes)


def facts(*pods, enforcer="calico", open_by=(), **changes):
    network = Network(enforcer=enforcer, open_by=open_by, pods=pods or (seat(), seat(name="web-2", uid="u-2")))
    base = {
        "scope": SCOPE,
        "pod_count": 2,
        "replicas": Replicas(desired=2, ready=2),
        "details": Details(network=network),
    }
    return Facts(taken_at=1, **base | changes)


def plan(given=None, pod="web-1", **params):
    return ACTION.plan(given or facts(), ACTION.Params(pod=pod, **params))


class TestThePlan:
    def test_makes_the_policy_before_the_pod_loses_its_owner(self):
        assert [write.verb for write in plan().writes] == ["create", "patch"]

    def test_isolates_by_a_label_that_only_this_pod_gets(self):
        wall, labels = plan().writes

        assert wall.target.model_dump() == {
            "kind": "NetworkPolicy", "namespace": "shop", "name": f"akeso-quarantine-{UID}", "uid": "",
        }  # fmt: skip
        assert wall.after == {
            "spec": {
                "podSelector": {"matchLabels": {"akeso.dev/quarantine": UID}},
                "policyTypes": ["Ingress", "Egress"],
            }
        }
        assert labels.after == {"akeso.dev/quarantine": UID}
        assert (labels.target.name, labels.target.uid, labels.path) == ("web-1", UID, "/metadata/labels")

    def test_remembers_all_labels_for_the_undo_which_ends_with_the_policy(self):
        labels, wall = plan().inverse("g-1").writes

        assert (labels.before, labels.after) == ({"akeso.dev/quarantine": UID}, LABELS)
        assert (wall.verb, wall.before) == ("delete", {"attempt": "g-1"})

    def test_of_a_pod_without_labels_puts_them_where_none_are(self):
        assert plan(facts(seat(labels={}))).writes[1].before is None

    def test_ends_by_nobody_but_people_who_are_reminded(self):
        made = plan(hours=3)

        assert (made.until_s, made.reminds_s) == (0, 3 * 3600)
        assert "shop/web-1 has been in quarantine for 3 h" in made.reminds

    def test_is_taken_back_at_once_when_it_fails_half_way(self):
        assert plan().takes_back

    def test_disturbs_one_pod_of_the_workload(self):
        touched = plan().touches

        assert (touched.unit, touched.count, touched.population) == ("pod", 1, 2)


class TestTheParameters:
    @pytest.mark.parametrize(
        "params",
        [
            {}, {"pod": ""}, {"pod": "../x"}, {"pod": "Web"}, {"pod": "p" * 254}, {"pod": 1}, {"pod": "web-1\n"},
            {"pod": "w", "hours": 0}, {"pod": "w", "hours": 169}, {"pod": "w", "hours": "24"},
            {"pod": "w", "hours": float("nan")}, {"pod": "w", "hours": 1.0}, {"pod": "w", "labels": {}},
        ],
    )  # fmt: skip
    def test_take_nothing_else(self, params):
        with pytest.raises(ValidationError):
            ACTION.Params(**params)


class TestRefusals:
    @pytest.mark.parametrize(
        ("given", "reason"),
        [
            (facts(enforcer="unknown"), "unsupported"),
            (facts(open_by=("p" * 253, "q" * 253, "r")), "unsupported"),
            (facts(seat(name="web-3")), "not-found"),
            (facts(seat(uid="")), "not-found"),
            (facts(details=Details()), "not-found"),
            (facts(seat(host=True)), "unsupported"),
            (facts(seat(mirror=True)), "unsupported"),
            (facts(seat(labels={"akeso.dev/quarantine": "x"})), "nothing-to-do"),
            (facts(pods=(PodFacts(name="web-1", uid=UID, deleting=True),)), "nothing-to-do"),
            (facts(scope=Scope(kind="Pod", namespace="shop", name="web-1", uid=UID)), "bare-pod"),
            (facts(disruption_allowed=0), "disruption-budget"),
            (facts(scope=SCOPE.model_copy(update={"kind": "StatefulSet"})), "unsupported"),
            (facts(scope=SCOPE.model_copy(update={"kind": "Job"})), "unsupported"),
            (facts(scope=Scope(kind="unknown", name="alert/aa")), "unsupported"),
        ],
    )
    def test_name_their_reason_in_a_sentence(self, given, reason):
        refused = plan(given)

        assert isinstance(refused, Refusal)
        assert refused.reason == reason
        assert 10 <= len(refused.text) <= 300

    @pytest.mark.parametrize(
        ("given", "params"),
        [
            (facts(enforcer="unknown"), {"allow_unenforced": True}),
            (facts(open_by=("allow-dns",)), {"allow_open": True}),
            (facts(scope=Scope(kind="Pod", namespace="shop", name="web-1", uid=UID)), {"allow_bare": True}),
            (facts(disruption_allowed=0), {"allow_over_budget": True}),
        ],
    )
    def test_give_way_to_who_may_say_so(self, given, params):
        assert not isinstance(plan(given, **params), Refusal)

    def test_and_reminders_of_the_longest_names_stay_short(self):
        long = "p" * 253

        assert len(plan(facts(seat(name=long)), pod=long).reminds) <= 300
        assert len(plan(facts(), pod=long).text) <= 700


class TestHealth:
    def test_is_a_workload_that_is_full_again(self):
        assert ACTION.healthy(facts())
        assert not ACTION.healthy(facts(replicas=Replicas(desired=2, ready=1)))
        assert not ACTION.healthy(facts(replicas=Replicas(desired=2, ready=2, observed=False)))

    def test_is_never_worse_than_a_suspect_that_serves(self):
        assert ACTION.worse(facts(), facts(replicas=Replicas(desired=2, ready=0))) is False
