"""Runs the pods of one node as processes of this machine.

    pod_lifecycle     what to start and stop next, from a pod and what its containers do: pure
    pod_status        what the pod's status says of that: pure
    container_config  image, command, environment and directory of a container: pure
    images            which program stands behind an image name
    runtime           the port to containers; process_runtime is its adapter, shim its witness
    volumes           what a pod's volumes hold, as directories
    probes            when a container counts as started, ready and alive
    pod_worker        one pod: observe, plan, act, report, again
    node              the node object, its status, its lease
    kubelet           the shell: which pods are ours, a worker for each
    server            logs, exec and port-forward for the API server

Invariants
- What runs is written to disk before it runs, and a witness process outlives the kubelet: one that
  starts again finds every container, running or ended, and starts none of them twice.
- A pod is gone from the API only after the last of its processes is.
- The status is derived: from the pod, what its containers do, and what the probes say.
"""
