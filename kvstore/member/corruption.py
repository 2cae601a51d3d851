"""Members compare the hashes of their keyspaces: equal histories, or one of them is corrupt.

    request  := "q" number (u64) revision (i64)
    response := "h" number (u64) found (u8) hash (u32) hashed, compacted, current (i64 each)

`found` is 0 if the member cannot hash that revision: it has not got there, or has compacted it.
A hash is comparable with one of equal revision and equal compact revision, and with no other.

The leader compares, every so often, everything (`--corrupt-check-time`) or what is left at the last
compaction (`--compact-hash-check-time`), and raises the CORRUPT alarm for those whom the majority
contradicts; if no hash has a majority, for nobody in particular (member 0). A member may compare
itself once, before it serves anybody (`InitialCorruptCheck`). Hashing runs in slices.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from struct import Struct

from kvstore.apply import Outcome
from kvstore.apply.alarms import CORRUPT
from kvstore.apply.command import OperationKind
from kvstore.base.errors import ProtocolError, RpcError
from kvstore.base.ids import MemberId
from kvstore.member.config import CorruptionConfig
from kvstore.member.member import Member
from kvstore.mvcc import HashResult, HashSlices, ReadView
from kvstore.raft.peer_session import Channel
from kvstore.wire.pb import rpc_pb2

logger = logging.getLogger(__name__)

_REQUEST = Struct("<cQq")
_RESPONSE = Struct("<cQBIqqq")
_REQUEST_KIND = b"q"
_RESPONSE_KIND = b"h"
NOBODY = MemberId(0)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one member says about its keyspace."""

    hash: HashResult | None
    """None: it could not hash the revision that was asked for."""
    current: int
    """Its revision by then."""
    compacted: int


Compared = Callable[[Mapping[MemberId, Answer]], None]


def contradicted(own: MemberId, voters: int, answers: Mapping[MemberId, Answer]) -> set[MemberId]:
    """Return the members whose hash is not the majority's; `NOBODY` if no hash has one.

    Only those count that are comparable with this member's own answer.
    """
    mine = answers[own].hash
    if mine is None:
        return set()
    hashes = {
        member: answer.hash.crc
        for member, answer in answers.items()
        if answer.hash is not None and answer.hash[1:] == mine[1:]
    }
    if len(set(hashes.values())) <= 1:
        return set()
    crc, count = Counter(hashes.values()).most_common(1)[0]
    if count <= voters // 2:
        return {NOBODY}
    return {member for member, found in hashes.items() if found != crc}


class _Round:
    """One comparison under way."""

    def __init__(self, members: set[MemberId], compared: Compared) -> None:
        self.waiting = members
        self.deadline = float("inf")
        """Not before this member has hashed its own keyspace."""
        self.compared = compared
        self.answers: dict[MemberId, Answer] = {}


