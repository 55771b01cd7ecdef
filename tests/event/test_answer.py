import importlib
import json
import pkgutil

import pytest

import shared
from shared import errors
from shared.errors import AkesoError
from shared.event.answer import MAX_ERROR_BYTES, STATUS, refusal

SILENT = {"error": "internal"}


def every_error():
    """AkesoError and all that descends from it anywhere in the product."""
    for module in pkgutil.walk_packages(shared.__path__, "shared."):
        if not module.name.startswith(("shared.cli", "shared.dev")):
            importlib.import_module(module.name)
    found, todo = {AkesoError}, [AkesoError]
    while todo:
        todo += [kind for kind in todo.pop().__subclasses__() if kind not in found and not found.add(kind)]
    return sorted((kind for kind in found if kind.__module__.startswith("shared.")), key=lambda kind: kind.__name__)


EXPECTED = {
    errors.MalformedError: 400, errors.ForbiddenError: 403, errors.BusyError: 409, errors.TooLargeError: 413,
    errors.UnavailableError: 503, errors.EpochError: 503, errors.AkesoError: 503,
}  # fmt: skip


class TestExpectedErrors:
    @pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
    def test_each_has_a_status_and_its_reason(self, kind):
        status, headers, body = refusal(kind("the text for the log"))
        assert status in STATUS.values()
        assert status >= 400
        assert json.loads(body) == {"error": kind.reason}
        assert headers == {"content-type": "application/json"}
        assert b"the text" not in body

    @pytest.mark.parametrize(("kind", "status"), EXPECTED.items(), ids=lambda value: getattr(value, "__name__", value))
    def test_stand_in_the_table(self, kind, status):
        assert refusal(kind())[0] == status

    def test_are_all_tried(self):
        assert set(EXPECTED) <= set(every_error())
        assert set(STATUS) == set(EXPECTED) - {errors.EpochError}

    def test_a_given_reason_wins(self):
        assert json.loads(refusal(errors.MalformedError("text", reason="schema"))[2]) == {"error": "schema"}

    @pytest.mark.parametrize("reason", ["x" * 10_000, "ä" * 10_000, "\U0001f600" * 10_000, '"' * 10_000, "\x00" * 100])
    def test_no_reason_makes_a_long_body(self, reason):
        body = refusal(errors.MalformedError(reason=reason))[2]
        assert len(body) <= MAX_ERROR_BYTES == 512
        assert len(json.loads(body)["error"]) == min(len(reason), 64)

    def test_no_status_is_one_that_brokers_follow_or_take_for_an_answer(self):
        assert all(400 <= status < 600 for status in STATUS.values())


class TestUnforeseen:
    @pytest.mark.parametrize("error", [ValueError("secret"), KeyError("secret"), RecursionError(), OSError("secret")])
    def test_is_a_500_that_says_nothing(self, error):
        status, _, body = refusal(error)
        assert (status, json.loads(body)) == (500, SILENT)
