"""`python -m tests.once_more REPLAY TIER...`: runs a tier, and plays a single test that failed in it three times more.

Thousands of tests with real processes fail now and then for what the machine did. A tier in which exactly one test
failed passes if that test, by itself, passes three times in a row: its failure stays printed in full, and a line
FLAKY names it at the end, to be looked into. Nothing else is forgiven: two failures, a broken collection, lint.
`REPLAY` is the command that plays the test whose id is put behind it. The hooks, which `conftest.py` has, note what
failed.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

TIMES = 3
_ENV = "AKESO_FAILED"
_notes = os.environ.pop(_ENV, "")  # not for a pytest that a test runs
_failed: list[str] = []
_passed: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        _failed.append(report.nodeid)
    elif report.passed and report.when == "call":
        _passed.append(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        _failed.append(f"collection of {report.nodeid}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if _notes and not hasattr(session.config, "workerinput"):
        noted = {"status": int(exitstatus), "failed": sorted(set(_failed)), "passed": len(_passed)}
        with Path(_notes).open("a") as notes:
            notes.write(json.dumps(noted) + "\n")


class Played(NamedTuple):
    """What came of a command: its exit status, what failed in its pytest sessions, and how many tests passed."""

    status: int
    failed: list[str]
    passed: int
    whole: bool  # no session was interrupted, or ended by an error of its own


def _play(command: list[str]) -> Played:
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "notes"
        status = subprocess.run(command, env={**os.environ, _ENV: str(notes)}, check=False).returncode
        sessions = [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []
    failed = [test for session in sessions for test in session["failed"]]
    whole = all(session["status"] in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED} for session in sessions)
    return Played(status, failed, sum(session["passed"] for session in sessions), whole)


def main(replay: list[str], tier: list[str]) -> int:
    first = _play(tier)
    if first.status == 0 or len(first.failed) != 1 or not first.whole:
        return first.status
    test = first.failed[0]
    for time in range(1, TIMES + 1):
        print(f"once more, {time} of {TIMES}: {test}", flush=True)
        again = _play([*replay, test])
        if again.status != 0 or again.passed != 1:  # one that is skipped has shown nothing
            return first.status
    print(f"FLAKY: {test} failed once and then passed {TIMES} times; above stands why it failed", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(shlex.split(sys.argv[1]), sys.argv[2:]))
