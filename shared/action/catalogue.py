"""Finds actions by walking a folder, so that a new one is one new file and no list names it.

`names` reads file names only; `load` imports exactly one module. A pod that runs one action must never import another.
"""

import importlib.util
import inspect
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

from shared.action.declare import Action
from shared.errors import MalformedError

_NAME = re.compile(r"[a-z][a-z0-9_]{1,39}")


@cache
def _module(path: Path) -> ModuleType:
    qualified = f"akeso_action_{path.stem}"
    spec = importlib.util.spec_from_file_location(qualified, path)
    if spec is None or spec.loader is None:
        raise MalformedError(f"{path} cannot be imported", reason="unknown-action")
    module = importlib.util.module_from_spec(spec)
    sys.modules[qualified] = module
    spec.loader.exec_module(module)
    return module


class Catalogue:
    """The actions in one folder. The caller gives the folder; `functions/actions` of this installation by `home()`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def home(cls, folder: str = "") -> "Catalogue":
        return cls(Path(folder) if folder else Path(__file__).parents[2] / "functions" / "actions")

    def names(self) -> tuple[str, ...]:
        """Sorted names of all actions; nothing is imported."""
        return tuple(sorted(p.stem for p in self.folder.glob("*.py") if _NAME.fullmatch(p.stem)))

    def load(self, name: str) -> Action:
        """One instance of the named action. Raises MalformedError (reason `unknown-action`) if there is none."""
        path = self.folder / f"{name}.py"
        if not _NAME.fullmatch(name) or not path.is_file():
            raise MalformedError(f"no action named {name[:40]!r}", reason="unknown-action")
        module = _module(path)
        found = [
            value
            for value in vars(module).values()
            if inspect.isclass(value) and issubclass(value, Action) and value.__module__ == module.__name__
        ]
        if len(found) != 1 or found[0].name != name:
            raise MalformedError(f"{path.name} must declare exactly one Action named {name}", reason="unknown-action")
        return found[0]()

    def all(self) -> tuple[Action, ...]:
        """Every action, imported: for render, docs and the model's schema, never in an executor."""
        return tuple(self.load(name) for name in self.names())
