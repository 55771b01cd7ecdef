"""The table of event types is the only one, its routes lead somewhere, and its schemas are closed."""

import ast
import json
import re
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from pydantic import BaseModel, ValidationError

from shared.alert.model import MAX_ANNOTATION, MAX_LABEL, MAX_NAME, MAX_PAIRS, parse
from shared.event import codec, make, sign
from shared.event.app import MAX_EVENT_BYTES
from shared.event.make import Emit
from shared.event.types import (
    ALWAYS_WARM,
    EXTENSIONS,
    FUNCTIONS,
    PREFIX,
    TYPES,
    AlertData,
    EscalationData,
    OutcomeData,
    ProposedData,
    RefusedData,
    VerdictData,
    full,
    short,
)
from shared.state.due import DUE
from shared.state.transitions import Admitted

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "shared/event/types.py"
SHORT = {short(name) for name in TYPES}
SOURCES = sorted(path for top in ("functions", "shared") for path in (ROOT / top).rglob("*.py") if path != TABLE)
NOBODYS = {"intake", "sweeper", "api", "deadletter"}  # reached by webhook, ping, people and dead letters
# No lists of types, but what a due entry publishes, and how `akeso dev` words what it sees.
OTHER_TABLES = {"shared/state/due.py", "shared/dev/story.py"}
NOUNS = "|".join(sorted({name.partition(".")[0] for name in SHORT}))

every_type = pytest.mark.parametrize("name", sorted(TYPES))


def place(path):
    return path.relative_to(ROOT).as_posix()


def models_of(schema):
    """The schema and every model that it holds."""
    found, todo = set(), [schema]
    while todo:
        kind = todo.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            if kind not in found:
                found.add(kind)
                todo += get_type_hints(kind).values()
        else:
            todo += get_args(kind)
    return found


class TestNames:
    @every_type
    def test_are_short_and_of_one_form(self, name):
        assert re.fullmatch(r"dev\.akeso\.[a-z]+\.[a-z]+\.v1", name)
        assert full(short(name)) == name

    def test_that_do_not_exist_are_an_error(self):
        for name in ("alert.invented", "", "dev.akeso.alert.firing.v1", "alert.firing.v1"):
            with pytest.raises(KeyError):
                full(name)

    @pytest.mark.parametrize("name", EXTENSIONS)
    def test_of_extensions_are_what_every_broker_takes(self, name):
        assert re.fullmatch(r"[a-z0-9]{1,20}", name)
        assert not name.startswith("knative")

    def test_of_functions_and_extensions_stand_once(self):
        assert len(set(FUNCTIONS)) == len(FUNCTIONS) == 10
        assert len(set(EXTENSIONS)) == len(EXTENSIONS)


class TestRoutes:
    @every_type
    def test_lead_to_a_function_that_exists(self, name):
        subscriber = TYPES[name].subscriber
        assert not subscriber or (ROOT / "functions" / subscriber / "main.py").is_file()

    def test_lead_to_every_function_that_only_events_reach(self):
        assert {known.subscriber for known in TYPES.values()} - {""} == set(FUNCTIONS) - NOBODYS

    def test_end_where_the_design_says_so(self):
        silent = {short(name) for name, known in TYPES.items() if not known.subscriber}
        assert silent == {
            "remediation.succeeded", "remediation.progressing", "remediation.skipped", "remediation.ineffective",
            "remediation.denied", "incident.suppressed",
        }  # fmt: skip

    def test_of_what_due_publishes_have_a_subscriber(self):
        for kind, due in DUE.items():
            assert not due.publishes or TYPES[full(due.publishes)].subscriber, kind

    def test_to_warm_functions_are_to_functions(self):
        assert set(FUNCTIONS) > ALWAYS_WARM


