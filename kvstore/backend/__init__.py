"""Ordered trees of bytes with snapshots and one writer, behind the `Backend` port.

`backend` is the port, `schema` the trees; `lmdb_backend` is what members run on, `memory_backend`
what simulations do. Both pass one contract test. Durability is the checkpoint's concern: a commit
survives the end of the process, a checkpoint also a power cut, and the write-ahead log holds what
came after it.
"""
