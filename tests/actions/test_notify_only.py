"""Telling writes nothing, whatever it is told about, and never passes for a cure."""

from typing import get_args

import pytest

from shared.action.catalogue import Catalogue
from shared.model.facts import Facts, Replicas, Scope, ScopeKind
from shared.model.plan import Plan

ACTION = Catalogue.home().load("notify_only")


@pytest.mark.parametrize("kind", get_args(ScopeKind))
def test_plans_nothing_for_every_scope(kind):
    facts = Facts(taken_at=1, scope=Scope(kind=kind, name="x"), autoscaler="a", gitops_owner="flux", paused=True)
    assert ACTION.plan(facts, ACTION.Params(message="look at it")) == Plan()
    assert kind in ACTION.scopes


def test_needs_no_rights():
    assert ACTION.rbac == ()


def test_cures_nothing():
    well = Facts(taken_at=1, scope=Scope(kind="Deployment", name="x"), replicas=Replicas(desired=1, ready=1))
    assert not ACTION.healthy(well)
