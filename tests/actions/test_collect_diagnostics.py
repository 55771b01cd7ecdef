"""It may look at all that its evidence is made of, and at nothing besides the facts."""

import pytest

from shared.action.catalogue import Catalogue
from shared.action.rbac import rules
from shared.kube import evidence
from shared.kube.rights import base
from shared.model.facts import Facts
from shared.model.plan import Plan, Refusal

ACTION = Catalogue.home().load("collect_diagnostics")
GIVEN = {(rule["apiGroups"][0], rule["resources"][0], verb) for rule in rules(ACTION) for verb in rule["verbs"]}


def planned(kind):
    facts = Facts.model_validate({"taken_at": 0, "scope": {"kind": kind, "name": "x"}})
    return ACTION.plan(facts, ACTION.Params())


class TestItsRights:
    def test_are_those_of_the_evidence_and_of_the_facts(self):
        assert {*evidence.rights(ACTION.scopes), *base(ACTION.scopes)} == GIVEN


class TestItsPlan:
    @pytest.mark.parametrize("kind", ACTION.scopes)
    def test_writes_nothing(self, kind):
        assert planned(kind) == Plan()

    def test_is_refused_where_there_is_nothing_to_look_at(self):
        assert isinstance(planned("unknown"), Refusal)
