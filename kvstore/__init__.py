"""A Raft-replicated, revisioned key-value store that speaks etcd's gRPC v3 API."""
