"""Informers while servers die under them and history goes: they miss nothing and see nothing twice.

`KVSTORE_FULL=1` does the same for many rounds.
"""

import contextlib
import os
import random
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from kvstore.client import Client, Compacted, RpcError, prefix
from tests.support.cluster_process import (
    KVSTORED,
    READY_LINE,
    ClusterProcess,
    MemberProcess,
    free_ports,
    wait_until,
)
from tests.support.kube_informer import LOST, Informer, Picture, version_of
from tests.support.kube_process import KubeClient, api_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROUNDS, WRITES_BETWEEN_FAULTS = (20, 60) if os.environ.get("KVSTORE_FULL") else (1, 15)
NAMES = 6
MAPS = "/api/v1/namespaces/default/configmaps"
KEYS = "/registry/configmaps/default/"
DEADLINE_S = 120.0


class Writer(threading.Thread):
    """Creates, changes and deletes objects of its own; `written` is what was acknowledged."""

    def __init__(self, url: str, letter: str) -> None:
        super().__init__(name=f"writer-{letter}", daemon=True)
        self._client = KubeClient(url)
        self._dice = random.Random(letter)
        self._names = [f"{letter}{number}" for number in range(NAMES)]
        self._finishing = threading.Event()
        self.written: list[tuple[str, int]] = []

    def finish(self) -> None:
        """End after the write under way."""
        self._finishing.set()
        self.join()

    def run(self) -> None:
        """Write until `finish`; what fails is not tried again."""
        count = 0
        while not self._finishing.is_set():
            count += 1
            with contextlib.suppress(*LOST):
                self._write(self._dice.choice(self._names), str(count))

    def _write(self, name: str, value: str) -> None:
        if self._dice.random() < 0.2:
            self._client.request("DELETE", f"{MAPS}/{name}")
            return
        body = {"metadata": {"name": name}, "data": {"x": value}}
        media_type = {"Content-Type": "application/merge-patch+json"}
        answer = self._client.request("PATCH", f"{MAPS}/{name}", body, headers=media_type)
        if answer.code == 404:
            answer = self._client.request("POST", MAPS, body)
        if answer.code < 300:
            self.written.append((name, version_of(answer.json)))
        elif answer.code >= 500:
            self._finishing.wait(0.05)  # the store elects a leader


class World:
    """Three members, one API server that stays and one that comes and goes."""

    def __init__(self, store: ClusterProcess, steady: str, directory: Path) -> None:
        self.store = store
        self.steady = steady
        self._directory = directory
        self._port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self._port}"
        self._running = contextlib.ExitStack()
        self.client = Client(store.endpoints)

    def start_server(self) -> None:
        """Start the one that comes and goes, where it was before."""
        log_file = self._directory / "fickle.log"
        flags = ("--insecure", f"--port={self._port}")
        self._running.enter_context(api_server(",".join(self.store.endpoints), log_file, *flags))

    def stop_server(self) -> None:
        """Stop it; its watches end."""
        self._running.close()

    def fail_over(self) -> None:
        """Kill the leader of the store; start it again when there is another one."""
        leader = self._leader()
        leader.kill()
        wait_until(lambda: self._leads_again(leader), DEADLINE_S, "no new leader")
        leader.start()
        leader.wait_for_log(READY_LINE)

    def compact(self) -> None:
        """Forget all history before now."""
        self.client.compact(self.client.range(prefix(KEYS), limit=1).header.revision)

    def _leader(self) -> MemberProcess:
        for member in self.store.members:
            with Client([member.endpoint]) as client:
                status = client.status()
                if status.leader == status.header.member_id:
                    return member
        raise AssertionError("nobody leads")

    def _leads_again(self, dead: MemberProcess) -> bool:
        other = next(member for member in self.store.members if member is not dead)
        return other.is_healthy()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with (
        ClusterProcess(KVSTORED, 3) as store,
        api_server(",".join(store.endpoints), tmp_path / "steady.log") as steady,
    ):
        world = World(store, steady, tmp_path)
        world.start_server()
        try:
            yield world
        finally:
            world.stop_server()
            world.client.close()


def test_informers_equal_the_store_under_restart_failover_and_compaction(world: World) -> None:
    informers = [Informer(world.url, MAPS, streams=streams) for streams in (False, True)]
    writers = [Writer(world.steady, "a"), Writer(world.url, "b")]
    for thread in (*informers, *writers):
        thread.start()
    compared = 0
    for _ in range(ROUNDS):
        more_is_written(writers)
        world.fail_over()
        more_is_written(writers)
        compared += equal_pictures(world.client, informers)
        world.compact()
        more_is_written(writers)
        world.stop_server()
        more_is_written(writers[:1])
        world.compact()  # what the informers have not seen is gone: they have to list again
        world.start_server()
        more_is_written(writers)
    for writer in writers:
        writer.finish()
    end = KubeClient(world.steady).create(MAPS, {"metadata": {"name": "end"}})
    wait_until(
        lambda: all(one.revision >= version_of(end) for one in informers),
        DEADLINE_S,
        "the informers did not reach the last write",
    )
    compared += equal_pictures(world.client, informers)
    for informer in informers:
        informer.finish()
    KubeClient(world.steady).patch(f"{MAPS}/end", {"data": {"x": "1"}})
    for informer in informers:
        informer.join(DEADLINE_S)
        assert informer.complaints == []
        assert len(informer.chains) > ROUNDS, "they were to list again after each compaction"
        assert held_by(world.client, informer.picture) == informer.picture.objects
        assert missed(informer, [pair for writer in writers for pair in writer.written]) == []
    assert compared >= ROUNDS, "nothing was compared"


def more_is_written(writers: Sequence[Writer]) -> None:
    """Wait until each has had some more writes acknowledged."""
    before = [len(writer.written) for writer in writers]

    def have_gone_on() -> bool:
        grown = zip(writers, before, strict=True)
        return all(len(one.written) >= past + WRITES_BETWEEN_FAULTS for one, past in grown)

    wait_until(have_gone_on, DEADLINE_S, "the writers do not go on")


def equal_pictures(client: Client, informers: Sequence[Informer]) -> int:
    """Compare what informers held with the store's past, where it has one; return how often."""
    compared = 0
    for informer in informers:
        taken, informer.pictures = informer.pictures, []
        for picture in taken[-20:]:
            with contextlib.suppress(Compacted):
                assert held_by(client, picture) == picture.objects, picture.revision
                compared += 1
    return compared


def held_by(client: Client, picture: Picture) -> dict[str, int]:
    """Return what the store held at the picture's revision."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            found = client.range(prefix(KEYS), revision=picture.revision)
        except Compacted:
            raise
        except RpcError:
            assert time.monotonic() < deadline, "the store does not answer"
            continue
        return {kv.key.decode().removeprefix(KEYS): kv.mod_revision for kv in found.kvs}


def missed(informer: Informer, written: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return the acknowledged writes that fall into a chain and were not told there."""
    return [
        (name, revision)
        for chain in informer.chains
        for name, revision in written
        if chain.start < revision <= chain.end and (name, revision) not in chain.told
    ]
