"""Recorded alerts with the facts that triage would have taken, and builders for what no record shows."""

import json
from pathlib import Path

import pytest

from shared.action.catalogue import Catalogue
from shared.alert.families import family
from shared.alert.model import parse
from shared.event.types import TriagedData
from shared.model.facts import Facts

FOLDER = Path(__file__).parents[1] / "fixtures" / "alerts"


def _triaged(data):
    facts = Facts.model_validate(data["facts"])
    (alert,) = parse(json.dumps(data["body"]).encode(), now_ms=facts.taken_at).alerts
    return TriagedData(incident="i-1", scope=facts.scope, family=family(alert), alert=alert, facts=facts)


RECORDED = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def pytest_generate_tests(metafunc):
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", sorted(RECORDED))


@pytest.fixture
def expected(case):
    return RECORDED[case]["expect"]


@pytest.fixture(scope="session")
def cases():
    """Name to what triage would hand to the router."""
    return {name: _triaged(data) for name, data in RECORDED.items()}


@pytest.fixture(scope="session")
def catalogue():
    return Catalogue.home()


@pytest.fixture
def change(cases):
    """Take a recorded case with other facts, or other fields of the event."""

    def build(name, facts=None, **fields):
        data = cases[name]
        return data.model_copy(update={"facts": data.facts.model_copy(update=facts or {}), **fields})

    return build
