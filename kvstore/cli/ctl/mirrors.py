"""make-mirror: copies keys to another cluster, and goes on with every change.

The other cluster may be etcd's, and so may this one: what is moved is keys and values. Revisions
and leases are not copied.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from kvstore.base.errors import RpcError
from kvstore.base.key_range import KeyRange
from kvstore.cli.ctl.failure import Exit, Stop
from kvstore.cli.ctl.framework import GoCommand, session
from kvstore.cli.ctl.session import prompted, text_of, write

if TYPE_CHECKING:
    from kvstore.client import Client, Event, Operation

PAGE_KEYS = 1000
REPORT_S = 30.0


@click.command("make-mirror", cls=GoCommand, help="Makes a mirror at the destination etcd cluster")
@click.argument("words", nargs=-1)
@click.option("--prefix", default="", help="Key-value prefix to mirror")
@click.option("--rev", type=int, default=0, help="Specify the kv revision to start to mirror")
@click.option("--max-txn-ops", type=click.IntRange(1), default=128, help="Operations a transaction")
@click.option("--dest-prefix", default="", help="prefix at the destination in place of --prefix")
@click.option("--no-dest-prefix", is_flag=True, help="mirror to the root of the destination")
@click.option("--dest-cert", default="", help="certificate file to show to the destination")
@click.option("--dest-key", default="", help="its key file")
@click.option("--dest-cacert", default="", help="CA bundle to verify the destination with")
@click.option(
    "--dest-insecure-transport/--no-dest-insecure-transport",
    default=True,
    help="Disable transport security for client connections",
)
@click.option("--dest-user", default="", help="username[:password] at the destination")
@click.option("--dest-password", default="", help="password at the destination")
@click.pass_context
def make_mirror(  # noqa: PLR0913 - etcdctl's flags
    context: click.Context,
    words: tuple[str, ...],
    *,
    prefix: str,
    rev: int,
    max_txn_ops: int,
    dest_prefix: str,
    no_dest_prefix: bool,
    dest_cert: str,
    dest_key: str,
    dest_cacert: str,
    dest_insecure_transport: bool,
    dest_user: str,
    dest_password: str,
) -> None:
    from kvstore.client import Client, Tls

    if len(words) != 1:
        raise Stop(Exit.BAD_ARGS, "make-mirror takes one destination argument")
    if no_dest_prefix and dest_prefix:
        raise Stop(
            Exit.BAD_ARGS,
            "`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one",
        )
    user, _, password = dest_user.partition(":")
    if user and not (password := dest_password or password):
        password = prompted("Destination Password: ")
    is_secure = bool(dest_cert or dest_key or dest_cacert or not dest_insecure_transport)
    tls = Tls.from_files(ca=dest_cacert, certificate=dest_cert, key=dest_key)
    running = session(context)
    with (
        running.client() as source,
        Client(
            words[0], tls=tls if is_secure else None, user=user or None, password=password
        ) as to,
    ):
        mirror = Mirror(
            source,
            to,
            prefix=os.fsencode(prefix),
            # With a revision to start from, and without a prefix of its own, the copy has none.
            replacement=os.fsencode(dest_prefix or ("" if no_dest_prefix or rev > 1 else prefix)),
            operations_max=max_txn_ops,
        )
        reporting = threading.Event()
        threading.Thread(target=_report, args=(mirror, reporting), daemon=True).start()
        try:
            mirror.run(after=max(rev - 1, 0))
        except RpcError as error:
            raise Stop(Exit.ERROR, text_of(error)) from error
        finally:
            reporting.set()


class Mirror:
    """One copy under way; `copied` counts keys put and deleted."""

    def __init__(
        self,
        source: "Client",
        destination: "Client",
        *,
        prefix: bytes,
        replacement: bytes,
        operations_max: int,
    ) -> None:
        self._source = source
        self._destination = destination
        self._prefix = prefix
        self._replacement = replacement
        self._operations_max = operations_max
        self.copied = 0

    def run(self, *, after: int) -> None:
        """Follow the changes after a revision; 0: copy what is there now, and follow from then."""
        revision = after or self._copy_all()
        with self._source.watch(self._keys(), start_revision=revision + 1) as watch:
            for batch in watch.batches():
                for events in _by_revision(batch.events, self._operations_max):
                    self._destination.txn(success=[self._operation(event) for event in events])
                    self.copied += len(events)

    def _copy_all(self) -> int:
        """Copy every key as of one revision; return that."""
        keys = self._keys()
        revision = 0
        while True:
            page = self._source.range(keys, limit=PAGE_KEYS, revision=revision)
            revision = revision or page.header.revision
            for kv in page.kvs:
                self._destination.put(self._renamed(kv.key), kv.value)
                self.copied += 1
            if not page.more:
                return revision
            keys = KeyRange(page.kvs[-1].key + b"\x00", keys.end)

    def _keys(self) -> KeyRange:
        from kvstore.client import EVERYTHING, prefix

        found = prefix(self._prefix) if self._prefix else EVERYTHING
        assert isinstance(found, KeyRange)
        return found

    def _operation(self, event: "Event") -> "Operation":
        from kvstore.client import Delete, Put

        key = self._renamed(event.kv.key)
        return Delete(key) if event.is_delete else Put(key, event.kv.value)

    def _renamed(self, key: bytes) -> bytes:
        return self._replacement + key.removeprefix(self._prefix)


def _by_revision(events: "Sequence[Event]", count_max: int) -> "Iterator[list[Event]]":
    """Yield the events of each revision, in parts of at most `count_max`."""
    part: list[Event] = []
    for event in events:
        if part and (event.kv.mod_revision != part[0].kv.mod_revision or len(part) == count_max):
            yield part
            part = []
        part.append(event)
    if part:
        yield part


def _report(mirror: Mirror, done: threading.Event) -> None:
    while not done.wait(REPORT_S):
        write(str(mirror.copied))
