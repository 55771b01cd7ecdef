"""An executor that dies anywhere, and the same event again: one effect, whatever it had done by then.

The emulated cluster; each action on one scope, by its first example that writes. A dying process is an exception that
nobody catches, before a request is sent or after its answer has come.
"""

import json
from collections import Counter
from contextlib import suppress

import pytest

from shared.action.catalogue import Catalogue
from shared.model.plan import Plan
from tests.contract.live_run import Ledger, Run
from tests.contract.live_subject import mirror
from tests.contract.live_world import built
from tests.contract.test_actions_live import WRITERS, planned, writing

pytestmark = pytest.mark.faults

MOST_REQUESTS = 80
OURS = ("/metadata/annotations", "/metadata/labels/akeso.dev~1temporary")


class Died(BaseException):
    """Nothing in the product catches it."""


class Mortal:
    """Counts the requests of one client and dies at one of them; `effects` are the writes that the server took."""

    def __init__(self, kube, at=0, *, after=False):
        self._exchange, self._at, self._after = type(kube)._exchange.__get__(kube), at, after
        self.sent, self.effects, self.wrote = 0, Counter(), []
        kube._exchange = self

    def __call__(self, verb, path, query, body=None, *more, **named):
        self.sent += 1
        if self.sent == self._at and not self._after:
            raise Died
        answer = self._exchange(verb, path, query, body, *more, **named)
        if ("dryRun", "All") not in query and (said := effect(verb, path, body)):
            self.effects[said] += 1
            self.wrote.append(self.sent)
        if self.sent == self._at:
            raise Died
        return answer


def effect(verb, path, body):
    """What a write changes beside our own notes; empty for what changes nothing else."""
    if verb not in {"patch", "create", "delete", "evict"} or path.endswith("/events"):
        return ""
    if verb != "patch":
        return f"{verb} {path}"
    changes = [one for one in body if one["op"] != "test" and not one["path"].startswith(OURS)]
    changes = [one for one in changes if one["path"] != "/metadata/labels" or one.get("value") != {}]
    return f"{verb} {path} {json.dumps(changes)}" if changes else ""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with built(None, Catalogue.home(), tmp_path_factory.mktemp("kubeconfigs")) as there:
        yield there


@pytest.fixture
def run(world):
    """Makes a run on a new subject of an action."""

    def made(action):
        example = writing(action, action.scopes[0])
        subject = mirror(world, example.facts["scope"]["kind"], example.facts, example.params)
        plan = planned(world, action, subject)
        assert isinstance(plan, Plan), plan
        return Run(world, action, subject, plan)

    yield made
    world.end.close()


HOME = {name: action for name, action in WRITERS.items() if name in Catalogue.home().names()}


@pytest.mark.parametrize("action", HOME.values(), ids=HOME)
class TestAnExecutorThatDies:
    def test_has_one_effect_wherever_it_was(self, run, action):
        whole = run(action)
        clean = Mortal(whole.kube)
        assert whole.go().outcome == "succeeded"
        assert 0 < clean.sent < MOST_REQUESTS

        # To die after a read is to die before what comes next, and of the reads of the evidence one tells for three.
        near = {at + beside for at in clean.wrote for beside in (-2, -1, 0, 1, 2)}
        places = [(at, False) for at in range(1, clean.sent + 1) if at in near or at % 3 == 0]
        places += [(at, True) for at in clean.wrote]
        for at, after in places:
            again, book = run(action), Ledger()
            dying = Mortal(again.kube, at, after=after)
            with suppress(Died):  # a look at another pod's logs may be a request less
                again.with_(book)
            living = Mortal(again.kube)
            done = again.with_(book)

            effects = dying.effects + living.effects
            where = f"{action.name}, {'after' if after else 'before'} request {at} of {clean.sent}"
            assert done.outcome == "succeeded", (where, done)
            assert set(effects.values()) == {1}, (where, effects)
            assert effects.total() == clean.effects.total(), (where, effects)

    def test_that_gets_the_same_grant_twice_writes_once(self, run, action):
        one = run(action)
        first = Mortal(one.kube)
        assert one.with_(Ledger()).outcome == "succeeded"
        second = Mortal(one.kube)

        assert one.with_(Ledger(begun=True)).outcome == "succeeded"

        assert first.effects.total() > 0
        assert second.effects.total() == 0
