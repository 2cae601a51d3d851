"""Jobs and replication controllers leave their pods; events go by themselves."""

from cluster.apiserver.registry.strategy import Strategy


class OrphaningStrategy(Strategy):
    """The oldest controllers: a delete that does not say otherwise leaves the dependents."""

    default_propagation = "Orphan"


class EventStrategy(Strategy):
    """Events are forgotten after an hour."""

    ttl_s = 3600
