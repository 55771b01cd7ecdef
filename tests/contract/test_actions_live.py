"""What every action promises about a cluster, on one: its declared rights suffice, and not one of them is too many.

The emulated cluster without `--kubeconfig`, the real one with it. No action is named: subjects come from the scopes and
examples of each, steps are the executor's own.
"""

import re
import shutil
from pathlib import Path
from typing import get_args

import pytest

from shared.action.catalogue import Catalogue
from shared.action.declare import Example
from shared.action.rbac import rules
from shared.action.render import executor_name
from shared.action.step import TRIES
from shared.errors import ForbiddenError
from shared.event.here import Here
from shared.kube import details as further
from shared.kube import evidence
from shared.kube import facts as snapshot
from shared.kube.details import NAMES
from shared.kube.errors import KubeError
from shared.kube.kinds import KINDS
from shared.kube.scope import resolve
from shared.kube.write import put_configmap
from shared.model.facts import ScopeKind
from shared.model.plan import Plan, Refusal
from shared.people import who
from shared.secrets import Secrets
from shared.settings import Settings
from shared.sweep.targets import KINDS as COUNTED
from shared.sweep.temporary import KINDS as TEMPORARY_KINDS
from tests.cluster.api import until
from tests.contract.live_run import Run
from tests.contract.live_subject import look, mirror, no_mirror
from tests.contract.live_world import built

ROOT = Path(__file__).parents[2]
HOME = Catalogue.home()
FURTHER = Catalogue(ROOT / "tests" / "fixtures").load("action28")
ACTIONS = {action.name: action for action in (*HOME.all(), FURTHER)}
WRITERS = {name: action for name, action in ACTIONS.items() if action.writes}
TELLERS = {name: action for name, action in ACTIONS.items() if action.kind == "none"}
ANY = Example("any", {"taken_at": 0, "scope": {"kind": "Deployment", "name": "any"}}, {})
LOOKERS = {name: action for name, action in ACTIONS.items() if action.kind == "read"}
ASKING = WRITERS | LOOKERS
GREEDY = "greedy_for_rights"
CURIOUS = "curious_about_all"

STOP = ("", "configmaps", "akeso-stop", "get")


def declared(action):
    """What it says that it writes, and what its facts need: group, resource, name, verb."""
    return {(rule["apiGroups"][0], rule["resources"][0], "", verb) for rule in rules(action) for verb in rule["verbs"]}


def parts():
    """Each right of each writer. What is derived, and alike for all, is asked of one of them every day."""
    for name, action in WRITERS.items():
        for part in (STOP, *sorted(declared(action))):
            every_day = part in {STOP, *own(action)} or action is FURTHER
            marks = () if every_day else (pytest.mark.faults,)
            yield pytest.param(action, part, marks=marks, id=f"{name}: {part[3]} {part[1]}")


def own(action):
    """What it says itself that it needs, beside what is derived for each."""
    return {(rule.group, rule.resource, "", verb) for rule in action.rbac for verb in rule.verbs}


KINDS_OF_SCOPE = tuple(kind for kind in get_args(ScopeKind) if kind != "unknown")


def writing(action, kind):
    """An example that writes, of a scope of that kind or else of any."""
    found = [example for example in action.examples if example.writes]
    return next((example for example in found if example.facts["scope"]["kind"] == kind), found[0])


CASES = {
    f"{name}: {kind}: {example.title}": (action, kind, example)
    for name, action in WRITERS.items()
    for kind in action.scopes
    for example in action.examples
    if example.writes and (example.facts["scope"]["kind"] == kind or example is writing(action, kind))
}
REFUSALS = {
    f"{name}: {example.title}": (action, example)
    for name, action in ACTIONS.items()
    for example in action.examples
    if example.refusal
}


def refusals():
    """Each of them; every day one of each action and reason."""
    known = set()
    for title, (action, example) in REFUSALS.items():
        marks = (pytest.mark.faults,) if (action.name, example.refusal) in known else ()
        known.add((action.name, example.refusal))
        yield pytest.param(action, example, marks=marks, id=title)


# Functions whose code never asks the cluster anything.
WITHOUT = ["intake", "router", "guard", "escalate", "deadletter", *map(executor_name, TELLERS)]

