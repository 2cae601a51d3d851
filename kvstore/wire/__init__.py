"""Bytes on the wire, without I/O: HTTP/2, gRPC, HTTP/1.1 and protobuf.

Nothing here knows sockets, tasks or clocks: bytes come in with the instant `now`, calls go out to
routes, and what is to be sent is taken by the shell (`kvstore.server.listener`). So every
behaviour of the port, timeouts included, is tested by function calls.

- `http2/`: frames, header compression, flow control, one connection's state machine.
- `grpc/`: messages and calls over http2's streams.
- `http1`: HTTP/1.1 on the same port; `plain`: requests that are not gRPC, from either version.
- `protobuf`: varints and fields for hand-built messages; `pb/`: generated messages.

Why not grpcio's server: it costs 190-260 µs of CPU a call and owns its socket, so that HTTP could
not share the port; here a unary call costs 5-8 µs.
"""
