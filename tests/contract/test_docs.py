"""What the documents tell a person to type and to open exists."""

import re
from pathlib import Path

import pytest

from shared.cli import COMMANDS
from shared.event.types import FUNCTIONS

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
class TestADocument:
    def test_names_only_commands_that_exist(self, document):
        typed = set(re.findall(r"(?:^|[`/])akeso ([a-z]+)", document.read_text(), re.MULTILINE))

        assert typed <= set(COMMANDS)

    def test_names_only_make_targets_that_exist(self, document):
        targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        typed = set(re.findall(r"(?:^|`)make ([a-z-]+)", document.read_text(), re.MULTILINE))

        assert typed <= targets

    def test_links_to_files_that_exist(self, document):
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / link).exists(), link

    def test_names_only_examples_that_exist(self, document):
        for name in re.findall(r"examples/([a-z-]+\.json)", document.read_text()):
            assert (ROOT / "examples" / name).exists(), name


class TestTheMakefile:
    def test_tells_what_each_target_does(self):
        text = (ROOT / "Makefile").read_text()
        phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE).group(1).split()

        assert set(phony) == set(re.findall(r"^([a-z-]+):.*##", text, re.MULTILINE))


class TestTheTree:
    def test_has_a_folder_for_each_function_and_no_other(self):
        found = {path.parent.name for path in (ROOT / "functions").glob("*/main.py")}

        assert found == set(FUNCTIONS)

    def test_keeps_a_function_short(self):
        for path in (ROOT / "functions").glob("*/main.py"):
            assert len(path.read_text().splitlines()) <= 180, path
