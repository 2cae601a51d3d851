"""The server's half of HTTP/2 (RFC 9113, RFC 7541), without I/O.

```
bytes → connection.receive → header_decoder, request_head → Requests.whole | open → Consumer
bytes ← sender.take ← headers, data, end, respond ← whoever answers
```

- `connection`: the state machine of one client's connection; owns its streams' receiving half.
- `sender`: windows, queues and turns of the sending half. Data waits in its stream, never in the
  socket's buffer alone, so that a slow reader can be seen and bounded.
- `stream`: what both halves know of a stream. `frames`, `errors`, `abuse`: bytes, codes, limits.
- `header_decoder`, `header_encoder`, `request_head`: header compression and what it carries.
- `plain`: requests that are not gRPC.

Invariants: the outcome never depends on how bytes were cut into segments; an error of the peer ends
one stream or the connection, never raises to the shell; all that a peer can make us hold is
bounded (header lists, unfinished bodies, resets and control frames a second, unsent bytes).

The hot path is a request in one piece whose header block was seen before at the same version of the
dynamic table: no header is decoded, no consumer made. Its model is the general path beside it.
"""
