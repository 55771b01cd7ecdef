"""What CI forgives, and what it does not."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.once_more import TIMES

ROOT = Path(__file__).parents[2]
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
GOOD = "def test_good(): pass\n"


def fails(*times):
    """A test that fails at these of its times, counted from one."""
    return f"""
from pathlib import Path
def test_bad():
    count = Path("times")
    count.write_text(count.read_text() + "x" if count.exists() else "x")
    assert len(count.read_text()) not in {set(times)}
"""


@pytest.fixture
def tier(tmp_path):
    """Plays a tier of that code with so many workers; what came of it."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    shutil.copy(ROOT / "tests" / "once_more.py", tmp_path / "conftest.py")

    def play(code, *options):
        (tmp_path / "test_it.py").write_text(code)
        return subprocess.run(
            [sys.executable, "-m", "tests.once_more", shlex.join(PYTEST), *PYTEST, *options],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return play


def times(tmp_path):
    return len((tmp_path / "times").read_text())


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one-process", "workers"])
def test_one_failure_that_does_not_come_again_is_forgiven_and_named(tier, tmp_path, options):
    ended = tier(GOOD + fails(1), *options)

    assert ended.returncode == 0
    assert "FLAKY: test_it.py::test_bad failed once" in ended.stdout
    assert "assert 1 not in" in ended.stdout  # why it failed
    assert times(tmp_path) == 1 + TIMES


@pytest.mark.parametrize("again", range(2, 2 + TIMES))
def test_one_that_comes_again_is_not(tier, tmp_path, again):
    ended = tier(GOOD + fails(1, again))

    assert ended.returncode == pytest.ExitCode.TESTS_FAILED
    assert "FLAKY" not in ended.stdout
    assert times(tmp_path) == again


def test_one_whose_end_fails_again_is_not(tier, tmp_path):
    ended = tier(fails(1, 2).replace("def test_bad():", "import pytest\n@pytest.fixture\ndef world():\n    yield")
                 + "def test_bad(world): pass\n")  # fmt: skip

    assert ended.returncode == pytest.ExitCode.TESTS_FAILED
    assert times(tmp_path) == 2


@pytest.mark.parametrize(
    "more",
    [
        "def test_worse(): assert False\n",
        "import pytest\n@pytest.fixture\ndef ill(): assert False\ndef test_worse(ill): pass\n",
    ],
    ids=["failed", "error"],
)
def test_two_failures_are_not(tier, tmp_path, more):
    ended = tier(fails(1) + more)

    assert ended.returncode == pytest.ExitCode.TESTS_FAILED
    assert times(tmp_path) == 1


def test_a_module_that_cannot_be_collected_is_not(tier, tmp_path):
    (tmp_path / "test_other.py").write_text("import nothing_of_that_name\n")

    assert tier(fails(1), "--continue-on-collection-errors").returncode == pytest.ExitCode.TESTS_FAILED
    assert tier(GOOD).returncode == pytest.ExitCode.INTERRUPTED


def test_one_that_is_skipped_when_it_is_alone_is_not(tier):
    code = """
import pytest
from pathlib import Path
def test_bad():
    if Path("been").exists():
        pytest.skip("it has shown nothing")
    Path("been").touch()
    assert False
"""
    assert tier(code).returncode == pytest.ExitCode.TESTS_FAILED


def test_a_session_that_broke_off_is_not(tier, tmp_path):
    ended = tier(fails(1) + "def test_end():\n    import pytest\n    pytest.exit('enough')\n")

    assert ended.returncode == pytest.ExitCode.INTERRUPTED
    assert times(tmp_path) == 1


def test_a_tier_without_a_failure_ends_as_it_ended(tier):
    assert tier(GOOD).returncode == 0
    assert tier(GOOD, "--no-such-option").returncode == pytest.ExitCode.USAGE_ERROR
