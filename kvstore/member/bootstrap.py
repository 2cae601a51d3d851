"""A member from its data directory: a new one, or one that comes back.

    <data-dir>/member/identity.json          who this directory belongs to, and its format
    <data-dir>/member/wal/                   the write-ahead log (or elsewhere: --wal-dir)
    <data-dir>/member/keyspace.<generation>/ the keyspace; the log names the generation in force

What is found on disk wins over what the operator said about the cluster.
"""

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path

from kvstore.apply import StateMachine, meta
from kvstore.backend.backend import Backend
from kvstore.backend.schema import Tree
from kvstore.base.entropy import Entropy
from kvstore.base.errors import CorruptKeyspace, WrongDataDirectory
from kvstore.base.ids import ClusterId, LogIndex, MemberId
from kvstore.base.limits import Limits
from kvstore.member.ports import Keyspaces
from kvstore.raft.consensus import Entry, EntryKind, Membership
from kvstore.raft.journal import FIRST_INDEX, Applied, Journal
from kvstore.raft.membership import decode_membership, encode_membership
from kvstore.wal import Disk, RealDisk, WalIdentity, WriteAheadLog

logger = logging.getLogger(__name__)

DIRECTORY_FORMAT = 1
_FIRST_GENERATION = 1
_PRIVATE = 0o700


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose data a directory holds."""

    cluster_id: ClusterId
    member_id: MemberId
    birth: int
    """Random, drawn when the directory was made; never 0."""


@dataclass(slots=True, kw_only=True)
class OpenedMember:
    """Everything durable of a member, open and consistent."""

    keyspaces: Keyspaces
    wal: WriteAheadLog
    journal: Journal
    machine: StateMachine
    applied: Applied


def stored_identity(data_directory: Path) -> Identity | None:
    """Return whose data this is, or None for a directory that holds none.

    Raises:
        WrongDataDirectory: it has another format, or cannot be read.
    """
    path = data_directory / "member" / "identity.json"
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    try:
        content = json.loads(text)
        found_format = content["format"]
        identity = Identity(
            cluster_id=ClusterId(int(content["cluster_id"], 16)),
            member_id=MemberId(int(content["member_id"], 16)),
            birth=int(content["birth"], 16),
        )
    except (ValueError, KeyError, TypeError) as damage:
        raise WrongDataDirectory(f"{path} is damaged: {damage}") from damage
    if found_format != DIRECTORY_FORMAT:
        raise WrongDataDirectory(
            f"{path} has format {found_format}, this version reads format {DIRECTORY_FORMAT}"
        )
    return identity


def store_identity(data_directory: Path, identity: Identity) -> None:
    """Make a new member's directory, and note durably whose it is."""
    directory = data_directory / "member"
    data_directory.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    directory.mkdir(mode=_PRIVATE, exist_ok=True)
    content = {
        "format": DIRECTORY_FORMAT,
        "cluster_id": f"{identity.cluster_id:x}",
        "member_id": f"{identity.member_id:x}",
        "birth": f"{identity.birth:x}",
    }
    disk, path = RealDisk(), directory / "identity.json"
    unfinished = path.with_suffix(".new")
    file = disk.create(unfinished)
    file.write(json.dumps(content, indent=1).encode() + b"\n", 0)
    file.sync()
    file.close()
    disk.rename(unfinished, path)
    disk.sync_directory(directory)
    disk.sync_directory(data_directory)


