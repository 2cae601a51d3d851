"""An `h2` client that opens, cancels, stalls and shrinks at random; every answer must be whole."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from tests.support.http2_pair import Http2Pair, Response, grpc_headers, message

_SLOW_WINDOW, _SLOW_BYTES_MAX = 1, 200
"""Through a window of one byte each byte takes a round trip: few are sent then."""


class AdversarialPeer(RuleBasedStateMachine):
    """Model: what each call sent is what it gets back, in order, once the windows allow."""

    unary = Bundle("unary")
    streams = Bundle("streams")

    def __init__(self) -> None:
        super().__init__()
        self.pair = Http2Pair()
        self.expected: dict[int, bytes] = {}
        self.cancelled: set[int] = set()
        self.kept: list[tuple[int, int]] = []
        self.window = 65_535

    def _next_id(self) -> int:
        return self.pair.client.get_next_available_stream_id()

    def _unanswered_bytes(self) -> int:
        return sum(
            len(expected) - len(self.pair.responses[stream_id].body)
            for stream_id, expected in self.expected.items()
            if stream_id not in self.cancelled
        )

    def _is_slow(self, size: int) -> bool:
        return self.window == _SLOW_WINDOW and self._unanswered_bytes() + size > _SLOW_BYTES_MAX

    @rule(size=st.sampled_from([0, 1, 100, 20_000, 90_000]), at_once=st.booleans())
    def call(self, size: int, at_once: bool) -> None:
        if self.pair.client.outbound_flow_control_window < size + 5 or self._is_slow(size):
            return
        stream_id = self._next_id()
        self.pair.service.answers_at_once = at_once
        count = len(self.pair.service.calls)
        body = bytes([stream_id % 251]) * size
        self.pair.request(grpc_headers("/test.Echo/Unary", ("n", str(stream_id))), message(body))
        assert len(self.pair.service.calls) == count + 1
        if not at_once:
            self.kept.append((stream_id, count))
        self.expected[stream_id] = message(body)

    @rule()
    def answer_the_oldest(self) -> None:
        if self.kept:
            stream_id, place = self.kept.pop(0)
            call, request = self.pair.service.calls[place]
            assert call.is_open is (stream_id not in self.cancelled)
            call.reply(request)
            self.pair.exchange()

    @rule(target=streams)
    def open_stream(self) -> int:
        stream_id = self._next_id()
        self.pair.request(grpc_headers("/test.Echo/Stream"), is_end=False)
        self.expected[stream_id] = b""
        return stream_id

    @rule(stream_id=streams, sizes=st.lists(st.sampled_from([0, 10, 5000, 15_000]), max_size=4))
    def send(self, stream_id: int, sizes: list[int]) -> None:
        for size in sizes:
            if stream_id in self.cancelled or self._is_slow(size):
                return
            data = message(b"s" * size)
            self.pair.client.send_data(stream_id, data)
            self.expected[stream_id] += data
        self.pair.exchange()

    @rule(stream_id=streams)
    def cancel(self, stream_id: int) -> None:
        if stream_id not in self.cancelled and len(self.cancelled) < 100:
            self.pair.client.reset_stream(stream_id)
            self.cancelled.add(stream_id)
            self.pair.exchange()

    @rule(size=st.sampled_from([0, 1, 1000, 65_535, 1_000_000]))
    def change_initial_window(self, size: int) -> None:
        if size == _SLOW_WINDOW and self._unanswered_bytes() > _SLOW_BYTES_MAX:
            return
        self.window = size
        self.pair.client.update_settings({4: size})
        self.pair.exchange()

    @rule(size=st.sampled_from([0, 64, 200, 4096]))
    def change_table_size(self, size: int) -> None:
        self.pair.client.update_settings({1: size})
        self.pair.exchange()

    @rule(acknowledges=st.booleans())
    def stall_or_go_on(self, acknowledges: bool) -> None:
        self.pair.acknowledges_data = acknowledges

    @rule(is_writable=st.booleans())
    def block_the_socket(self, is_writable: bool) -> None:
        self.pair.server.sender.set_writable(is_writable=is_writable)
        self.pair.exchange()

    @invariant()
    def answers_are_prefixes_of_what_is_expected(self) -> None:
        assert self.pair.goaway is None
        for stream_id, expected in self.expected.items():
            response = self.pair.responses[stream_id]
            assert expected.startswith(response.body)

    def teardown(self) -> None:
        """Open every window: all that was not cancelled must come to its end."""
        pair = self.pair
        pair.server.sender.set_writable(is_writable=True)
        pair.acknowledges_data = True
        while self.kept:
            self.answer_the_oldest()
        pair.client.increment_flow_control_window(
            min(
                2**31 - 1 - pair.client._inbound_flow_control_window_manager.current_window_size,
                1 << 28,
            )
        )
        for stream_id in self.expected:
            if stream_id not in self.cancelled and not pair.responses[stream_id].is_ended:
                pair.client.increment_flow_control_window(1 << 28, stream_id=stream_id)
        pair.exchange()
        for stream_id, expected in self.expected.items():
            if stream_id not in self.cancelled:
                response: Response = pair.responses[stream_id]
                assert response.body == expected
        assert pair.server.sender.queued_bytes == 0
        super().teardown()


TestAdversarialPeer = AdversarialPeer.TestCase
TestAdversarialPeer.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
