import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

import shared.state
from shared.telemetry.metrics import FAMILIES, SECONDS, exposition


def samples(fields: dict[str, str]) -> dict[tuple[str, tuple], float]:
    found = {}
    for family in text_string_to_metric_families(exposition(fields).decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, "Prometheus refuses a page that has a series twice"
            found[key] = sample.value
    return found


def skipped(fields: dict[str, str]) -> float:
    return samples(fields)[("akeso_metrics_skipped", ())]


class TestCounters:
    def test_are_shown_with_their_labels_and_help(self):
        page = exposition({"verdicts_total|action=restart_pod|verdict=verified": "3"}).decode()

        assert "# HELP akeso_verdicts_total Verdicts after the soak, by action and verdict\n" in page
        assert "# TYPE akeso_verdicts_total counter\n" in page
        assert 'akeso_verdicts_total{action="restart_pod",verdict="verified"} 3.0\n' in page

    def test_without_labels_are_shown_bare(self):
        assert samples({"writes": "7"})[("akeso_writes_total", ())] == 7

    def test_kept_both_ways_are_not_shown_twice(self):
        found = samples(
            {"attempts": "5", "attempts_total|action=a|mode=do": "3", "attempts_total|action=a|mode=undo": "2"}
        )

        assert sum(value for (name, _), value in found.items() if name == "akeso_attempts_total") == 5

    def test_two_spellings_of_one_series_are_added_up(self):
        found = samples({"holds|answer=yes": "1", "akeso_holds_total|answer=yes": "2"})

        assert found[("akeso_holds_total", (("answer", "yes"),))] == 3

    def test_values_of_labels_may_hold_anything_but_a_bar(self):
        found = samples({'stuck|at=a="b"\\ü=': "1"})

        assert found[("akeso_stuck_total", (("at", 'a="b"\\ü='),))] == 1


class TestGauges:
    def test_may_be_negative(self):
        assert samples({"incidents_open": "-1"})[("akeso_incidents_open", ())] == -1


HISTOGRAM = {
    "attempt_seconds_bucket|action=a|le=0.5": "2",
    "attempt_seconds_bucket|action=a|le=60": "3",
    "attempt_seconds_bucket|action=a|le=+Inf": "1",
    "attempt_seconds_sum|action=a": "61500",
    "attempt_seconds_bucket|action=b|le=1": "4",
}


class TestHistograms:
    def test_are_made_cumulative_over_all_fixed_bounds(self):
        found = samples(HISTOGRAM)
        buckets = {
            dict(labels)["le"]: value
            for (name, labels), value in found.items()
            if name == "akeso_attempt_seconds_bucket" and ("action", "a") in labels
        }

        assert buckets == {
            "0.1": 0, "0.5": 2, "1": 2, "5": 2, "15": 2, "60": 5, "300": 5, "900": 5, "3600": 5, "+Inf": 6,
        }  # fmt: skip

    def test_have_count_and_sum_in_seconds_per_set_of_labels(self):
        found = samples(HISTOGRAM)

        assert found[("akeso_attempt_seconds_count", (("action", "a"),))] == 6
        assert found[("akeso_attempt_seconds_sum", (("action", "a"),))] == 61.5
        assert found[("akeso_attempt_seconds_count", (("action", "b"),))] == 4

    def test_bounds_are_promised(self):
        assert SECONDS == ("0.1", "0.5", "1", "5", "15", "60", "300", "900", "3600")

    @pytest.mark.parametrize(
        "field",
        [
            "attempt_seconds",
            "attempt_seconds_bucket",
            "attempt_seconds_bucket|le=2",
            "attempt_seconds_total|le=1",
            "attempt_seconds_sum|le=1",
        ],
    )
    def test_a_field_of_another_form_is_skipped(self, field):
        assert skipped({field: "1"}) == 1


class TestFieldsThatCannotBeRead:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("nobody_knows", "1"), ("", "1"), ("|", "1"), ("writes|", "1"), ("writes|a", "1"), ("writes|=x", "1"),
            ("writes|1a=x", "1"), ("writes|__a=x", "1"), ("writes|a=1|a=2", "1"), ("writes|a=\n", "1"),
            ("writes|a=\ud800", "1"), ("writes", ""), ("writes", "1.5"), ("writes", "-1"), ("writes", "x"),
            ("writes", "٣"), ("writes", "9" * 50), ("writes", " 1"), ("writes_sum", "1"), ("writes_bucket|le=1", "1"),
            ("incidents_open_total", "1"), ("writes_total_total", "1"), ("metrics_skipped", "9"),
        ],
    )  # fmt: skip
    def test_are_skipped_and_counted_beside_the_good_ones(self, field, value):
        found = samples({field: value, "runs": "2"})

        assert found == {("akeso_runs_total", ()): 2, ("akeso_metrics_skipped", ()): 1}

    def test_nothing_at_all_is_a_page(self):
        assert samples({}) == {("akeso_metrics_skipped", ()): 0}

    @given(
        st.dictionaries(
            st.text() | st.sampled_from([f"{n}|a=b" for n in FAMILIES]), st.text() | st.just("1"), max_size=5
        )
    )
    def test_noise_is_a_page(self, fields):
        assert skipped(fields) >= 0


def test_every_counter_that_is_moved_anywhere_has_a_help_text():
    root = Path(shared.state.__file__).parents[2]
    lua = "".join(file.read_text() for file in (root / "shared/state/lua").glob("*.lua"))
    python = "".join(file.read_text() for folder in ("shared", "functions") for file in (root / folder).rglob("*.py"))
    counted = {*re.findall(r"\bcount\('([a-z_]+)", lua), *re.findall(r"\bcount=f?\"([a-z_]+)", python)}

    assert {"alerts_received", "dead_letters"} <= counted
    assert {name for name in counted if name.removesuffix("_total") not in FAMILIES} == set()


def test_importing_it_brings_no_client():
    code = "import sys, shared.telemetry.metrics; print('prometheus_client' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
