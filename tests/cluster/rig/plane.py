"""The control plane as command lines: etcd, API server, controller manager, scheduler, and who may log in."""

import json
from base64 import b64encode
from pathlib import Path
from typing import Final, NamedTuple

from tests.cluster.rig.certs import Authority

ADDRESS: Final = "10.200.0.1"  # of the API server and of node n1
PORT: Final = 6443
SERVER: Final = f"https://{ADDRESS}:{PORT}"
SERVICES: Final = "10.96.0.0/16"
PODS: Final = "10.244.0.0/16"
_ETCD: Final = "http://127.0.0.1:2379"
_BRISK: Final = ("--kube-api-qps=300", "--kube-api-burst=600")  # thousands of pods within a test's patience

# One line for each request of somebody who is not the cluster itself.
_AUDIT: Final = {
    "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "userGroups": ["system:nodes", "system:serviceaccounts:kube-system"]},
        {"level": "None", "users": ["system:kube-controller-manager", "system:kube-scheduler", "system:apiserver"]},
        {"level": "Metadata"},
    ],
}  # fmt: skip


class Part(NamedTuple):
    """A program of the cluster. `net` is the node in whose network it runs."""

    name: str
    command: list[str]
    net: str = "n1"


def identities(folder: Path) -> None:
    """Certificates and kubeconfigs of everybody: `<name>.yaml` in `folder`."""
    authority = Authority(folder / "certs")
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
    authority.server("apiserver", names, ["127.0.0.1", "10.96.0.1", ADDRESS])
    authority.key("accounts")
    who = {
        "admin": ("kubernetes-admin", "system:masters"), "kubelet-client": ("kube-apiserver", "system:masters"),
        "controller-manager": ("system:kube-controller-manager", ""), "scheduler": ("system:kube-scheduler", ""),
        "proxy": ("system:kube-proxy", "system:node-proxier"),
        "n1": ("system:node:n1", "system:nodes"), "n2": ("system:node:n2", "system:nodes"),
    }  # fmt: skip
    for name, (user, group) in who.items():
        authority.client(name, user, group)
        kubeconfig(folder, name, folder / f"{name}.yaml")


def kubeconfig(folder: Path, name: str, file: Path, server: str = SERVER) -> None:
    """Write how `name` comes to `server`, everything inline so that the file can be carried elsewhere."""

    def inline(file: str) -> str:
        return b64encode((folder / "certs" / file).read_bytes()).decode()

    user = {"client-certificate-data": inline(f"{name}.crt"), "client-key-data": inline(f"{name}.key")}
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "akeso-test",
        "contexts": [{"name": "akeso-test", "context": {"cluster": "akeso-test", "user": name}}],
        "clusters": [{"name": "akeso-test", "cluster": {
            "server": server, "certificate-authority-data": inline("ca.crt")}}],
        "users": [{"name": name, "user": user}],
    }  # fmt: skip
    file.touch(mode=0o600)
    file.write_text(json.dumps(config, indent=1))


def parts(folder: Path, kube: Path, etcd: Path) -> list[Part]:
    """In the order in which they are to start."""
    certs = folder / "certs"
    (folder / "audit-policy.json").write_text(json.dumps(_AUDIT))
    store = [
        str(etcd), f"--data-dir={folder / 'etcd'}", "--unsafe-no-fsync",  # nothing here outlives the machine
        f"--listen-client-urls={_ETCD}", f"--advertise-client-urls={_ETCD}", "--listen-peer-urls=http://127.0.0.1:2380",
        "--initial-advertise-peer-urls=http://127.0.0.1:2380", "--initial-cluster=default=http://127.0.0.1:2380",
    ]  # fmt: skip
    server = [
        str(kube), "kube-apiserver", f"--etcd-servers={_ETCD}", f"--secure-port={PORT}", "--bind-address=0.0.0.0",
        f"--advertise-address={ADDRESS}", f"--tls-cert-file={certs / 'apiserver.crt'}",
        f"--tls-private-key-file={certs / 'apiserver.key'}", f"--client-ca-file={certs / 'ca.crt'}",
        f"--kubelet-client-certificate={certs / 'kubelet-client.crt'}",
        f"--kubelet-client-key={certs / 'kubelet-client.key'}", "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={certs / 'accounts.key'}",
        f"--service-account-signing-key-file={certs / 'accounts.key'}", "--authorization-mode=Node,RBAC",
        f"--service-cluster-ip-range={SERVICES}", "--allow-privileged=true",
        "--enable-admission-plugins=NodeRestriction", f"--audit-policy-file={folder / 'audit-policy.json'}",
        f"--audit-log-path={folder / 'audit.log'}", "--audit-log-maxsize=0",  # one file, whose lines a test counts
        "--anonymous-auth=true",
    ]  # fmt: skip
    manager = [
        str(kube), "kube-controller-manager", "--leader-elect=false",
        f"--kubeconfig={folder / 'controller-manager.yaml'}",
        "--use-service-account-credentials=true", f"--service-account-private-key-file={certs / 'accounts.key'}",
        f"--root-ca-file={certs / 'ca.crt'}", f"--cluster-signing-cert-file={certs / 'ca.crt'}",
        f"--cluster-signing-key-file={certs / 'ca.key'}",
        "--node-monitor-grace-period=16s", "--node-monitor-period=2s",  # a lost node is noticed in a test's patience
        "--horizontal-pod-autoscaler-sync-period=3s",
        *_BRISK,
    ]  # fmt: skip
    scheduler = [
        str(kube), "kube-scheduler", f"--kubeconfig={folder / 'scheduler.yaml'}", "--leader-elect=false", *_BRISK,
    ]  # fmt: skip
    return [
        Part("etcd", store),
        Part("apiserver", server),
        Part("controller-manager", manager),
        Part("scheduler", scheduler),
    ]