# Requests of one run: for facts; then for each write, as often as it is tried, a look and the dry run, and a look, the
# stop and the write. A patch is a look and a patch; before an eviction goes its mark.
FACTS, SENT = 6, {"patch": 2, "copy": 4, "evict": 3, "create": 2, "drain": 12}
EVIDENCE, NOTES, LOOKS = 12, 2, 6
NODES = 5  # what the evidence of three pods costs more than that of one; a world begins with one node


def ceiling(action, plan, tries):
    facts = FACTS + len(further.rights(action.details, action.scopes))
    writes = [write for write in plan.writes if write.verb != "watch"]
    waits = LOOKS * facts * (len(plan.writes) - len(writes))
    return facts + EVIDENCE + NOTES + waits + sum(tries * (3 + 2 * SENT[write.verb]) for write in writes)


@pytest.fixture(scope="module")
def world(kubeconfig, tmp_path_factory):
    folder = tmp_path_factory.mktemp("actions")
    for source in (*HOME.folder.glob("*.py"), ROOT / "tests" / "fixtures" / "action28.py"):
        shutil.copy(source, folder)
    text = (ROOT / "tests" / "fixtures" / "action28.py").read_text()
    text = text.replace('"action28"', f'"{GREEDY}"').replace("rbac = (", 'rbac = (Rule("", "configmaps", ("list",)),')
    (folder / f"{GREEDY}.py").write_text(text)
    text = (ROOT / "tests" / "fixtures" / "action28.py").read_text()
    text = text.replace('"action28"', f'"{CURIOUS}"').replace('scopes = ("Deployment",)', f"scopes = {KINDS_OF_SCOPE}")
    (folder / f"{CURIOUS}.py").write_text(text.replace("    rbac = (", f"    details = {NAMES}\n    rbac = ("))
    with built(kubeconfig, Catalogue(folder), tmp_path_factory.mktemp("kubeconfigs")) as there:
        yield there


@pytest.fixture(autouse=True)
def in_order(world, monkeypatch):
    monkeypatch.setattr(evidence, "SECONDS", 60.0)  # what a busy machine leaves out would be counted, and missed
    yield
    world.end.close()


def first_of_each(cases):
    """The first title of each action; a title begins with the action's name."""
    return {name: title for title in reversed(cases) for name in [title.partition(":")[0]]}


FIRSTS = {title: CASES[title] for title in first_of_each(CASES).values()}


@pytest.fixture(autouse=True)
def one_of_each(request, world):
    """On a real cluster one case of each action, and one refusal: what differs between them is the plan's affair."""
    title = request.node.callspec.id if hasattr(request.node, "callspec") else ""
    title = title.removeprefix("rehearsal-").removeprefix("write-").removesuffix("-rehearsal").removesuffix("-write")
    known = title in CASES or title in REFUSALS
    firsts = {*FIRSTS, *first_of_each(REFUSALS).values()}
    if known and not world.emulated and title not in firsts:
        pytest.skip("one of each action on a real cluster")


class Subjects(dict):
    """One subject for each action and kind, made once and used until something is done to it."""

    def __init__(self, world):
        super().__init__()
        self.world = world

    def __call__(self, action):
        cases = {title: case for title, case in CASES.items() if case[0].name == action.name} or {
            f"{action.name}: {kind}": (action, kind, writing(action, kind)) for kind in action.scopes
        }
        for title, (_, kind, example) in cases.items():
            if title not in self:
                self[title] = mirror(self.world, kind, example.facts, example.params, keep=True)
        return [self[title] for title in cases]

    def spent(self, action):
        for title in [title for title in self if title.startswith(f"{action.name}: ")]:
            del self[title]


class Costs(dict):
    """Requests by case: what a test of the same process has counted already is not counted anew."""

    def __init__(self, world):
        super().__init__()
        self.world = world

    def of(self, action):
        cases = {title: case for title, case in CASES.items() if case[0].name == action.name}
        for title, (_, kind, example) in cases.items():
            if title not in self:
                self[title] = run_of(self.world, action, fresh(self.world, kind, example)).cost()[1]
        if cases:
            return {title: self[title] for title in cases}
        return {kind: Run(self.world, action, fresh(self.world, kind, ANY), Plan()).cost()[1] for kind in action.scopes}


