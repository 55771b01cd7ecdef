"""What nobody should ever ask of an action, asked of each: odd parameters, the longest names, and whole crowds.

No action is named: fields come from the parameters' schemas, objects from the examples.
"""

import math
from pathlib import Path

import pytest
from pydantic import ValidationError

from shared.action.catalogue import Catalogue
from shared.errors import MalformedError
from shared.kube import quantity
from shared.model.facts import Facts
from shared.model.plan import Plan, Refusal

ROOT = Path(__file__).parents[2]
FURTHER = Catalogue(ROOT / "tests" / "fixtures").load("action28")
ACTIONS = {action.name: action for action in (*Catalogue.home().all(), FURTHER)}


def branches(schema):
    """What a field may be, nothing at all left out."""
    return [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]


FIELDS = {
    f"{action.name}.{field}": (action, field, branch)
    for action in ACTIONS.values()
    for field, schema in action.Params.model_json_schema().get("properties", {}).items()
    for branch in branches(schema)
}
NUMBERS = {title: case for title, case in FIELDS.items() if case[2].get("type") in {"integer", "number"}}
TEXTS = {title: case for title, case in FIELDS.items() if case[2].get("type") == "string"}
AMOUNTS = {
    title: case for title, case in TEXTS.items() if not {"pattern", "enum"} & set(case[2]) and case[2]["maxLength"] < 64
}
SWITCHES = {title: case for title, case in FIELDS.items() if case[2].get("type") == "boolean"}

number = pytest.mark.parametrize(("action", "field", "schema"), NUMBERS.values(), ids=NUMBERS)
text = pytest.mark.parametrize(("action", "field", "schema"), TEXTS.values(), ids=TEXTS)
switch = pytest.mark.parametrize(("action", "field", "schema"), SWITCHES.values(), ids=SWITCHES)
every_field = pytest.mark.parametrize(("action", "field", "schema"), FIELDS.values(), ids=FIELDS)

NOTHING = [[], {}, [1], {"x": 1}]
NO_NUMBER = [
    "",
    "x",
    "1Gi",
    "0x10",
    "١٢ Gi",
    "NaN",
    math.nan,
    math.inf,
    -math.inf,
    "inf",
    True,
    False,
    10**30,
    -(10**30),
]
NO_SWITCH = ["", "maybe", 2, 0.5, math.nan]
NO_TEXT = [0, 1.5, True, math.nan]
NOTATIONS = [
    "1Gi", "1G", "0.5", "500m", "1e3", "1E3", "1Ki", "+1", ".5", "5.", "0", "-1Gi", "-0", "1 Gi", "1gi", "1GiB", "NaN",
    "inf", "1e999", "", " ", "1e", "0x10", "٣", "9" * 65,
]  # fmt: skip


def wrong(action, field, value):
    """Whether it is refused for the sake of that field; others may be wanting."""
    try:
        action.asked({field: value})
    except ValidationError as error:
        return any(one["loc"][:1] == (field,) for one in error.errors())
    return False


class TestANumber:
    @number
    def test_at_its_bounds_is_taken_and_one_beyond_them_is_not(self, action, field, schema):
        step = 1 if schema["type"] == "integer" else 1e-9
        low, high = schema.get("minimum"), schema.get("maximum")
        assert None not in (low, high)

        assert not wrong(action, field, low)
        assert not wrong(action, field, high)
        assert wrong(action, field, low - step)
        assert wrong(action, field, high + step)

    @pytest.mark.parametrize("value", NO_NUMBER + NOTHING, ids=repr)
    @number
    def test_is_nothing_else(self, action, field, schema, value):  # noqa: ARG002
        assert wrong(action, field, value)


class TestASwitch:
    @pytest.mark.parametrize("value", NO_SWITCH + NOTHING, ids=repr)
    @switch
    def test_is_nothing_else(self, action, field, schema, value):  # noqa: ARG002
        assert wrong(action, field, value)


class TestAText:
    @pytest.mark.parametrize("value", NO_TEXT + NOTHING, ids=repr)
    @text
    def test_is_nothing_else(self, action, field, schema, value):  # noqa: ARG002
        assert wrong(action, field, value)

    @text
    def test_is_no_longer_than_it_may_be(self, action, field, schema):
        if "enum" in schema:
            assert wrong(action, field, "x" * 64)
            return
        assert wrong(action, field, "1" * (schema["maxLength"] + 1))
        assert "pattern" not in schema or not wrong(action, field, "a" * schema["maxLength"])

    @pytest.mark.parametrize("value", NOTATIONS)
    @pytest.mark.parametrize(("action", "field", "schema"), AMOUNTS.values(), ids=AMOUNTS)
    def test_that_is_an_amount_is_one_in_every_notation(self, action, field, schema, value):  # noqa: ARG002
        try:
            quantity.parse(value)
        except MalformedError:
            with pytest.raises(ValidationError):
                action.asked({**action.examples[0].params, field: value})
        else:
            assert action.asked({**action.examples[0].params, field: value})


class TestAField:
    @every_field
    def test_that_nobody_knows_is_refused(self, action, field, schema):  # noqa: ARG002
        assert wrong(action, f"{field}s", 1)
        assert wrong(action, field.upper(), 1)


LONGEST, NAMESPACE = ".".join(["n" * 63] * 4)[:253], "s" * 63
WRITING = {
    f"{action.name}: {example.title}": (action, example)
    for action in ACTIONS.values()
    for example in action.examples
    if action.writes
}


def renamed(value, names):
    if isinstance(value, dict):
        return {key: renamed(item, names) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [renamed(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


def named(value):
    """What Kubernetes calls its objects; containers are none, and their names shorter."""
    for key, item in value.items() if isinstance(value, dict) else ():
        if key == "name":
            yield item
        elif key != "containers" or isinstance(item, dict):
            yield from named(item)
    for item in value if isinstance(value, list | tuple) else ():
        yield from named(item)


def long(example):
    """The same example of objects whose names are as long as they may be, each another one's."""
    facts = example.facts
    names = {name: f"{number:03}{LONGEST[3:]}" for number, name in enumerate(dict.fromkeys(named(facts)))}
    names |= {facts["scope"]["namespace"]: NAMESPACE} if facts["scope"].get("namespace") else {}
    return renamed(facts, names), renamed(example.params, names)


class TestTheLongestNames:
    @pytest.mark.parametrize(("action", "example"), WRITING.values(), ids=WRITING)
    def test_change_neither_plan_nor_refusal(self, action, example):
        facts, params = long(example)

        result = action.plan(Facts.model_validate(facts), action.asked(params))

        if example.refusal:
            assert isinstance(result, Refusal)
            assert result.reason == example.refusal
            return
        assert isinstance(result, Plan)
        assert len(result.writes) == example.writes
        for write in result.writes:
            assert len(write.target.name) <= 253
            after = write.after if isinstance(write.after, dict) else {}
            meta = after.get("metadata") or {}
            assert all(len(value) <= 63 for value in (meta.get("labels") or {}).values())
