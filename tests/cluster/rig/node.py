"""One real node: containerd, kubelet and kube-proxy in a network of its own, and the images that it may run."""

import json
import shutil
from pathlib import Path
from typing import Final, NamedTuple

from tests.cluster.rig import plane
from tests.cluster.rig.needs import CNI
from tests.cluster.rig.plane import Part

PAUSE: Final = "akeso.test/pause:1"
DRIVER: Final = "akeso.test/disk"  # of volumes that grow
# Where programs write that no flag can move: covered by mounts that end with the cluster.
COVERED: Final = ("/run/netns", "/run/containerd", "/var/lib/cni", "/var/lib/kubelet", "/var/log/containers")


class Node(NamedTuple):
    name: str
    address: str
    pods: str  # its pods' addresses


NODES: Final = (
    Node("n1", plane.ADDRESS, "10.244.0.0/24"),
    Node("n2", "10.201.0.2", "10.244.1.0/24"),
)


def parts(node: Node, folder: Path, kube: Path, cgroup: str) -> list[Part]:
    """Write the node's configuration; its programs in the order in which they are to start."""
    home = folder / node.name
    for place in ("kubelet", "cni", "hosts/_default"):
        (home / place).mkdir(parents=True, exist_ok=True)
    # A missing image fails at once; nothing could be pulled, and to try takes twenty seconds.
    nowhere = 'server = "http://127.0.0.1:1"\n[host."http://127.0.0.1:1"]\n  capabilities = ["pull", "resolve"]\n'
    (home / "hosts/_default/hosts.toml").write_text(nowhere)
    (home / "resolv.conf").touch()
    driver = home / "plugins" / DRIVER.replace("/", "~") / DRIVER.rpartition("/")[2]
    driver.parent.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("disk.sh"), driver)
    driver.chmod(0o755)
    (home / "cni/10-pods.conflist").write_text(json.dumps(_network(home, node)))
    (home / "containerd.toml").write_text(_CONTAINERD.format(home=home, pause=PAUSE, cni=CNI))
    (home / "kubelet.json").write_text(json.dumps(_kubelet(home, folder, cgroup)))
    kubelet = [
        str(kube), "kubelet", f"--config={home / 'kubelet.json'}", f"--kubeconfig={folder / f'{node.name}.yaml'}",
        f"--root-dir={home / 'kubelet'}", f"--hostname-override={node.name}", f"--node-ip={node.address}",
    ]  # fmt: skip
    proxy = [
        str(kube), "kube-proxy", f"--kubeconfig={folder / 'proxy.yaml'}", "--proxy-mode=nftables",
        f"--cluster-cidr={plane.PODS}", f"--hostname-override={node.name}", "--conntrack-max-per-core=0",
        "--conntrack-min=0", "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0",
    ]  # fmt: skip
    return [
        Part(f"containerd-{node.name}", ["containerd", "--config", str(home / "containerd.toml")], node.name),
        Part(f"kubelet-{node.name}", kubelet, node.name),
        Part(f"proxy-{node.name}", proxy, node.name),
    ]


def ctr(folder: Path, node: str, *arguments: str) -> list[str]:
    """Command line of containerd's client on that node."""
    return ["ctr", "-a", str(folder / node / "containerd.sock"), "-n", "k8s.io", *arguments]


def _network(home: Path, node: Node) -> dict[str, object]:
    addresses = {
        "type": "host-local", "dataDir": str(home / "cni/addresses"), "ranges": [[{"subnet": node.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }  # fmt: skip
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipMasq": False}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge | {"ipam": addresses}, ports]}


# `restrict_oom_score_adj`: without CAP_SYS_RESOURCE no sandbox could have the negative score that it asks for.
_CONTAINERD: Final = """version = 2
root = "{home}/containerd"
state = "{home}/containerd-state"
[grpc]
  address = "{home}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni}"
    conf_dir = "{home}/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{home}/hosts"
"""


def _kubelet(home: Path, folder: Path, cgroup: str) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "failCgroupV1": False, "cgroupDriver": "cgroupfs", "cgroupRoot": cgroup, "failSwapOn": False,
        "containerRuntimeEndpoint": f"unix://{home}/containerd.sock", "podLogsDir": str(home / "logs"),
        "authentication": {
            "anonymous": {"enabled": False}, "webhook": {"enabled": False},
            "x509": {"clientCAFile": str(folder / "certs/ca.crt")},
        },
        "authorization": {"mode": "AlwaysAllow"}, "resolvConf": str(home / "resolv.conf"),
        "makeIPTablesUtilChains": False, "maxPods": 60,
        "evictionHard": {"memory.available": "200Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "evictionPressureTransitionPeriod": "15s", "imageGCHighThresholdPercent": 99,
        "imageGCLowThresholdPercent": 98, "nodeStatusUpdateFrequency": "4s", "nodeLeaseDurationSeconds": 10,
        "volumePluginDir": str(home / "plugins"), "volumeStatsAggPeriod": "0s", "syncFrequency": "10s",
        # A crash loop is one within the patience of a test.
        "crashLoopBackOff": {"maxContainerRestartPeriod": "20s"},
    }  # fmt: skip
