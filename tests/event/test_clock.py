import json
import random
import threading

import pytest

from shared import clock


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("AKESO_CLOCK_FILE", str(tmp_path / "clock.json"))
    return tmp_path / "clock.json"


class TestTimes:
    def test_come_back_to_the_millisecond(self):
        chosen = random.Random(1)
        for ms in (0, 1, -1, 999, *(chosen.randrange(-62_000_000_000_000, 250_000_000_000_000) for _ in range(20_000))):
            assert clock.parse_ms(clock.iso_ms(ms)) == ms

    @pytest.mark.parametrize(
        ("text", "ms"),
        [
            ("1970-01-01T00:00:00Z", 0), ("1970-01-01T00:00:00.001Z", 1), ("1970-01-01T00:00:00.0019999Z", 1),
            ("1970-01-01T01:00:00+01:00", 0), ("1970-01-01T00:00:00", 0), ("1969-12-31T23:59:59.999Z", -1),
            ("0001-01-01T00:00:00Z", -62_135_596_800_000), ("1970-01-01T00:00:00.000000001Z", 0),
        ],
    )  # fmt: skip
    def test_are_read_as_everybody_writes_them(self, text, ms):
        assert clock.parse_ms(text) == ms

    @pytest.mark.parametrize("text", ["", "now", "2026-02-30T00:00:00Z", "0", "2026-01-01T25:00:00Z", "ä"])
    def test_that_are_none_are_a_value_error(self, text):
        with pytest.raises(ValueError):
            clock.parse_ms(text)

    def test_in_headers_have_whole_seconds(self):
        assert clock.iso(1_500) == "1970-01-01T00:00:01Z"


class TestSimulation:
    def test_is_off_without_its_variable_or_its_file(self, file, monkeypatch):
        assert clock.simulated_ms() is None
        monkeypatch.delenv("AKESO_CLOCK_FILE")
        clock.simulate(file, advance_ms=10_000_000)
        assert clock.simulated_ms() is None
        assert abs(clock.now_ms() - clock._real_ms()) < 5_000_000

    def test_goes_on_from_now(self, file):
        clock.simulate(file, advance_ms=7_200_000)
        ahead = clock.now_ms() - clock._real_ms()
        assert 7_100_000 < ahead < 7_300_000
        clock.simulate(file, advance_ms=3_600_000)
        assert 10_700_000 < clock.now_ms() - clock._real_ms() < 10_900_000

    def test_keeps_its_speed_when_it_jumps(self, file):
        clock.simulate(file, speed=60)
        clock.simulate(file, advance_ms=1)
        assert json.loads(file.read_text())["speed"] == 60

    def test_never_goes_back_when_its_speed_changes(self, file):
        clock.simulate(file, speed=1000)
        before = clock.now_ms()
        clock.simulate(file, speed=1)
        assert clock.now_ms() >= before

    def test_makes_a_wait_short(self, file):
        clock.simulate(file, speed=100_000)
        clock.sleep(3600)  # the test's own time-out is the assertion

    def test_is_never_read_half_written(self, file):
        clock.stand_still(file, 0)
        over = threading.Event()

        def write():
            while not over.is_set():
                clock.stand_still(file, 10**12)
                clock.stand_still(file, 7)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            assert {clock.now_ms() for _ in range(5_000)} <= {0, 7, 10**12}
        finally:
            over.set()
            writer.join()
