import pytest

from shared.dev.broker_filters import compile_filters, passes
from shared.errors import MalformedError

EVENT = {"specversion": "1.0", "id": "1", "source": "/akeso/guard", "type": "dev.akeso.x.v1", "action": "scale"}


def taken(*filters, legacy=None):
    return passes(compile_filters(filters, legacy), EVENT)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], True),
        ([{"exact": {"type": "dev.akeso.x.v1"}}], True),
        ([{"exact": {"type": "dev.akeso.x"}}], False),
        ([{"exact": {"type": "dev.akeso.x.v1", "action": "scale"}}], True),
        ([{"exact": {"type": "dev.akeso.x.v1", "action": "other"}}], False),
        ([{"prefix": {"type": "dev.akeso."}}], True),
        ([{"prefix": {"type": "akeso."}}], False),
        ([{"suffix": {"source": "/guard"}}], True),
        ([{"suffix": {"source": "/akeso"}}], False),
        ([{"exact": {"type": "dev.akeso.x.v1"}}, {"exact": {"action": "other"}}], False),
        ([{"all": [{"prefix": {"type": "dev"}}, {"suffix": {"type": "v1"}}]}], True),
        ([{"all": [{"prefix": {"type": "dev"}}, {"suffix": {"type": "v2"}}]}], False),
        ([{"any": [{"exact": {"type": "a"}}, {"exact": {"action": "scale"}}]}], True),
        ([{"any": [{"exact": {"type": "a"}}, {"exact": {"action": "b"}}]}], False),
        ([{"not": {"exact": {"action": "scale"}}}], False),
        ([{"not": {"any": [{"exact": {"action": "a"}}, {"exact": {"action": "b"}}]}}], True),
    ],
)
def test_dialects(filters, expected):
    assert taken(*filters) is expected


@pytest.mark.parametrize(
    "item",
    [{"exact": {"type": ""}}, {"exact": {}}, {"prefix": {"type": ""}}, {"exact": {"type": "other", "action": ""}}],
)
def test_an_item_with_an_empty_value_is_no_condition(item):
    assert taken(item)
    assert taken({"not": item})
    assert taken({"any": [item]})
    assert not taken(item, {"exact": {"type": "other"}})
    assert not taken({"any": [item, {"exact": {"type": "other"}}]})


def test_a_missing_attribute_matches_nothing_but_its_negation():
    assert not taken({"exact": {"myext": "b"}})
    assert not taken({"prefix": {"myext": "b"}})
    assert taken({"not": {"exact": {"myext": "b"}}})


def test_the_legacy_filter_is_used_only_without_filters():
    legacy = {"attributes": {"type": "other"}}
    assert not taken(legacy=legacy)
    assert taken({"exact": {"type": "dev.akeso.x.v1"}}, legacy=legacy)
    assert taken(legacy={"attributes": {"type": "", "subject": ""}})
    assert not taken(legacy={"attributes": {"myext": ""}})


@pytest.mark.parametrize(
    "item",
    [
        {"exact": {"type": "a"}, "prefix": {"type": "a"}},
        {"cesql": "type = 'a'"},
        {"like": {"type": "a"}},
        {"exact": {"my_ext": "a"}},
        {"exact": {"Type": "a"}},
        {"exact": {"hop": 1}},
        {"all": {"exact": {"type": "a"}}},
        {"not": [{"exact": {"type": "a"}}]},
        {},
        "type",
    ],
)
def test_what_the_webhook_refuses_is_refused(item):
    with pytest.raises(MalformedError):
        compile_filters([item])
