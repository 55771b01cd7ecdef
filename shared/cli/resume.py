"""`akeso resume`: one of the three modes, of everything or of a part."""

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
    """Work again; nothing is replayed."""
    of = {"tenant": tenant, "cluster": cluster, "namespace": namespace, "action": action}
    _halt.ask("run", reason=reason, by=by, as_json=as_json, **of)
