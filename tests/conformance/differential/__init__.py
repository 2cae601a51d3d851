"""The same operations into a real etcd and into our server, every answer compared.

A seeded generator (`generator`) writes operations over small alphabets, so that keys, leases and
watchers collide all the time. `runner` sends each to both targets and waits for both before the
next: one client, so every answer is determined. `comparing` masks what two clusters can never share
(ids, terms, sizes) and compares the bytes of the rest. Watches (`watching`) are compared with the
events that follow from the recorded history, on both sides. What we do on purpose unlike the
reference stands in one table, `differences`. `statistics` counts what was exercised.

A failure names its seed and its operation; the same seed replays it.
"""
