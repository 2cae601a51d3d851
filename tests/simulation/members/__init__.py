"""Whole members in one thread: engine, log, apply, keyspace, watches, leases and services.

`machine` is one computer with a member on it; `cluster` connects some and lets faults rage;
`clients`, `lease_clients` and `watchers` use them as programs do, and keep records; `oracle` sees
what every member applies; `judgement` holds the records against that history. `profile` draws what
a seed's world is like. All is decided by the seed.

`python -m tests.simulation.members --seeds 0:200 --jobs 2`
"""
