"""Forgetting: history older than a few minutes is compacted away, by one of the servers.

They take turns by a key of the store, as kube-apiserver does, so real ones may take part. Whoever
gets the turn compacts to where the store was at the turn before.
"""

import asyncio
import logging

from cluster.apiserver.storage import RpcError, Store

logger = logging.getLogger(__name__)


async def run(store: Store, *, every_s: float) -> None:
    """Compact for ever; a turn that fails is tried again the next time."""
    version, noted = 0, 0
    while True:
        await asyncio.sleep(every_s)
        try:
            version, noted = await turn(store, version, noted)
        except RpcError as failure:
            logger.warning("the store was not compacted", extra={"failure": str(failure)})


async def turn(store: Store, version: int, noted: int) -> tuple[int, int]:
    """Take one turn; return its number, and the revision to compact to at the next one.

    `version` and `noted` are what the last turn returned, 0 at first.
    """
    revision = await store.revision()
    is_ours, version, written = await store.compaction_turn(version, revision)
    if is_ours and noted:
        await store.compact_to(noted)
    return version, written