@pytest.fixture(scope="module")
def costs(world):
    return Costs(world)


@pytest.fixture(scope="module")
def subjects(world):
    return Subjects(world)


@pytest.fixture(scope="module")
def seen(world):
    """One live object of each kind that facts can be taken of."""
    return [mirror(world, kind, ANY.facts, {}, keep=True) for kind in KINDS_OF_SCOPE]


def fresh(world, kind, example):
    return mirror(world, kind, example.facts, example.params)


def planned(world, action, subject):
    return action.plan(look(world, subject.scope), action.Params.model_validate(subject.params))


def run_of(world, action, subject):
    plan = planned(world, action, subject)
    assert isinstance(plan, Plan), f"{action.name} would not write to a {subject.scope.kind}: {plan}"
    assert plan.writes
    return Run(world, action, subject, plan)


def piece_of(world, account, part):
    return next(one for one in world.pieces(account) if one[2:] == part)


def needs(world, action, piece, subjects):
    """Whether something is wanting without it: in a rehearsal, in the evidence, or in a whole run and its Event."""
    account = executor_name(action.name)
    those = subjects(action)
    runs = [run_of(world, action, it) for it in those]
    with world.without(account, piece):
        if any(run.rehearse().refused_by_rights for run in runs) or any(blind(world, account, it) for it in those):
            return True
        subjects.spent(action)
        refused = [there_and_back(world, action, it, run) for it, run in zip(those, runs, strict=True)]
        return any(refused) or not all(told(world, it) for it in those)


def there_and_back(world, action, it, run):
    """Whether the whole run is refused, or the undo of it."""
    if run.go().refused_by_rights:
        return True
    back = run.plan.inverse(run.attempt)
    return back is not None and Run(world, action, it, back, mode="undo").go().refused_by_rights


def blind(world, account, subject):
    found = evidence.collect(world.kube(account), subject.scope, look(world, subject.scope))
    return any("is forbidden" in what for what in found.missing)


def told(world, subject):
    """Whether an Event on it says what was done."""
    path = f"/api/v1/namespaces/{subject.scope.namespace or 'default'}/events"
    found = world.api.ok("GET", path, fieldSelector=f"involvedObject.uid={subject.scope.uid}")["items"]
    return any(event["source"].get("component") == "akeso" for event in found)


def left(found):
    """What a person would compare: neither the server's own fields nor our notes; nothing of what is not there."""
    if found is None:
        return None
    meta = {
        key: value
        for key, value in found["metadata"].items()
        if key not in {"resourceVersion", "generation", "managedFields"}
    }
    notes = {
        key: value
        for key, value in (meta.pop("annotations", None) or {}).items()
        if not re.search("akeso.dev/|deployment.kubernetes.io/revision|deprecated.daemonset.template.generation", key)
    }
    return {**found, "metadata": {**meta, "annotations": notes}, "status": None}


def all_left(run, targets):
    return [left(run.kube.get(target.kind, target.namespace, target.name)) for target in targets]