class CorruptionCheck:
    """Hashes for others, and compares with them."""

    def __init__(self, member: Member, config: CorruptionConfig) -> None:
        self._member = member
        self._config = config
        self._next_number = 1
        self._rounds: dict[int, _Round] = {}
        self._hashing_for: dict[MemberId, int] = {}
        """The newest request of each member; an older one is given up."""
        now = member.clock.monotonic()
        self._due = now + config.interval_s
        self._compaction_due = now + config.compaction_interval_s
        self._compared_compaction = 0
        member.receivers[Channel.HASH] = self._receive

    def tick(self) -> None:
        """Begin what is due, and end what has waited for too long."""
        now = self._member.clock.monotonic()
        for number, one in list(self._rounds.items()):
            if now >= one.deadline:
                self._finish(number, one)
        config, store = self._config, self._member.machine.store
        if config.interval_s > 0 and now >= self._due:
            self._due = now + config.interval_s
            if self._member.is_leader and not self._rounds:
                self._compare(store.revision, self._judge)
        if config.compares_compactions and now >= self._compaction_due:
            self._compaction_due = now + config.compaction_interval_s
            compacted = store.compact_revision
            if self._member.is_leader and compacted > self._compared_compaction:
                self._compared_compaction = compacted
                self._compare(compacted, self._judge)

    def check_itself(self, done: Callable[[bool], None]) -> None:
        """Compare this member with the others at its own revision; tell whether it is like them.

        Who does not answer in time, or cannot, says nothing.
        """
        own = self._member.id

        def compared(answers: Mapping[MemberId, Answer]) -> None:
            mine = answers[own].hash
            others = [answer.hash for other, answer in answers.items() if other != own]
            done(
                all(
                    other is None or mine is None or other[1:] != mine[1:] or other == mine
                    for other in others
                )
            )

        self._compare(self._member.machine.store.revision, compared)

    # --- comparing

    def _compare(self, revision: int, compared: Compared) -> None:
        member = self._member
        others = set(member.consensus.membership.members) - {member.id}
        linked = set(filter(member.links.is_linked, others))
        number = self._next_number
        self._next_number += 1
        started = member.clock.monotonic()
        one = self._rounds[number] = _Round({member.id, *linked}, compared)

        def hashed(answer: Answer) -> None:
            # Only now are the others asked: by now they have applied as much. What took so long
            # here takes them as long.
            now = member.clock.monotonic()
            one.deadline = now + 2 * (now - started) + member.config.request_timeout_s
            for other in linked:
                request = _REQUEST.pack(_REQUEST_KIND, number, revision)
                member.links.send(other, Channel.HASH, request)
            self._answered(number, member.id, answer)

        self._hash(revision, hashed, is_wanted=lambda: number in self._rounds)

    def _answered(self, number: int, sender: MemberId, answer: Answer) -> None:
        one = self._rounds.get(number)
        if one is None or sender not in one.waiting:
            return
        one.waiting.discard(sender)
        one.answers[sender] = answer
        if not one.waiting:
            self._finish(number, one)

    def _finish(self, number: int, one: _Round) -> None:
        del self._rounds[number]
        one.compared(one.answers)

    def _judge(self, answers: Mapping[MemberId, Answer]) -> None:
        """Raise the alarm for whom the answers convict, once this leader knows what all know."""

        def confirmed(error: RpcError | None) -> None:
            member = self._member
            if error is not None or not member.is_leader:
                return
            store = member.machine.store
            voters = len(member.consensus.membership.voters)
            found = contradicted(member.id, voters, answers)
            found |= {
                other
                for other, answer in answers.items()
                # A leader that was confirmed after it was answered is behind nobody.
                if answer.current > store.revision or answer.compacted > store.compact_revision
            }
            if not found:
                logger.info("finished corruption check", extra={"members": len(answers)})
            for other in sorted(found):
                self._raise_alarm(other)

        self._member.read(confirmed)

    def _raise_alarm(self, corrupt: MemberId) -> None:
        if (corrupt, CORRUPT) in self._member.machine.alarms.raised(CORRUPT):
            return
        logger.error("the members' data differ", extra={"corrupt": f"{corrupt:x}"})
        request = rpc_pb2.AlarmRequest(
            action=rpc_pb2.AlarmRequest.ACTIVATE, memberID=corrupt, alarm=rpc_pb2.CORRUPT
        )

        def done(outcome: Outcome) -> None:
            if isinstance(outcome, RpcError):
                logger.error("the alarm was not raised", extra={"why": outcome.message})

        self._member.propose(OperationKind.ALARM, request.SerializeToString(), done)

    # --- hashing

    def _hash(
        self, revision: int, hashed: Callable[[Answer], None], *, is_wanted: Callable[[], bool]
    ) -> None:
        """Hash this member's keyspace at `revision`, in slices, as long as somebody wants it."""
        view = self._member.machine.store.view()
        try:
            slices = view.hash_kv(revision)
        except RpcError:
            hashed(self._answer(None, view))
            view.close()
            return
        self._slice(view, slices, hashed, is_wanted)

    def _slice(
        self,
        view: ReadView,
        slices: HashSlices,
        hashed: Callable[[Answer], None],
        is_wanted: Callable[[], bool],
    ) -> None:
        if not is_wanted():
            view.close()
            return
        try:
            next(slices)
        except StopIteration as end:
            hashed(self._answer(end.value, view))
            view.close()
        else:
            step = partial(self._slice, view, slices, hashed, is_wanted)
            self._member.scheduler.soon(step)

    @staticmethod
    def _answer(found: HashResult | None, view: ReadView) -> Answer:
        return Answer(found, view.revision, view.compact_revision)

    # --- between members

    def _receive(self, sender: MemberId, message: bytes) -> None:
        if message[:1] == _REQUEST_KIND and len(message) == _REQUEST.size:
            _, number, revision = _REQUEST.unpack(message)
            self._serve(sender, number, revision)
        elif message[:1] == _RESPONSE_KIND and len(message) == _RESPONSE.size:
            _, number, is_found, crc, hashed, compacted, current = _RESPONSE.unpack(message)
            found = HashResult(crc, compacted, hashed) if is_found else None
            self._answered(number, sender, Answer(found, current, compacted))
        else:
            raise ProtocolError("unknown message on the hash channel")

    def _serve(self, sender: MemberId, number: int, revision: int) -> None:
        self._hashing_for[sender] = number

        def hashed(answer: Answer) -> None:
            del self._hashing_for[sender]
            found = answer.hash
            message = _RESPONSE.pack(
                _RESPONSE_KIND,
                number,
                found is not None,
                0 if found is None else found.crc,
                revision if found is None else found.hash_revision,
                answer.compacted,
                answer.current,
            )
            self._member.links.send(sender, Channel.HASH, message)

        self._hash(revision, hashed, is_wanted=lambda: self._hashing_for.get(sender) == number)
