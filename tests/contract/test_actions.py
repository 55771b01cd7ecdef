"""What every action of the catalogue promises: one test per rule, run for each file in the folder.

A further action is held to all of it without being named here; the fixture of one more stands for it.
"""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.action.catalogue import Catalogue
from shared.action.page import page
from shared.action.rbac import rules
from shared.decide.rules import TELL_ONLY
from shared.kube.kinds import KINDS
from shared.model.base import Model, canonical
from shared.model.facts import Facts
from shared.model.plan import Plan, Refusal

ROOT = Path(__file__).parents[2]
HOME = Catalogue.home()
FURTHER = Catalogue(ROOT / "tests" / "fixtures").load("action28")
ACTIONS = {action.name: action for action in (*HOME.all(), FURTHER)}
CASES = {
    f"{name}: {example.title}": (action, example) for name, action in ACTIONS.items() for example in action.examples
}

every_action = pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
every_example = pytest.mark.parametrize(("action", "example"), CASES.values(), ids=CASES)

# The only ways in which the machine writes; what it creates it may delete again.
CREATED = {"pods/eviction", "jobs", "networkpolicies", "volumesnapshots"}
WRITES = {"patch": None, "create": CREATED, "delete": CREATED - {"pods/eviction"}}
VERBS = {
    "patch": {"patch", "copy", "watch"}, "evict": {"patch", "evict", "watch"}, "drain": {"patch", "drain"},
    "create": {"create", "patch", "watch"},
}  # fmt: skip
READS = {"get", "list"}
WALLED = re.compile(r"secrets|roles|rolebindings|clusterroles|clusterrolebindings|serviceaccounts|tokenreviews|.*/exec")


def planned(action, example, **changes):
    facts = Facts.model_validate(example.facts | changes)
    return action.plan(facts, action.Params.model_validate(example.params))


class TestDeclaration:
    @every_action
    def test_the_name_is_the_files(self, action):
        assert Path(sys.modules[type(action).__module__].__file__).stem == action.name

    @every_action
    def test_the_summary_is_one_sentence(self, action):
        assert re.fullmatch(r"[A-Z][^.\n]{10,118}\.", action.summary)

    @every_action
    def test_words_are_of_their_sets(self, action):
        assert action.risk in {"none", "low", "medium", "high"}
        assert action.kind in {*VERBS, "read", "none"}
        assert action.proof in {"api", "controller", "real workload"}
        assert action.scopes

    @every_action
    def test_the_cooldown_outlasts_the_soak_by_a_tick(self, action):
        assert action.cooldown_s >= action.soak_s + 60

    @every_action
    def test_a_step_ends_before_serving_cuts_it(self, action):
        assert 0 < action.step_s < 30


class TestParams:
    @every_action
    def test_are_closed_and_frozen(self, action):
        assert issubclass(action.Params, Model)
        schema = action.Params.model_json_schema()
        assert schema.get("additionalProperties") is False
        assert "$defs" not in schema

    @every_action
    def test_every_field_is_bounded(self, action):
        for name, field in action.Params.model_json_schema().get("properties", {}).items():
            assert _bounded(field), f"{name} has no bounds: {field}"

    @pytest.mark.parametrize(
        "field",
        [
            {"type": "integer", "minimum": 1},
            {"type": "number", "maximum": 1},
            {"type": "string"},
            {"type": "array", "items": {"type": "boolean"}},
            {"type": "array", "maxItems": 3, "items": {"type": "string"}},
            {"anyOf": [{"type": "null"}, {"type": "string"}]},
            {"type": "object"},
            {},
        ],
    )
    def test_a_field_without_bounds_would_be_seen(self, field):
        assert not _bounded(field)


def _bounded(field):
    if "anyOf" in field:
        return all(_bounded(branch) for branch in field["anyOf"])
    if "enum" in field or "const" in field:
        return True
    low, high = {"minimum", "exclusiveMinimum"} & field.keys(), {"maximum", "exclusiveMaximum"} & field.keys()
    return {
        "integer": bool(low and high),
        "number": bool(low and high),
        "string": "maxLength" in field,
        "boolean": True,
        "null": True,
        "array": "maxItems" in field and _bounded(field.get("items", {})),
    }.get(field.get("type", ""), False)