class TestRightsSuffice:
    @pytest.mark.parametrize(("action", "kind", "example"), CASES.values(), ids=CASES)
    def test_from_the_first_look_to_the_write_under_its_name_and_back(self, world, costs, action, kind, example):
        it = fresh(world, kind, example)
        run = run_of(world, action, it)
        targets = [write.target for write in run.plan.writes]
        before = [run.kube.get(target.kind, target.namespace, target.name) for target in targets]

        with world.counted() as requests:
            done, cost = run.cost()
        costs[f"{action.name}: {kind}: {example.title}"] = cost

        how = "look" if run.plan.writes[-1].verb == "watch" else "write"
        assert (done.outcome, done.how) == ("succeeded", how), done.text
        # A real kubelet may write in between; how many they are where it does not, see below.
        assert world.emulated or cost <= ceiling(action, run.plan, TRIES), requests
        assert {request.user_agent for request in requests} == {f"akeso-{executor_name(action.name)}"}
        for target in [write.target for write in run.plan.writes if write.writes and action.kind == "patch"]:
            found = run.kube.get(target.kind, target.namespace, target.name)
            assert f"akeso-{action.name}" in {entry["manager"] for entry in found["metadata"]["managedFields"]}
        back = run.plan.inverse(run.attempt)
        if back is None:
            assert action.kind != "patch" or not run.plan.reversible
            return
        undone = Run(world, action, it, back, mode="undo").go()
        assert (undone.outcome, undone.how) == ("succeeded", "write"), undone.text
        # Controllers follow: what a cordon made of a node's taints goes a moment after it.
        wanted = [left(one) for one in before]
        until(lambda: all_left(run, targets) == wanted, f"not {wanted}")

    @pytest.mark.parametrize(("action", "kind", "example"), FIRSTS.values(), ids=FIRSTS)
    def test_for_shutting_a_late_run_out(self, world, action, kind, example):
        run = run_of(world, action, fresh(world, kind, example))

        shut = run.shut_out()

        # What is not there yet has nothing that a late run's write could be refused by.
        free = run.plan.writes[0].verb == "create"
        assert (shut.outcome, shut.how) == (("unknown", "") if free else ("stopped", "fence")), shut.text

    @pytest.mark.parametrize("dry_run", [True, False], ids=["rehearsal", "write"])
    @pytest.mark.parametrize(("action", "kind", "example"), FIRSTS.values(), ids=FIRSTS)
    def test_also_when_somebody_else_writes_in_between(self, world, action, kind, example, dry_run):
        run = run_of(world, action, fresh(world, kind, example))
        verb = "create" if run.plan.writes[0].verb == "create" else "patch"
        world.gate.fault(verb=verb, dry_run=dry_run, status=409)

        done = run.go()

        assert done.outcome == "succeeded", done.text
        assert world.gate.unmet_faults == 0

    @pytest.mark.parametrize("action", WRITERS.values(), ids=WRITERS)
    def test_without_a_look_at_the_whole_cluster(self, world, subjects, action):
        runs = [run_of(world, action, it) for it in subjects(action)]

        with world.asked() as paths:
            for run in runs:
                run.rehearse()

        assert paths
        assert [path for path in paths if not bounded(path)] == []

    @pytest.mark.parametrize("path", ["/api/v1/pods?limit=500", "/api/v1/nodes", "/apis", "/version", "/openapi/v3"])
    def test_a_look_at_the_whole_cluster_would_be_seen(self, path):
        assert not bounded(path)


# What a detail may look at of the whole cluster: one page.
PAGES = ("/api/v1/nodes?limit=500", "/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses?limit=500")


def bounded(path):
    """Whether a request is about one object, one namespace's objects of a known kind, or one node's pods."""
    plurals = "|".join(kind.plural for kind in KINDS.values() if kind.namespaced)
    name = r"[^/?]+"
    return re.fullmatch(
        rf"/(api/v1|apis/{name}/{name})/(namespaces/{name}/({plurals})(/{name}(/(eviction|log|resize))?)?"
        rf"|(nodes|namespaces|storageclasses)/{name})"
        r"(\?.*)?|/api/v1/pods\?limit=500&fieldSelector=spec\.nodeName%3D[^&]+|" + "|".join(map(re.escape, PAGES)),
        path,
    )


class TestRequests:
    """Counted where nobody else writes in between. Whoever adds one has to say so."""

    @pytest.mark.parametrize("action", ASKING.values(), ids=ASKING)
    def test_of_the_dearest_attempt_are_as_many_as_the_action_declares(self, world, costs, action):
        if not world.emulated:
            pytest.skip("counted on the emulated cluster")
        found = costs.of(action)

        most = max(found.values())
        # How many nodes the other tests have made is how many pods a DaemonSet's evidence reads of.
        assert most <= action.requests <= most + NODES, f"{action.name} must declare requests = {most}: {found}"


