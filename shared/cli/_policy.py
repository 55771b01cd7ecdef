"""Reads what the commands about policies are given: files, and the names of the actions that there are."""

import os
from typing import TYPE_CHECKING

from shared.cli import _ask, _out

if TYPE_CHECKING:
    from shared.action.catalogue import Catalogue
    from shared.guard.policy import Policy


def catalogue() -> "Catalogue":
    from shared.action.catalogue import Catalogue

    return Catalogue.home(os.environ.get("AKESO_ACTIONS_DIR", ""))


def text(name: str) -> str:
    """Raise Problem for what is no text."""
    try:
        return _ask.read(name).decode()
    except UnicodeDecodeError as error:
        raise _out.Problem(f"{name}: no UTF-8 text") from error


def policy(name: str) -> "Policy":
    """Raise Problem with everything that is wrong with the file."""
    from shared.guard.policy_read import of_file

    found, wrong = of_file(text(name), catalogue().names())
    if found is None:
        raise _out.Problem(f"{name}: {'; '.join(wrong)}")
    return found
