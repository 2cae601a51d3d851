"""`/debug/vars`: what the process is and does, as Go's expvar shows it."""

import resource
import sys

from kvstore.member import Member
from kvstore.raft.consensus import Role

_STATES = {Role.LEADER: "StateLeader", Role.FOLLOWER: "StateFollower"}


def variables(member: Member) -> dict[str, object]:
    """Return the variables by name; values are of the types of JSON."""
    consensus, backend = member.consensus, member.machine.backend
    usage = resource.getrusage(resource.RUSAGE_SELF)
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return {
        "cmdline": [sys.argv[0]],  # flags may name secrets' places
        "memstats": {"Sys": usage.ru_maxrss * 1024, "BackendBytes": backend.size_bytes},
        "file_descriptor_limit": files,
        "raft.status": {
            "id": f"{member.id:x}",
            "term": consensus.term,
            "commit": consensus.commit_index,
            "applied": member.machine.applied.index,
            "lead": f"{consensus.leader or 0:x}",
            "raftState": _STATES.get(consensus.role, "StateCandidate"),
        },
    }