class TestRightsAreMinimal:
    @pytest.mark.parametrize("action", WRITERS.values(), ids=WRITERS)
    def test_the_cluster_says_that_they_are_the_declared_ones(self, world, action):
        account = executor_name(action.name)

        assert world.rules(account, world.place) - world.rules("nobody", world.place) == declared(action)
        assert world.rules(account, world.home) - world.rules("nobody", world.home) == declared(action) | {STOP}

    @pytest.mark.parametrize(("action", "part"), list(parts()))
    def test_without_any_one_of_them_a_step_fails(self, world, subjects, action, part):
        if not world.emulated and part not in own(action) and action is not FURTHER:
            pytest.skip("what is derived is asked for by one action on a real cluster")
        piece = piece_of(world, executor_name(action.name), part)

        assert needs(world, action, piece, subjects), f"no step of {action.name} needs {piece}: it has a rule too many"

    def test_one_too_many_would_be_seen(self, world, subjects):
        greedy = world.catalogue.load(GREEDY)
        account = executor_name(GREEDY)

        unneeded = [str(piece) for piece in world.pieces(account) if not needs(world, greedy, piece, subjects)]

        assert unneeded == ["list configmaps"]


class TestRightsOfDetails:
    """Of an action that asks for all of them, of scopes of every kind."""

    def sees_all(self, world, seen):
        kube = world.kube(executor_name(CURIOUS))
        try:
            return all(snapshot.take(kube, one.scope, None, stop_namespace=world.home, details=NAMES) for one in seen)
        except KubeError as error:
            if error.status != 403:
                raise
            return False

    def test_suffice(self, world, seen):
        assert self.sees_all(world, seen)

    def test_are_minimal(self, world, seen):
        account, unneeded = executor_name(CURIOUS), []
        for piece in world.pieces(account):
            with world.without(account, piece):
                if self.sees_all(world, seen):
                    unneeded.append(str(piece))

        # what it writes; what its evidence is read by; and the stop, which nobody who cannot read it overlooks
        scene = {f"{verb} {resource}" for _, resource, verb in evidence.rights(KINDS_OF_SCOPE)}
        assert sorted({*unneeded} - scene) == ["create events", "get configmaps", "patch deployments"]

    def test_no_look_of_theirs_is_without_bounds(self, world, seen):
        with world.asked() as paths:
            assert self.sees_all(world, seen)

        assert set(PAGES) <= set(paths)
        assert [path for path in paths if not bounded(path)] == []


class TestRefusals:
    @pytest.mark.parametrize(("action", "example"), list(refusals()))
    def test_hold_for_what_is_live(self, world, action, example):
        kind = example.facts["scope"]["kind"]
        if why := no_mirror(kind, example.facts):
            pytest.skip(why)

        refused = planned(world, action, fresh(world, kind, example))

        assert isinstance(refused, Refusal)
        assert refused.reason == example.refusal


class TestWhoeverOnlyTells:
    @pytest.mark.parametrize("action", TELLERS.values(), ids=TELLERS)
    def test_asks_the_cluster_nothing(self, world, action):
        it = mirror(world, "PersistentVolumeClaim", action.examples[0].facts, action.examples[0].params)

        run = Run(world, action, it, Plan())
        del run._here.kube  # its function has no token, and no way to the cluster at all

        with world.counted() as requests:
            done = run.go()

        assert done.outcome == "succeeded"
        assert requests == []


class TestFunctionsWithoutBusinessInTheCluster:
    @pytest.mark.parametrize("account", WITHOUT)
    def test_may_do_what_anybody_may_and_no_more(self, world, account):
        for namespace in (world.home, world.place, "default"):
            assert world.rules(account, namespace) == world.rules("nobody", namespace)

    @pytest.mark.parametrize("account", WITHOUT)
    def test_see_nothing(self, world, account):
        kube = world.kube(account)

        for kind, known in KINDS.items():
            with pytest.raises(KubeError, match="is forbidden: User") as caught:
                kube.get(kind, world.place if known.namespaced else "", "any")
            assert caught.value.status == 403


def triage(world, kube, seen):
    return resolve(kube, seen.named) == seen.scope and bool(facts(world, kube, seen, seen.named))


def verifier(world, kube, seen):
    return bool(facts(world, kube, seen, None))  # with all details, because any action may ask for any


def facts(world, kube, seen, named):
    found = snapshot.take(kube, seen.scope, named, stop_namespace=world.home, details=None)
    return found and found.scope == seen.scope and found.stop_mode == "run"