class TestExamples:
    @every_action
    def test_show_a_plan_and_for_what_writes_a_refusal(self, action):
        assert any(not example.refusal for example in action.examples)
        if action.writes:
            assert any(example.writes for example in action.examples)
            assert any(example.refusal for example in action.examples)

    @every_example
    def test_end_as_declared(self, action, example):
        result = planned(action, example)
        if example.refusal:
            assert isinstance(result, Refusal)
            assert result.reason == example.refusal
            assert 10 <= len(result.text) <= 300
        else:
            assert isinstance(result, Plan)
            assert len(result.writes) == example.writes


class TestPlan:
    @every_example
    def test_is_deterministic_and_leaves_its_facts_alone(self, action, example):
        facts = Facts.model_validate(example.facts)
        params = action.Params.model_validate(example.params)
        before = facts.model_dump_json()
        assert action.plan(facts, params) == action.plan(Facts.model_validate(example.facts), params)
        assert facts.model_dump_json() == before

    @every_example
    def test_has_a_hash_that_ignores_versions_status_and_time(self, action, example):
        plain = planned(action, example)
        other = planned(
            action,
            example,
            taken_at=999_999,
            last_changed_by="kubectl",
            last_changed_at=5,
            spec=example.facts.get("spec", {}) | {"resourceVersion": "77", "status": {"phase": "X"}},
        )
        if isinstance(plain, Plan):
            assert other.hash == plain.hash
            text = canonical(plain.model_dump(mode="json")).decode()
            assert "resourceVersion" not in text
            assert "status" not in text

    @every_example
    def test_writes_only_to_known_objects_and_by_its_kind(self, action, example):
        result = planned(action, example)
        writes = result.writes if isinstance(result, Plan) else ()
        assert not writes or action.kind in {"patch" if write.verb == "copy" else write.verb for write in writes}
        for write in writes:
            assert write.verb in VERBS[action.kind]
            assert write.target.kind in KINDS
            assert write.target.uid or write.verb == "create"
            assert write.before != write.after or write.verb in {"evict", "watch"}
            assert write.path.startswith("/") if write.verb in {"patch", "copy"} else not write.path
            assert write.verb != "watch" or 0 < write.patience_s < action.run_s

    @every_example
    def test_tells_how_much_it_disturbs(self, action, example):
        result = planned(action, example)
        if isinstance(result, Plan) and result.writes:
            assert result.touches.unit != "none"
            assert result.touches.count >= 0

    @every_example
    def test_takes_no_pod_away_where_a_quota_lets_none_be_made_anew(self, action, example):
        result = planned(action, example)
        if isinstance(result, Refusal) or result.touches.unit != "pod" or not result.touches.count:
            return
        fewer = all(isinstance(write.after, int) and write.after < write.before for write in result.writes)
        details = {**example.facts.get("details", {}), "quota": {"pods": -1}}
        shut = planned(action, example, details=details)
        # What has no owner is not made anew in any case, and of fewer none is.
        assert example.facts["scope"]["kind"] == "Pod" or fewer or shut.reason == "quota"

    @every_example
    def test_of_a_patch_can_be_taken_back_and_forth(self, action, example):
        result = planned(action, example)
        if isinstance(result, Refusal) or not result.writes:
            return
        back = result.inverse("grant-1")
        made = [write for write in result.writes if write.verb in {"patch", "copy", "create"}]
        assert (back is None) == (not made or not result.reversible)
        if back is not None and {write.verb for write in result.writes} <= {"patch", "copy"}:
            assert back.hash != result.hash
            assert back.inverse().writes == result.writes

    @every_action
    def test_of_what_does_not_write_is_empty(self, action):
        for example in action.examples:
            if not action.writes and not example.refusal:
                assert planned(action, example) == Plan()

    @every_action
    def test_health_is_judged_for_every_example(self, action):
        for example in action.examples:
            assert action.healthy(Facts.model_validate(example.facts)) in {True, False}

    @every_action
    @settings(max_examples=60, deadline=None)
    @given(data=st.data())
    def test_any_parameters_make_a_plan_a_refusal_or_a_validation_error(self, action, data):
        example = data.draw(st.sampled_from(action.examples))
        raw = data.draw(
            _params(action.Params.model_json_schema()) | st.dictionaries(st.text(max_size=3), _junk(), max_size=2)
        )
        facts = Facts.model_validate(example.facts | data.draw(_FACTS))
        try:
            params = action.Params.model_validate(raw)
        except ValidationError:
            return
        result = action.plan(facts, params)
        assert isinstance(result, Plan | Refusal)
        assert action.plan(facts, params) == result
        assert action.healthy(facts) in {True, False}


