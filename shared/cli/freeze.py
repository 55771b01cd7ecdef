"""`akeso freeze`: one of the three modes, of everything or of a part."""

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
    """Nothing is written any more, not even an undo."""
    of = {"tenant": tenant, "cluster": cluster, "namespace": namespace, "action": action}
    _halt.ask("freeze", reason=reason, by=by, as_json=as_json, **of)
