"""A relay between a kube-apiserver and a cluster that writes down what the apiserver asks.

    python tools/interop/kube_apiserver/record.py CLUSTER_ENDPOINT LISTEN_PORT FILE

FILE gets a line a request, in the order of their arrival: the method, and the protobuf request in
base64; of a stream each message of the client is a line. It is what tests/conformance/recorded
keeps, compressed, and tests/conformance/test_kube_traffic.py sends again.
"""

import base64
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TextIO

import grpc

STREAMS = ("/Watch", "/LeaseKeepAlive", "/Snapshot")
_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def _as_it_is(message: bytes) -> bytes:
    return message


class Relay(grpc.GenericRpcHandler):
    """Carries every call on, and writes its requests down."""

    def __init__(self, channel: grpc.Channel, record: TextIO) -> None:
        self._channel = channel
        self._record = record
        self._lock = threading.Lock()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """Return what carries calls of one method on."""
        method = details.method
        metadata = tuple(item for item in details.invocation_metadata if item[0] == "hasleader")
        if method.endswith(STREAMS):
            forward = self._channel.stream_stream(method, _as_it_is, _as_it_is)

            def stream(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
                call = forward(self._noted(method, requests), metadata=metadata)

                def cancel() -> None:
                    call.cancel()

                context.add_callback(cancel)
                try:
                    yield from call
                except grpc.RpcError as error:
                    context.abort(error.code(), error.details() or "")

            return grpc.stream_stream_rpc_method_handler(stream)
        ask = self._channel.unary_unary(method, _as_it_is, _as_it_is)

        def unary(request: bytes, context: grpc.ServicerContext) -> bytes:
            self._note(method, request)
            try:
                return ask(request, metadata=metadata, timeout=30)
            except grpc.RpcError as error:
                context.abort(error.code(), error.details() or "")
                raise

        return grpc.unary_unary_rpc_method_handler(unary)

    def _noted(self, method: str, requests: Iterator[bytes]) -> Iterator[bytes]:
        for request in requests:
            self._note(method, request)
            yield request

    def _note(self, method: str, request: bytes) -> None:
        with self._lock:
            self._record.write(f"{method} {base64.b64encode(request).decode()}\n")
            self._record.flush()


def main() -> None:
    """Relay until interrupted."""
    endpoint, port, file = sys.argv[1:]
    with Path(file).open("w") as record, ThreadPoolExecutor(500) as pool:
        channel = grpc.insecure_channel(endpoint, _OPTIONS)
        server = grpc.server(pool, handlers=[Relay(channel, record)], options=_OPTIONS)
        server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        server.wait_for_termination()


if __name__ == "__main__":
    main()
