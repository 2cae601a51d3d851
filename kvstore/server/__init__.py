"""The composition root: the only place that builds objects, and knows sockets, threads and signals.

`flags` reads etcd's flags and variables; `config` makes them one frozen value, or says everything
that is wrong; `identity` derives ids; `logs` writes JSON lines. `server` builds a member from a
configuration and runs it; `runtime` gives it the loop and its disk threads; `listener` is the
client port; `metrics` what /metrics shows.

Below this package nobody reads flags or the environment. Reading order: config, server, the rest.
"""
