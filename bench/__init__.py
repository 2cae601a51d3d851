"""Benchmarks against a real etcd on the same machine, disk and minute.

`python -m bench` starts three members of etcd and three of ours, data on one named file system
that is no tmpfs, and measures one cell (workload, requests in flight) after the other, first one
server, then the other, in rounds whose order alternates. What counts is the ratio of the medians
and the CPU time per operation over all three server processes; rates hold for the minute they were
taken.

Parts: `workloads/*.toml` say what is asked and why; `drivers/` generate the load (`h2load` for
fixed bodies, our own client for random keys); `measuring` is one cell on one server; `machine` says
where it ran; `report` writes JSON lines to `results/` and prints the table; `results` reads runs
back and compares them; `picture` draws one.

The load is a closed loop: this many requests are always in flight, a new one starts when one ends.
"""