def _junk():
    return (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=6)
        | st.lists(st.integers(), max_size=2)
    )


def _params(schema):
    """Mostly what the schema allows, now and then just outside of it."""
    fields = {name: _field(field) | _junk() for name, field in schema.get("properties", {}).items()}
    return st.fixed_dictionaries({}, optional=fields)


def _field(field):
    kind = field.get("type")
    if kind in {"integer", "number"}:
        low = field.get("minimum", field.get("exclusiveMinimum", 0))
        high = field.get("maximum", field.get("exclusiveMaximum", low))
        return st.integers(int(low) - 1, int(high) + 1)
    if kind == "string":
        shaped = st.from_regex(field["pattern"], fullmatch=True) if "pattern" in field else st.text(max_size=20)
        return shaped | st.text(min_size=field.get("maxLength", 0), max_size=field.get("maxLength", 0) + 1)
    return st.booleans() if kind == "boolean" else _junk()


_FACTS = st.fixed_dictionaries(
    {},
    optional={
        "replicas": st.none() | st.fixed_dictionaries({"desired": st.integers(0, 200), "ready": st.integers(0, 200)}),
        "pods": st.just([]),
        "pod_count": st.integers(0, 500),
        "autoscaler": st.sampled_from(["", "hpa"]),
        "disruption_allowed": st.none() | st.integers(0, 3),
        "gitops_owner": st.sampled_from(["", "argocd"]),
        "paused": st.booleans(),
        "rolling_out": st.booleans(),
        "spec": st.dictionaries(st.sampled_from(["replicas", "minimum_replicas", "x"]), _junk(), max_size=2),
        "scope": st.fixed_dictionaries(
            {
                "kind": st.sampled_from(["Deployment", "DaemonSet", "Job", "Pod", "Node", "unknown"]),
                "name": st.just("x"),
            },
            optional={"uid": st.just("u"), "namespace": st.just("shop")},
        ),
    },
)


class TestRights:
    @every_action
    def test_are_exact(self, action):
        for rule in action.rbac:
            assert "*" not in (rule.group, rule.resource, *rule.verbs)
            assert not WALLED.fullmatch(rule.resource)
            for verb in rule.verbs:
                assert verb in READS | WRITES.keys(), f"{verb} {rule.resource}"
                allowed = WRITES.get(verb)
                assert verb in READS or allowed is None or rule.resource in allowed, f"{verb} {rule.resource}"

    @every_action
    def test_no_resource_stands_twice(self, action):
        resources = [(rule.group, rule.resource) for rule in action.rbac]
        assert len(resources) == len(set(resources))

    @every_action
    def test_are_what_the_plans_of_the_examples_need(self, action):
        verbs = {(rule.resource, verb) for rule in action.rbac for verb in rule.verbs}
        for example in action.examples:
            result = planned(action, example)
            for write in result.writes if isinstance(result, Plan) else ():
                plural = KINDS[write.target.kind].plural
                needed = {
                    "patch": {(plural, "patch")}, "copy": {(plural, "patch")}, "create": {(plural, "create")},
                    "evict": {(plural, "patch"), ("pods/eviction", "create")}, "watch": set(),
                    "drain": {("pods", "patch"), ("pods/eviction", "create")},
                }[write.verb]  # fmt: skip
                assert needed <= verbs
                assert not write.sub or (f"{plural}/{write.sub}", "patch") in verbs

    @every_action
    def test_of_what_does_not_write_are_to_read(self, action):
        if not action.writes:
            assert not {verb for rule in action.rbac for verb in rule.verbs} & WRITES.keys()


