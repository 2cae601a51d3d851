"""Any method of etcd's services, by its full name: one request in, one status and answer out."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from kvstore.wire.pb import kv_pb2, rpc_pb2, v3election_pb2, v3lock_pb2

Metadata = tuple[tuple[str, str], ...]

_CHANNEL_OPTIONS = (("grpc.use_local_subchannel_pool", 1),)
_STREAM_S = 10.0
"""How long the first answer of a stream may take."""


def all_methods() -> dict[str, MethodDescriptor]:
    """Every method of every service of the wire reference, by its path."""
    return {
        f"/{service.full_name}/{method.name}": method
        for module in (rpc_pb2, v3lock_pb2, v3election_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }


METHODS = all_methods()


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended; of a stream, what its first message was."""

    code: str
    text: str
    message: Message | None = None

    @property
    def decision(self) -> tuple[str, str]:
        """Code and text, without what was answered."""
        return self.code, self.text


class AnyRpc:
    """Calls to one endpoint, secured or not."""

    def __init__(self, endpoint: str, credentials: grpc.ChannelCredentials | None = None) -> None:
        if credentials is None:
            self._channel = grpc.insecure_channel(endpoint, options=_CHANNEL_OPTIONS)
        else:
            self._channel = grpc.secure_channel(endpoint, credentials, options=_CHANNEL_OPTIONS)

    def call(
        self, path: str, request: Message, metadata: Metadata = (), *, timeout_s: float = 20.0
    ) -> Answer:
        """Send one request; of a stream take the first message."""
        method = METHODS[path]
        if not method.server_streaming:
            return self._unary(method, path, request, metadata, timeout_s)
        return self._stream(method, path, request, metadata)

    def stream(self, path: str, request: Message) -> "Responses":
        """Open a server's stream."""
        return Responses(
            self._channel.unary_stream(
                path,
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=GetMessageClass(METHODS[path].output_type).FromString,
            )(request, timeout=60, wait_for_ready=True)
        )

    def events(
        self, create: rpc_pb2.WatchRequest, metadata: Metadata = (), *, timeout_s: float = 30.0
    ) -> Iterator[kv_pb2.Event]:
        """Watch; yield what happens, until `timeout_s` have passed."""
        sent = threading.Event()

        def requests() -> Iterator[Message]:
            yield create
            sent.wait()  # the stream stays open

        responses = self._channel.stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=rpc_pb2.WatchRequest.SerializeToString,
            response_deserializer=rpc_pb2.WatchResponse.FromString,
        )(requests(), metadata=metadata, timeout=timeout_s, wait_for_ready=True)
        try:
            for response in responses:
                yield from response.events
        finally:
            sent.set()
            responses.cancel()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _unary(
        self,
        method: MethodDescriptor,
        path: str,
        request: Message,
        metadata: Metadata,
        timeout_s: float,
    ) -> Answer:
        call = self._channel.unary_unary(
            path,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        try:
            message = call(request, metadata=metadata, timeout=timeout_s, wait_for_ready=True)
        except grpc.RpcError as error:
            return Answer(error.code().name, error.details() or "")
        return Answer("OK", "", message)

    def _stream(
        self, method: MethodDescriptor, path: str, request: Message, metadata: Metadata
    ) -> Answer:
        def requests() -> Iterator[Message]:
            yield request

        kind = self._channel.stream_stream if method.client_streaming else None
        if kind is None:
            responses = self._channel.unary_stream(
                path,
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=GetMessageClass(method.output_type).FromString,
            )(request, metadata=metadata, timeout=_STREAM_S, wait_for_ready=True)
        else:
            responses = kind(
                path,
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=GetMessageClass(method.output_type).FromString,
            )(requests(), metadata=metadata, timeout=_STREAM_S, wait_for_ready=True)
        try:
            message = next(iter(responses))
        except StopIteration:
            return Answer("OK", "the stream ended")
        except grpc.RpcError:
            return Answer(responses.code().name, responses.details() or "")
        responses.cancel()
        reason = getattr(message, "cancel_reason", "")
        return Answer("OK", f"canceled: {reason}" if reason else "", message)


class Responses:
    """The messages of a server's stream."""

    def __init__(self, call: "grpc.CallIterator[Message]") -> None:
        self._call = call
        self._messages = iter(call)

    def __next__(self) -> Message:
        return next(self._messages)

    def close(self) -> None:
        """Cancel the stream."""
        self._call.cancel()