def open_member(  # noqa: PLR0913 - two places, one identity, and the doors
    identity: Identity,
    keyspaces: Keyspaces,
    wal_directory: Path,
    *,
    disk: Disk,
    founders: Membership,
    limits: Limits,
    entropy: Entropy,
    is_alone: bool = False,
) -> OpenedMember:
    """Open, or make, what a member keeps on disk; `founders` counts for a new log only.

    `is_alone`: the other members are lost, and this one goes on as the only one of its cluster
    (etcd's --force-new-cluster). All that its log holds counts as committed.

    Raises:
        MemberFailed: the data contradicts itself or belongs to someone else; nothing was changed.
    """
    wal_identity = WalIdentity(identity.cluster_id, identity.member_id)

    wal, recovered = WriteAheadLog.open(
        wal_directory, disk=disk, limits=limits, identity=wal_identity, entropy=entropy
    )
    if recovered.is_new or recovered.base.index == 0:
        _refuse_orphans(keyspaces)
        begun = Journal.begin_new(wal, founders, generation=_FIRST_GENERATION)
        recovered = replace(begun, failure=recovered.failure, notes=recovered.notes)
    for note in recovered.notes:
        logger.warning("recovered the write-ahead log", extra={"note": note})
    journal = Journal(wal, recovered)
    generation = recovered.base.generation
    _remove_other_generations(keyspaces, generation)
    if is_alone:
        _go_on_alone(wal, journal, identity.member_id, founders)
    if recovered.failure:
        logger.warning("an earlier run ended with a failed sync", extra={"why": recovered.failure})
    backend = keyspaces.open(generation, is_suspect=bool(recovered.failure))
    if recovered.failure:
        wal.forget_failure()
    machine = _open_machine(backend, journal)
    txn = backend.begin_read()
    try:
        membership = meta.membership(txn)
    finally:
        txn.close()
    applied = Applied(
        index=machine.applied.index,
        term=machine.applied.term,
        membership=decode_membership(membership),
        generation=generation,
    )
    return OpenedMember(
        keyspaces=keyspaces, wal=wal, journal=journal, machine=machine, applied=applied
    )


def _go_on_alone(
    wal: WriteAheadLog, journal: Journal, member: MemberId, founders: Membership
) -> None:
    """End the log with a membership of this member alone; the others may never come back."""
    now = journal.membership
    if now.members == {member} and now.voters:
        return
    peer_urls = {**founders.peer_urls, **now.peer_urls}
    alone = Membership(
        voters=frozenset({member}),
        removed=now.removed | now.members - {member},
        peer_urls={member: peer_urls.get(member, ())},
    )
    entry = Entry(
        LogIndex(journal.last_index + 1),
        max(journal.last_term, journal.getCurrentTerm()),
        EntryKind.MEMBERSHIP,
        encode_membership(alone),
    )
    journal.append(entry)
    wal.sync()
    journal.note_durable()
    logger.warning(
        "going on alone: all other members are removed",
        extra={"removed": [f"{other:x}" for other in sorted(alone.removed)]},
    )


def _open_machine(backend: Backend, journal: Journal) -> StateMachine:
    txn = backend.begin_read()
    try:
        meta.check_format(txn)
        at = meta.applied(txn).index
    finally:
        txn.close()
    if at > journal.last_index:
        raise CorruptKeyspace(
            f"the keyspace is applied up to {at}, but the log ends at {journal.last_index}"
        )
    if at == LogIndex(FIRST_INDEX):
        membership = encode_membership(journal.membership_at(at))
        backend.reserve(len(membership), len(Tree))
        stamp = backend.begin_write()
        meta.set_format(stamp)
        meta.set_membership(stamp, membership)
        stamp.commit()
    return StateMachine(backend)


def _refuse_orphans(keyspaces: Keyspaces) -> None:
    """A keyspace without a log is what a lost log leaves behind: never start over beside it."""
    orphans = keyspaces.generations()
    if orphans:
        names = ", ".join(f"keyspace.{generation}" for generation in orphans)
        raise WrongDataDirectory(
            f"the data directory holds {names} but there is no write-ahead log: the log is lost, "
            "or --wal-dir names another place than before"
        )


def _remove_other_generations(keyspaces: Keyspaces, generation: int) -> None:
    for other in keyspaces.generations():
        if other != generation:
            logger.info("removing an unfinished or former keyspace", extra={"generation": other})
            keyspaces.remove(other)