class TestPage:
    @every_action
    def test_tells_all_of_its_parameters_rights_and_examples(self, action):
        text = page(action)

        assert text.startswith(f"# {action.name}\n")
        for name in action.Params.model_json_schema().get("properties", {}):
            assert f"| {name} |" in text
        for example in action.examples:
            assert f"| {example.title} |" in text
            assert not example.refusal or f"| {example.refusal} |" in text
        for rule in rules(action):
            assert f"| {rule['resources'][0]} |" in text

    @every_action
    def test_says_real_workload_only_with_the_test_that_shows_it(self, action):
        assert (action.proof == "real workload") == bool(action.proved_by)
        assert action.proof == "real workload" or action.unproved
        if action.proved_by:
            file, *names = action.proved_by.split("::")
            assert names
            tree = ast.parse((ROOT / file).read_text())
            for name in names:
                found = [node for node in ast.walk(tree) if getattr(node, "name", "") == name.partition("[")[0]]
                assert found, f"{action.proved_by}: there is no {name}"
            assert action.proved_by in page(action)


class TestIsolation:
    @every_action
    def test_importing_one_action_imports_no_client_and_no_other_action(self, action):
        folder = Path(sys.modules[type(action).__module__].__file__).parent
        code = (
            "import sys, json; from pathlib import Path; from shared.action.catalogue import Catalogue;"
            f"Catalogue(Path({str(folder)!r})).load({action.name!r});"
            "print(json.dumps(sorted(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        modules = json.loads(done.stdout)
        heavy = {"kubernetes", "redis", "flask", "httpx", "yaml", "cloudevents", "functions_framework"}
        assert not heavy & {name.partition(".")[0] for name in modules}
        assert [name for name in modules if name.startswith("akeso_action_")] == [f"akeso_action_{action.name}"]

    def test_no_other_file_names_an_action(self):
        named = {}
        for path in sorted(p for top in ("shared", "functions") for p in (ROOT / top).rglob("*") if p.is_file()):
            place = path.relative_to(ROOT).as_posix()
            if path.suffix not in {".py", ".lua", ".yaml", ".json", ".j2"} or _may_name_actions(place):
                continue
            for name in _words(path) & set(HOME.names()):
                allowed = place == f"functions/actions/{name}.py" or (name, place) == (
                    TELL_ONLY,
                    "shared/decide/rules.py",
                )
                if not allowed:
                    named.setdefault(place, set()).add(name)
        assert named == {}

    def test_the_word_for_telling_stands_in_one_place_once(self):
        tree = ast.parse((ROOT / "shared/decide/rules.py").read_text())
        found = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and n.value == TELL_ONLY]
        assert len(found) == 1
        assert TELL_ONLY in HOME.names()

    @pytest.mark.parametrize(
        "text", ["X = 'scale_deployment'", "def f(scale_deployment): ...", "import a.scale_deployment"]
    )
    def test_a_name_in_code_would_be_seen(self, tmp_path, text):
        (tmp_path / "x.py").write_text(f'"""Prose may say restart_pod."""\n{text}  # and notify_only\n')
        assert _words(tmp_path / "x.py") & set(HOME.names()) == {"scale_deployment"}


def _may_name_actions(place):
    return place.startswith(("shared/decide/runbooks/", "shared/decide/prompts/"))


def _words(path):
    """The words that have an effect: of a Python file its identifiers and strings, but not its prose."""
    text = path.read_text()
    if path.suffix != ".py":
        return set(re.findall(r"\w+", text))
    tree = ast.parse(text)
    prose = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    words = set()
    for node in ast.walk(tree):
        if id(node) in prose:
            continue
        for _, value in ast.iter_fields(node):
            if isinstance(value, str):
                words |= set(re.findall(r"\w+", value))
    return words
