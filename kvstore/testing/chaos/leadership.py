"""Who leads, noted as bands of the history while a cluster runs."""

import threading

from kvstore.check import Recorder
from kvstore.check.recorder import OpenBand
from kvstore.testing.cluster import Cluster

_LOOK_EVERY_S = 0.2


class Leadership:
    """A thread that looks, from `start` to `stop`."""

    def __init__(self, cluster: Cluster, recorder: Recorder) -> None:
        self._cluster = cluster
        self._recorder = recorder
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._seen: tuple[str, int] | None = None
        self._band: OpenBand | None = None
        self.terms = 0
        """How many were seen."""

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End the last band."""
        self._stopping.set()
        self._thread.join()
        self._now_is(None)

    def _run(self) -> None:
        while not self._stopping.wait(_LOOK_EVERY_S):
            leader = self._cluster.leader_now()
            status = leader.status() if leader is not None else None
            if leader is None or status is None:
                self._now_is(None)
            else:
                self._now_is((leader.name, status.raft_term))

    def _now_is(self, seen: tuple[str, int] | None) -> None:
        if seen == self._seen:
            return
        self._seen = seen
        band, self._band = self._band, None
        if band is not None:
            self._recorder.end(band)
        if seen is not None:
            name, term = seen
            self.terms += 1
            self._band = self._recorder.begin("term", f"term {term}", name)