def sweeper(world, kube, seen):
    counts = all(kube.count(kind) >= 0 for kind in COUNTED)
    finds = all(isinstance(kube.list(kind, labels="akeso.dev/temporary=true"), list) for kind in TEMPORARY_KINDS)
    return counts and finds and loads(world, kube)


def loads(world, kube):
    if snapshot.stop_mode(kube, world.home) != "run":
        return False
    put_configmap(kube, world.home, "akeso-stop", {"mode": "run"}, field_manager="akeso-test")
    kube.get("RemediationPolicy", world.home, "akeso")
    return snapshot.read_configmap(kube, world.home, "akeso-policy") is not None


def api(world, kube, seen):
    return triage(world, kube, seen) and loads(world, kube) and people(kube)


def people(kube):
    here = Here("api")
    here.kube, here.secrets, here.settings = kube, Secrets("/nowhere"), Settings(dev=True)
    with pytest.raises(ForbiddenError):
        who.caller(here, "Bearer of-nobody")
    return not who.may(here, who.Caller({"username": "akeso-test-nobody"}), "approve")


def looks(world, kube, seen):
    """What an action does that only looks: facts, and evidence in which nothing is missing for want of a right."""
    taken = snapshot.take(kube, seen.scope, None, stop_namespace=world.home)
    found = evidence.collect(kube, seen.scope, taken)
    return taken.stop_mode == "run" and not any("is forbidden" in what for what in found.missing)


READERS = {"triage": triage, "verifier": verifier, "sweeper": sweeper, "api": api} | {
    executor_name(name): looks for name in LOOKERS
}


def works(world, account, subjects):
    try:
        return all(READERS[account](world, world.kube(account), subject) for subject in subjects)
    except KubeError as error:
        if error.status != 403:
            raise
        return False


class TestReaders:
    @pytest.mark.parametrize("account", READERS)
    def test_may_do_what_they_do(self, world, seen, account):
        assert works(world, account, seen)

    @pytest.mark.parametrize("account", READERS)
    def test_and_nothing_that_they_do_not(self, world, seen, account):
        unneeded = []
        for piece in world.pieces(account):
            with world.without(account, piece):
                if works(world, account, seen):
                    unneeded.append(str(piece))

        assert unneeded == []

    @pytest.mark.parametrize("account", READERS)
    def test_the_cluster_says_that_it_is_what_the_manifests_say(self, world, account):
        given = {one[2:] for one in world.pieces(account)}
        wide = {one[2:] for one in world.pieces(account) if not one.namespace}

        assert world.rules(account, world.home) - world.rules("nobody", world.home) == given
        assert world.rules(account, world.place) - world.rules("nobody", world.place) == wide

    def test_are_all_who_may_do_anything_but_the_executors(self, world):
        accounts = {one["metadata"]["name"] for one in world.objects if one["kind"] == "ServiceAccount"}
        able = {account for account in accounts if world.pieces(account)}

        assert able == {*READERS, *map(executor_name, WRITERS), executor_name(GREEDY), executor_name(CURIOUS)}
        assert accounts - able == set(WITHOUT)


class TestAForbiddenRequest:
    def test_is_answered_in_the_same_words_everywhere(self, world):
        who = f'is forbidden: User "system:serviceaccount:{world.home}:nobody" cannot'
        here = f'in the namespace "{world.place}"'

        def said(path):
            answer = world.api("GET", path, token=world.token("nobody"))
            assert (answer.status, answer.body["reason"]) == (403, "Forbidden")
            return answer.body["message"]

        of_apps = f"/apis/apps/v1/namespaces/{world.place}/deployments"
        apps = 'resource "deployments" in API group "apps"'
        assert said(f"{of_apps}/web") == f'deployments.apps "web" {who} get {apps} {here}'
        assert said(of_apps) == f"deployments.apps {who} list {apps} {here}"
        assert said("/api/v1/nodes/n") == f'nodes "n" {who} get resource "nodes" in API group "" at the cluster scope'
        assert said("/api/v1/nodes") == f'nodes {who} list resource "nodes" in API group "" at the cluster scope'
        core = 'resource "namespaces" in API group ""'
        assert said("/api/v1/namespaces/x") == f'namespaces "x" {who} get {core} in the namespace "x"'
