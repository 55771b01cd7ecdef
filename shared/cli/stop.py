"""`akeso stop`: one of the three modes, of everything or of a part."""

from shared.cli import _halt, _out


def command(
    *,
    reason: _out.Reason,
    tenant: _halt.Tenant = "",
    cluster: _halt.Cluster = "",
    namespace: _halt.Namespace = "",
    action: _halt.Action = "",
    by: _out.By = "",
    as_json: _out.Json = False,
) -> None:
    """Start no new work; undo is still allowed."""
    of = {"tenant": tenant, "cluster": cluster, "namespace": namespace, "action": action}
    _halt.ask("stop", reason=reason, by=by, as_json=as_json, **of)
