"""Messages and stubs generated from `proto/`, in a descriptor pool of their own.

`python tools/generate_proto.py` writes the `*_pb2*` files; nothing else here is generated. Never
edit them: change the .proto file and run the tool (its `--check` fails when they differ).

Protobuf's default pool allows one definition per file name and message name in a process. etcd
clients in Python all bring their own `rpc.proto`, so ours live in `pool.POOL` and can share a
process with any of them. The wire is untouched: packages keep etcd's names (`etcdserverpb`, ...).
"""