def emitted():
    """File, and the type that an `Emit(...)` there names: a word, or the parts of an f-string."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Emit":
                yield place(path), node.args[0]


# What an f-string may become, from the type that its word has.
WORDS = {
    "functions/guard/main.py": ("remediation.", get_args(get_type_hints(Admitted)["decision"]), RefusedData),
    "functions/verifier/main.py": (
        "remediation.", get_args(VerdictData.model_fields["verdict"].annotation), VerdictData,
    ),
    "shared/action/lifecycle.py": (
        "remediation.", get_args(OutcomeData.model_fields["outcome"].annotation), OutcomeData,
    ),
    "functions/intake/main.py": ("alert.", ("firing", "resolved"), AlertData),
}  # fmt: skip
SILENT = {"unused"}  # an attempt that never began: nobody need hear


class TestEmitted:
    def test_words_are_in_the_table(self):
        words = {(file, node.value) for file, node in emitted() if isinstance(node, ast.Constant)}
        assert len(words) > 6
        assert {word for _, word in words} <= SHORT

    def test_words_that_are_put_together_are_in_the_table(self):
        made = {file: node for file, node in emitted() if isinstance(node, ast.JoinedStr)}
        assert made.keys() == WORDS.keys()
        for file, node in made.items():
            prefix, words, schema = WORDS[file]
            assert node.values[0].value == prefix
            assert len(node.values) == 2
            for word in set(words) - SILENT:
                known = TYPES[full(prefix + word)]
                assert known.schema is schema or word == "approved", (file, word)

    def test_nothing_else_names_a_type_where_it_is_emitted(self):
        others = {file for file, node in emitted() if not isinstance(node, ast.Constant | ast.JoinedStr)}
        assert others == {"shared/event/publish.py", "shared/cli/_examples.py"}  # from the tables


class TestOnlyTable:
    def test_no_other_file_lists_types(self):
        assert {place(path): found for path in SOURCES if (found := lists(path.read_text()))}.keys() <= OTHER_TABLES

    def test_no_file_names_a_type_that_does_not_exist(self):
        named = {
            node.value
            for path in SOURCES
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
            and re.fullmatch(rf"({NOUNS})\.[a-z]+", node.value)
        }  # fmt: skip
        assert len(named) > 15
        assert named - SHORT == set()

    def test_no_other_file_spells_a_full_type(self):
        spelt = [place(path) for path in SOURCES if any(name in path.read_text() for name in TYPES)]
        assert spelt == []

    def test_no_manifest_names_a_type(self):
        named = [
            place(path)
            for path in (ROOT / "knative").rglob("*.yaml")
            if re.search("|".join(map(re.escape, SHORT)), path.read_text())
        ]
        assert named == []

    @pytest.mark.parametrize(
        "text", ["A = ['alert.firing', 'alert.resolved', 'incident.closed']",
                 "A = {'alert.firing': 1, 'alert.resolved': 2, 'verification.due': 3}"],
    )  # fmt: skip
    def test_a_list_would_be_seen(self, text):
        assert lists(text)


def lists(text):
    """Literals that hold three or more types."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.List | ast.Tuple | ast.Set | ast.Dict):
            words = {
                one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)
            }
            if len(words & (SHORT | set(TYPES))) >= 3:
                found.append(node.lineno)
    return found


class TestSchemas:
    @every_type
    def test_are_closed_and_frozen_to_their_depth(self, name):
        for model in models_of(TYPES[name].schema):
            assert model.model_config["extra"] == "forbid", model
            assert model.model_config["frozen"], model

    @every_type
    def test_refuse_a_key_that_they_do_not_know(self, name):
        with pytest.raises(ValidationError) as caught:
            TYPES[name].schema.model_validate({"unheard": 1})
        assert ("unheard",) in {error["loc"] for error in caught.value.errors()}

    @every_type
    def test_have_no_field_that_anything_fits(self, name):
        anything = {
            f"{model.__name__}.{field}" for model in models_of(TYPES[name].schema)
            for field, hint in get_type_hints(model).items() if "Any" in str(hint)
        }  # fmt: skip
        # what an action's own schema reads, a part of the cluster's object, and the two values of a write
        assert anything <= {
            "ProposedData.params", "ApprovedData.params", "Wish.params", "Facts.spec", "Write.before", "Write.after",
        }  # fmt: skip

    def test_bound_what_people_and_models_say(self):
        assert _max_length(EscalationData, "reason") == 512
        assert _max_length(ProposedData, "reasoning") == 2000


def _max_length(model, field):
    return model.model_json_schema()["properties"][field]["maxLength"]


class TestSizes:
    @pytest.mark.parametrize("letter", ["x", "ä", "漢", "\U0001f600", '"'])
    def test_the_largest_alert_that_intake_lets_in_is_an_event_that_functions_take(self, letter):
        element = {
            "status": "firing", "startsAt": "2026-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z",
            "labels": {f"{n:02}{letter * MAX_NAME}": letter * MAX_LABEL * 2 for n in range(MAX_PAIRS)},
            "annotations": {f"{n:02}{letter * MAX_NAME}": letter * MAX_ANNOTATION * 2 for n in range(MAX_PAIRS)},
        }  # fmt: skip
        (alert,) = parse(json.dumps({"version": "4", "alerts": [element]}).encode(), limit=1 << 26).alerts
        assert len(alert.labels) == MAX_PAIRS
        made = make.first("intake", Emit("alert.firing", AlertData(alert=alert, ledger="l" * 32)), id="i", tenant="t",
                          cluster="c" )  # fmt: skip
        _, body = codec.encode(sign.sign(made, b"k" * 32))
        assert len(body) < MAX_EVENT_BYTES * 0.9  # facts come with it later

    @every_type
    def test_the_headers_of_an_event_fit_where_headers_must(self, name):
        full_house = codec.Event(
            name, "/akeso/deadletter", "i" * 64, "2026-01-01T00:00:00Z", "s" * 256, {},
            dict.fromkeys(set(EXTENSIONS) - {"hop", "expirytime"}, "v" * 256),
        )  # fmt: skip
        headers, _ = codec.encode(full_house)
        assert sum(len(key) + len(value) + 4 for key, value in headers.items()) < 8000


def test_the_prefix_is_the_products():
    assert PREFIX == "dev.akeso."
