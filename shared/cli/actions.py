"""`akeso actions`: what this installation can do, found by walking its folder."""

import os

from shared.cli import _out


def command(*, as_json: _out.Json = False) -> None:
    """List the actions; --json tells all of them."""
    from shared.action.catalogue import Catalogue
    from shared.action.render import catalogue_json

    said = catalogue_json(Catalogue.home(os.environ.get("AKESO_ACTIONS_DIR", "")))
    if as_json:
        _out.show_json(said)
        return
    rows = [
        (one["name"], one["risk"], ", ".join(one["params"].get("properties", ())) or "-", one["summary"])
        for one in said["actions"]
    ]
    _out.table(("ACTION", "RISK", "PARAMETERS", "WHAT"), rows)
