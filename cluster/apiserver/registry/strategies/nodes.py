"""Nodes: who registers one says how it is."""

from cluster.apiserver.registry.strategy import Strategy


class NodeStrategy(Strategy):
    """A kubelet creates its node together with its status."""

    keeps_status_on_create = True
