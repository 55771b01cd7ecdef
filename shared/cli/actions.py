"""`akeso actions`: what this installation can do, found by walking its folder."""

import os
from pathlib import Path
from typing import Annotated

import typer

from shared.cli import _out


def command(
    name: Annotated[str, typer.Argument(help="Only this one, with all that is to be known of it.")] = "",
    *,
    pages: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Write a page of each into this folder.")] = None,
    as_json: _out.Json = False,
) -> None:
    """List the actions, or show one; --json tells all of them."""
    from shared.action.catalogue import Catalogue
    from shared.action.page import page
    from shared.action.render import catalogue_json

    catalogue = Catalogue.home(os.environ.get("AKESO_ACTIONS_DIR", ""))
    if pages is not None:
        pages.mkdir(parents=True, exist_ok=True)
        for one in catalogue.all():
            (pages / f"{one.name}.md").write_text(page(one))
        _out.say(f"{len(catalogue.names())} pages in {pages}")
        return
    said = catalogue_json(catalogue)
    if name:
        shown = page(catalogue.load(name))
        if as_json:
            _out.show_json(next(one for one in said["actions"] if one["name"] == name))
        else:
            _out.say(*shown.splitlines())
        return
    if as_json:
        _out.show_json(said)
        return
    rows = [
        (one["name"], one["risk"], ", ".join(one["params"].get("properties", ())) or "-", one["proof"], one["summary"])
        for one in said["actions"]
    ]
    _out.table(("ACTION", "RISK", "PARAMETERS", "PROVEN BY", "WHAT"), rows)
