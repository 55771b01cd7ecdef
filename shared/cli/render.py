"""`akeso render`: the complete installation as manifests, made from the tables."""

import os
from typing import Annotated

import typer

from shared.cli import _out


def command(
    overlay: Annotated[str, typer.Argument(help="base, dev, ...")] = "base",
    *,
    image: Annotated[str, typer.Option(help="The one image of all functions.")],
    alertmanager: Annotated[str, typer.Option(help="AlertManager's base URL, for reconcile.")],
    redis_secret: Annotated[str, typer.Option(help="Name of your Secret with the keys url and password.")],
    tenant: Annotated[str, typer.Option(help="Whose alerts these are.")] = "default",
    cluster: Annotated[str, typer.Option(help="Which cluster they speak of.")] = "default",
    receiver: Annotated[bool, typer.Option("--receiver", help="Only what AlertManager's configuration needs.")] = False,
    as_json: _out.Json = False,
) -> None:
    """Print the installation for `kubectl apply -f -`.

    What AlertManager needs follows as comments.
    """
    from shared.action import render
    from shared.action.catalogue import Catalogue

    catalogue = Catalogue.home(os.environ.get("AKESO_ACTIONS_DIR", ""))
    given = {"image": image, "alertmanager": alertmanager, "redis_secret": redis_secret}
    hook = render.alertmanager_receiver(tenant=tenant, cluster=cluster)
    if as_json:
        objects = render.render(overlay, catalogue=catalogue, tenant=tenant, cluster=cluster, **given)
        _out.show_json({"objects": objects, "alertmanager": hook})
        return
    if receiver:
        _out.say(*hook.splitlines())
        return
    text = render.render_text(overlay, catalogue=catalogue, tenant=tenant, cluster=cluster, **given)
    _out.say(*text.splitlines(), *(f"# {line}".rstrip() for line in hook.splitlines()))
