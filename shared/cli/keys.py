"""`akeso keys`: the keys and tokens of a new installation, made on the machine of whoever installs."""

from pathlib import Path
from typing import Annotated

import typer

from shared.cli import _out


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or private folder that git does not keep.")],
    *,
    plain: Annotated[bool, typer.Option("--plain", help="Plain files for one machine instead of manifests.")] = False,
    as_json: _out.Json = False,
) -> None:
    """Write new keys as Secret manifests.

    Nothing is ever overwritten.
    """
    from shared.guard import keys

    written = keys.write_dir(folder) if plain else keys.write_manifests(folder)
    if as_json:
        _out.show_json({"written": [str(path) for path in written]})
        return
    _out.say(*written)
    if not plain:
        _out.say(f"next: kubectl apply -f {folder}, then keep the folder where only you can read it, or delete it")
