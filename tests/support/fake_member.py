"""A program that looks like a member from outside: it takes the flags, and answers GET /health.

`FAKE_MEMBER` in the environment makes it misbehave: `dies` ends it at once with code 3, `deaf`
makes it never answer, `stubborn` makes it ignore SIGTERM.
"""

import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

FOREVER_S = 600


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's name
        return


def main() -> None:
    behaviour = os.environ.get("FAKE_MEMBER", "")
    flags = dict(word.removeprefix("--").split("=", 1) for word in sys.argv[1:])
    print("fake member", flags["name"], "unset" if "ETCD_NAME" not in os.environ else "set")
    sys.stdout.flush()
    if behaviour == "dies":
        sys.exit(3)
    directory = Path(flags["data-dir"])
    directory.mkdir(exist_ok=True)
    with (directory / "starts").open("a") as starts:
        starts.write("started\n")
    signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour == "stubborn" else _leave)
    if behaviour == "deaf":
        time.sleep(FOREVER_S)
    port = urlsplit(flags["listen-client-urls"]).port
    assert port is not None
    HTTPServer(("127.0.0.1", port), Health).serve_forever()


def _leave(_number: int, _frame: FrameType | None) -> None:
    print("stopping in order", flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
