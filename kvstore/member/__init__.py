"""One server of the cluster, as the services above see it.

`member` moves everything in turns; `proposals` and `reads` hold who waits; `forwarding` carries
batches to the leader; `lease_keeper` finds the leader's deadlines; `housekeeping` does what no
request asks for; `snapshots` brings a member up that lags too far; `bootstrap` opens a member
from its disk; `node` wires all that for whoever runs one. Nothing here waits, and nothing here
knows sockets or threads: `ports` names what the machine must bring, so that a simulation can bring
its own.

Owner of: who waits for which answer. The log is the journal's, the keyspace the state machine's.
Reading order: member, proposals, reads, then the rest.
"""

from kvstore.member.config import MemberConfig
from kvstore.member.housekeeping import Housekeeping
from kvstore.member.lease_keeper import LeaseKeeper
from kvstore.member.member import Member

__all__ = ["Housekeeping", "LeaseKeeper", "Member", "MemberConfig"]
