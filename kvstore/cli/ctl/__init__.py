"""What `kvstorectl` is made of: a drop-in for etcdctl 3.6.

    commands.py      the command tree, global flags, and the way from an error to an exit code
    settings.py      flags and ETCDCTL_* variables, as one value
    session.py       a client made from the settings
    keys, transactions, watches, leases, cluster   the commands, by subject
    txn_grammar.py   the language that `txn` reads: pure
    go_text.py       quoting, sizes and durations as Go prints them: pure
    output/          a reply as simple, json, fields, table or protobuf: pure

grpcio and the client are imported only when a command runs: `--help` and completion stay fast.
"""
