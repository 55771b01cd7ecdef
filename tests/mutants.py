"""Breaks each line that a promise rests on, in a copy of the tree, and passes only if its test goes red.

`python -m tests.mutants [NAME ... | K/N]` plays the rows of `tests/mutants.toml`: name, file, old text, new text and
the test that must fail; `K/N`: every Nth of them from the Kth on. It fails if an old text of any row is no longer found
exactly once, or if a test stays green or cannot be run.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
COPIED = ("functions", "shared", "knative", "tests", "examples", "docs", "pyproject.toml", ".importlinter", "Makefile")
WORKERS = 2
TIMEOUT_S = 300
FAILED = 1  # pytest's exit status for tests that ran and failed


class Mutant(NamedTuple):
    name: str
    file: str
    old: str
    new: str
    test: str


def load() -> list[Mutant]:
    rows = tomllib.loads((ROOT / "tests" / "mutants.toml").read_text())["mutant"]
    return [Mutant(**row) for row in rows]


def lost(mutant: Mutant) -> str:
    """Why its line cannot be broken; empty when it can."""
    found = (ROOT / mutant.file).read_text().count(mutant.old)
    return "" if found == 1 else f"the old text stands {found} times in {mutant.file}"


def play(mutant: Mutant) -> str:
    """Empty when the test went red, else what is wrong."""
    if why := lost(mutant):
        return why
    text = (ROOT / mutant.file).read_text()
    with tempfile.TemporaryDirectory(prefix="akeso-mutant-") as folder:
        copy = Path(folder)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy(source, copy / name)
        (copy / mutant.file).write_text(text.replace(mutant.old, mutant.new))
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-n0", "-p", "no:cacheprovider", mutant.test]
        env = {**os.environ, "PYTHONPATH": str(copy)}
        try:
            run = subprocess.run(
                command, cwd=copy, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            return f"{mutant.test} did not end within {TIMEOUT_S} s"
    if run.returncode == FAILED:
        return ""
    if run.returncode == 0:
        return f"{mutant.test} stays green without {mutant.old.strip().splitlines()[0]!r}"
    return f"{mutant.test} could not be run (status {run.returncode}): {run.stdout[-300:]}{run.stderr[-300:]}"


def main(names: list[str]) -> int:
    rows = load()
    mutants = [mutant for mutant in rows if not names or mutant.name in names]
    if len(names) == 1 and (part := re.fullmatch(r"([1-9]\d?)/([1-9]\d?)", names[0])):
        mutants = rows[int(part[1]) - 1 :: int(part[2])]
    left = [mutant for mutant in rows if mutant not in mutants and lost(mutant)]
    for mutant in left:
        print(f"ALIVE  {mutant.name}: {lost(mutant)}", flush=True)
    wrong = len(left)
    with ThreadPoolExecutor(WORKERS) as pool:
        for mutant, why in zip(mutants, pool.map(play, mutants), strict=True):
            print(f"{'killed' if not why else 'ALIVE '} {mutant.name}{': ' + why if why else ''}", flush=True)
            wrong += bool(why)
    print(f"{len(mutants)} of {len(rows)} played, {wrong} failed")
    return 1 if wrong or not mutants else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
