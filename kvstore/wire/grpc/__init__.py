"""gRPC over `kvstore.wire.http2`, the server's half.

- `framing`: length-prefixed messages, gzip with a bound.
- `metadata`: timeouts, `-bin` values, status texts.
- `dispatch`: requests to routes; refusals with grpc-go's codes and texts, which clients match.
- `calls`: what a service holds: `UnaryCall` and `StreamCall`, the ports of `kvstore.rpc.call`.
- `replies`: responses as frames, with the hot path for a unary reply.

A call is answered by whoever holds it, in the same loop turn or any later one; no task or future
stands behind it.
"""
