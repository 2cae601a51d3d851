"""What ends a client's stream from within the member, whatever service it belongs to."""

from collections.abc import Callable

from kvstore.base.errors import RpcError
from kvstore.rpc.call import StreamCall

EndStream = Callable[[RpcError], None]
"""Ends the stream with the error's status; later calls do nothing."""

StreamGuard = Callable[[StreamCall, EndStream], Callable[[], None]]
"""Called when a stream opens. Returns the function to be called once it is closed.

It may end the stream at once (this member is not ready for it, or `hasleader` is asked for and
there is no leader) or keep `EndStream` for the day on which that becomes true.
"""
