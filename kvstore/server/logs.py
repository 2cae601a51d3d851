"""The member's log: one JSON object a line, with the field names of etcd's zap.

Lines are written by a thread of their own: a terminal or pipe that is read slowly must not hold up
the event loop.
"""

import json
import logging
import queue
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener
from pathlib import PurePath

from kvstore.server.config import LogConfig

WAITING_LINES_MAX = 10_000
"""Lines that may wait for a slow output; further ones are counted and dropped."""

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "dpanic": logging.CRITICAL,
    "panic": logging.CRITICAL,
    "fatal": logging.CRITICAL,
}
_NAMES = {
    logging.DEBUG: "debug",
    logging.INFO: "info",
    logging.WARNING: "warn",
    logging.ERROR: "error",
    logging.CRITICAL: "fatal",
}
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Lines such as `{"level":"info","ts":"...","caller":"server/server.py:74","msg":"..."}`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line: level, time, caller, message, then the fields given as `extra`."""
        time = datetime.fromtimestamp(record.created, UTC)
        path = PurePath(record.pathname)
        line: dict[str, object] = {
            "level": _NAMES.get(record.levelno, record.levelname.lower()),
            "ts": f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z",
            "caller": f"{path.parent.name}/{path.name}:{record.lineno}",
            "msg": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["error"] = str(record.exc_info[1])
            line["stacktrace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, separators=(",", ":"), ensure_ascii=False)


class _BoundedQueueHandler(QueueHandler):
    """Hands records to the writing thread; drops them, and says so later, rather than wait."""

    def __init__(self, waiting: queue.Queue[object]) -> None:
        super().__init__(waiting)
        self._waiting = waiting
        self._dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Return the record as it is: the formatter needs its exception, and nothing is pickled."""
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue the record, or count it as dropped."""
        try:
            if self._dropped:
                self._waiting.put_nowait(_dropped_lines(self._dropped))
                self._dropped = 0
            self._waiting.put_nowait(record)
        except queue.Full:
            self._dropped += 1


@contextmanager
def logging_to(config: LogConfig) -> Iterator[None]:
    """Send all that is logged in this process to the outputs of `config`, until the block ends.

    Raises:
        OSError: a log file cannot be opened.
    """
    handlers = [_handler(output) for output in config.outputs]
    waiting: queue.Queue[object] = queue.Queue(WAITING_LINES_MAX)
    listener = QueueListener(waiting, *handlers)
    entry = _BoundedQueueHandler(waiting)
    root = logging.getLogger()
    level_before = root.level
    root.addHandler(entry)
    root.setLevel(_LEVELS[config.level])
    listener.start()
    try:
        yield
    finally:
        root.removeHandler(entry)
        root.setLevel(level_before)
        listener.stop()
        for handler in handlers:
            handler.close()


def _handler(output: str) -> logging.Handler:
    handler: logging.Handler
    match output:
        case "default" | "stderr":
            handler = logging.StreamHandler(sys.stderr)
        case "stdout":
            handler = logging.StreamHandler(sys.stdout)
        case path:
            handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(JsonFormatter())
    return handler


def _dropped_lines(count: int) -> logging.LogRecord:
    return logging.makeLogRecord(
        {
            "name": __name__,
            "levelno": logging.WARNING,
            "levelname": "WARNING",
            "pathname": __file__,
            "msg": "dropped log lines, the output is too slow",
            "dropped": count,
        }
    )
