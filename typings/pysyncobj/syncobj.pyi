"""What kvstore/raft/pysyncobj_engine.py uses, private names included: it pins the exact version."""

from collections.abc import Callable, Mapping

from kvstore.base.ids import LogIndex

from .config import SyncObjConf
from .node import Node
from .transport import Transport

VERSION: str
createJournal: Callable[[object], object]
monotonicTime: Callable[[], float]

class SyncObj:
    _poller: object
    _SyncObj__raftState: int
    _SyncObj__raftCurrentTerm: int
    _SyncObj__raftLastApplied: int
    _SyncObj__raftLeader: Node | None
    _SyncObj__raftElectionDeadline: float
    _SyncObj__newAppendEntriesTime: float
    _SyncObj__transferInProgress: bool
    _SyncObj__noopIDx: int | None
    _SyncObj__otherNodes: Mapping[Node, None]
    _SyncObj__readonlyNodes: Mapping[Node, None]
    _SyncObj__raftNextIndex: dict[Node, LogIndex]
    _SyncObj__raftMatchIndex: dict[Node, LogIndex]
    _SyncObj__lastResponseTime: dict[Node, float]
    _SyncObj__serializer: object
    def __init__(
        self,
        selfNode: Node,
        otherNodes: list[Node],
        conf: SyncObjConf,
        nodeClass: type[Node],
        transport: Transport,
    ) -> None: ...
    @property
    def _SyncObj__raftCommitIndex(self) -> int: ...
    @_SyncObj__raftCommitIndex.setter
    def _SyncObj__raftCommitIndex(self, value: int) -> None: ...
    def doTick(self, timeToWait: float) -> None: ...
    def _checkCommandsToApply(self) -> None: ...
    def _SyncObj__onMessageReceived(self, node: Node, message: dict[str, object]) -> None: ...
    def _SyncObj__sendNextNodeIdx(
        self,
        node: Node,
        reset: bool = False,
        nextNodeIdx: int | None = None,
        success: bool = False,
    ) -> None: ...
    def _SyncObj__sendAppendEntries(self) -> None: ...
    def _SyncObj__connectedToAnyone(self) -> bool: ...
    def _SyncObj__doApplyCommand(self, command: object) -> object: ...
    def _SyncObj__applyLogEntries(self) -> bool: ...
    def _SyncObj__tryLogCompaction(self) -> None: ...
    def _SyncObj__loadDumpFile(self, clearJournal: bool) -> None: ...
    def _SyncObj__changeCluster(self, request: object) -> bool: ...
    def _SyncObj__doChangeCluster(self, request: object, reverse: bool = False) -> bool: ...
    def _SyncObj__setCurrentTerm(self, term: int, votedForNodeId: int | None) -> None: ...
    def _SyncObj__setState(self, newState: int) -> None: ...
    def _SyncObj__generateRaftTimeout(self) -> float: ...
    def _SyncObj__onBecomeLeader(self) -> None: ...
