"""The command lines: flags in, calls, printing out. No decision of the store is made here.

- `server`: `kvstored`, a member, with etcd's flags (read by `kvstore.server.flags`).
- `control` and `ctl/`: `kvstorectl`, which takes what etcdctl takes.
- `umbrella`: `kvstore`, the commands for people, imported when they are called.
- `local` and `local_*`: clusters on one machine. `local_topology` decides who listens where and
  with which flags (pure); `local_process` starts, asks and stops processes; `local_up` holds a
  cluster in the foreground; `local_ports` names who has a port; `local_view` and `local_table`
  print.

Imports of what is heavy (grpc, rich, the server) wait until a command needs them, so that help and
mistakes answer at once; a test holds that.
"""
