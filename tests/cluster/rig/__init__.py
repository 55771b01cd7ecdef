"""A real Kubernetes on this machine: control plane and two nodes, for the tests and for trying, gone without a trace.

Everything runs in process, mount and network namespaces of its own without a link outward, so whatever ends the first
process ends all of it, mounts and network included. It must not change anything that it cannot put back.
"""
