"""HTTP/1.1 on the client port, without I/O: one request at a time, by the `h11` library.

For `/health`, `/metrics`, `/version` and the JSON gateway. A client may send its next request
before the answer to the last; it is read once that answer has gone.
"""

from collections.abc import Callable, Mapping

import h11

from kvstore.wire.plain import TOO_LARGE, BodyEvents, PlainRequest, PlainResponse, ServePlain

_ERROR_HEADERS = [("content-type", "text/plain; charset=utf-8"), ("connection", "close")]

_METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE")


def starts_http1(first_bytes: bytes) -> bool | None:
    """Return whether a client speaks HTTP/1; None while its first bytes do not tell."""
    method, space, _ = first_bytes.partition(b" ")
    if space:
        return method in _METHODS
    return None if any(known.startswith(first_bytes) for known in _METHODS) else False


class Http1Connection:
    """One client's HTTP/1.1 connection.

    After an error, or when either side wants no further request, `is_closing` is true: flush, then
    close.
    """

    def __init__(  # noqa: PLR0913 - what the shell knows of the client, and where to go with it
        self,
        serve: ServePlain,
        *,
        body_bytes_max: int,
        header_bytes_max: int,
        wake: Callable[[], None],
        client_name: str = "",
        is_secure: bool = False,
    ) -> None:
        """`client_name`: the common name of the client's verified certificate."""
        self.is_closing = False
        self.is_ready = False
        """A whole request head has arrived."""
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=header_bytes_max)
        self._serve = serve
        self._body_bytes_max = body_bytes_max
        self._wake = wake
        self._out: list[bytes] = []
        self._request: h11.Request | None = None
        self._body = bytearray()
        self._stalled_since: float | None = None
        self._is_serving = False
        self._is_reading = False
        self._is_draining = False
        self._client_name = client_name
        self._is_secure = is_secure
        self._exchange: _Exchange | None = None
        """The request that is being served."""
        self.is_writable = True
        """Whether the socket takes more; what is streamed waits here otherwise."""

    @property
    def is_idle(self) -> bool:
        """Whether no request is being served."""
        return not self._is_serving

    def receive(self, data: bytes, now: float) -> None:
        """Take the bytes that arrived at `now`; `b""` is the peer's end."""
        self._stalled_since = now
        if self.is_closing:
            return
        self._http.receive_data(data)
        self._read()

    def tick(self, now: float, *, stalled_timeout_s: float) -> None:
        """Judge whether the client owes us the rest of a request; called about once a second."""
        if self._request is None or self._is_serving:
            self._stalled_since = None
        elif self._stalled_since is None:
            self._stalled_since = now
        elif now - self._stalled_since >= stalled_timeout_s:
            self._close()

    def begin_shutdown(self) -> None:
        """Serve what is being served, then close."""
        self._is_draining = True
        if not self._is_serving:
            self._close()

    @property
    def unsent_bytes(self) -> int:
        """Bytes that wait for the socket."""
        return sum(map(len, self._out))

    def set_writable(self, *, is_writable: bool) -> None:
        """Hear from the socket whether it takes more."""
        self.is_writable = is_writable
        if is_writable:
            self._wake()
            if self._exchange is not None:
                self._exchange.drained()

    def lost(self) -> None:
        """The connection is gone."""
        self.is_closing = True
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.lost()

    def take(self) -> bytes:
        """Return what is to be written now."""
        if not self.is_writable:
            return b""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def _read(self) -> None:
        if self._is_reading:
            return  # an answer given at once: the loop below goes on
        self._is_reading = True
        try:
            while not self._is_serving and not self.is_closing:
                event = self._http.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    return
                self._take_event(event)
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint)
        finally:
            self._is_reading = False

    def _take_event(self, event: object) -> None:
        if isinstance(event, h11.Request):
            self.is_ready = True
            self._request = event
            if self._http.they_are_waiting_for_100_continue:
                self._send(h11.InformationalResponse(status_code=100, headers=[]))
        elif isinstance(event, h11.Data):
            self._body += event.data
            if len(self._body) > self._body_bytes_max:
                self._answer(TOO_LARGE, must_close=True)
        elif isinstance(event, h11.EndOfMessage):
            assert self._request is not None
            headers: dict[str, str] = {}
            for name, value in self._request.headers:
                text = value.decode("latin-1")
                key = name.decode("latin-1")
                headers[key] = f"{headers[key]},{text}" if key in headers else text
            request = PlainRequest(
                self._request.method.decode("latin-1"),
                self._request.target.decode("latin-1"),
                headers,
                bytes(self._body),
                self._client_name,
                self._is_secure,
            )
            self._body.clear()
            self._is_serving = True
            self._exchange = _Exchange(self)
            self._serve(request, self._exchange)
        elif isinstance(event, h11.ConnectionClosed):
            self._close()

    def respond(self, response: PlainResponse) -> None:
        """Send a whole response to the request that is being served."""
        if self.is_closing:
            return
        self._answer(response, must_close=self._is_draining)
        self._served()

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head of a response whose body follows, in chunks."""
        if not self.is_closing:
            self._send(h11.Response(status_code=status, headers=list(headers.items())))

    def write(self, data: bytes) -> None:
        """Send a part of that body."""
        if not self.is_closing:
            self._send(h11.Data(data=data))

    def end(self) -> None:
        """End that body."""
        if not self.is_closing:
            self._send(h11.EndOfMessage())
            self._served()

    def _served(self) -> None:
        self._is_serving = False
        self._request = None
        self._exchange = None
        if self.is_closing:
            return
        if self._is_draining:
            self._close()
            return
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            self._read()
        else:
            self._close()

    def _answer(self, response: PlainResponse, *, must_close: bool) -> None:
        headers = [*response.headers.items(), ("content-length", str(len(response.body)))]
        if must_close:
            headers.append(("connection", "close"))
        self._send(h11.Response(status_code=response.status, headers=headers))
        if response.body and not (self._request and self._request.method == b"HEAD"):
            self._send(h11.Data(data=response.body))
        self._send(h11.EndOfMessage())
        if must_close:
            self._close()

    def _refuse(self, status: int) -> None:
        """Answer an unreadable request, if an answer can still be told from others."""
        if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            headers = [*_ERROR_HEADERS, ("content-length", "0")]
            self._send(h11.Response(status_code=status, headers=headers))
            self._send(h11.EndOfMessage())
        self._close()

    def _send(
        self, event: h11.InformationalResponse | h11.Response | h11.Data | h11.EndOfMessage
    ) -> None:
        data = self._http.send(event)
        if data:
            self._out.append(data)
            self._wake()

    def _close(self) -> None:
        self.is_closing = True
        self._wake()


class _Exchange:
    """One request's `Respond`, and the `Body` of its response."""

    def __init__(self, connection: Http1Connection) -> None:
        self._connection = connection
        self._is_answered = False
        self._is_lost = False
        self._events: BodyEvents | None = None

    @property
    def is_open(self) -> bool:
        return not self._is_answered and not self._is_lost

    def __call__(self, response: PlainResponse) -> None:
        if self.is_open:
            self._is_answered = True
            self._connection.respond(response)

    def begin(self, status: int, headers: Mapping[str, str], events: BodyEvents) -> "_Exchange":
        assert not self._is_answered
        self._is_answered = True
        self._events = events
        self._connection.begin(status, headers)
        return self

    @property
    def unsent_bytes(self) -> int:
        return self._connection.unsent_bytes

    def write(self, data: bytes) -> None:
        if self._events is not None:
            self._connection.write(data)

    def end(self) -> None:
        if self._events is not None:
            self._events = None
            self._connection.end()

    def drained(self) -> None:
        """The socket takes more."""
        if self._events is not None:
            self._events.drained()

    def lost(self) -> None:
        """The connection is gone."""
        self._is_lost = True
        events, self._events = self._events, None
        if events is not None:
            events.closed()
