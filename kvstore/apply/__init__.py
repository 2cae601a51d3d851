"""The replicated state machine: entries in, answers and events out, the same on every member.

`command` is what an entry holds; `state_machine` applies it; `operations` and `txn` are the
requests, `reply` their answers; `alarms` and `meta` what is kept beside the keys; `snapshot` the
whole state, out and in. Everything here is a function of the state and the entry: ids and times
are chosen by the proposer. A refusal is an outcome, equal on every member; any other exception
stops the member.

Reading order: command, state_machine, operations, txn, reply.
"""

from kvstore.apply.reply import Outcome, Reply
from kvstore.apply.state_machine import AppliedTurn, StateMachine, Turn, attributes_operation

__all__ = ["AppliedTurn", "Outcome", "Reply", "StateMachine", "Turn", "attributes_operation"]
