"""Log lines are JSON objects that tools made for etcd's log can read."""

import io
import json
import logging
from pathlib import Path

import pytest

from kvstore.server.config import LogConfig
from kvstore.server.logs import JsonFormatter, logging_to

logger = logging.getLogger(__name__)


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_has_level_time_caller_message_and_fields(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with logging_to(LogConfig(outputs=(str(file),))):
        logger.warning("became leader", extra={"term": 7})
    (line,) = lines(file.read_text())
    assert line["level"] == "warn"
    assert line["msg"] == "became leader"
    assert line["term"] == 7
    assert str(line["caller"]).startswith("server/test_logs.py:")
    assert str(line["ts"]).endswith("Z")


def test_lines_below_the_level_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with logging_to(LogConfig(level="error", outputs=(str(file),))):
        logger.warning("too little")
        logger.error("enough")
    assert [line["msg"] for line in lines(file.read_text())] == ["enough"]


def test_an_exception_keeps_its_text_and_trace(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with logging_to(LogConfig(outputs=(str(file),))):
        try:
            raise OSError("disk on fire")  # noqa: TRY301  something must raise it
        except OSError:
            logger.exception("stopping")
    (line,) = lines(file.read_text())
    assert line["error"] == "disk on fire"
    assert "Traceback" in str(line["stacktrace"])


def test_the_default_output_is_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to(LogConfig()):
        logger.info("hello")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [line["msg"] for line in lines(captured.err)] == ["hello"]


def test_after_the_block_the_logging_of_the_process_is_as_before() -> None:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    with logging_to(LogConfig(level="debug")):
        assert root.handlers != handlers
    assert (list(root.handlers), root.level) == (handlers, level)


def test_a_field_that_json_does_not_know_is_written_as_text() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    record = logging.makeLogRecord({"msg": "m", "levelno": logging.INFO, "where": Path("/x")})
    handler.emit(record)
    assert lines(stream.getvalue())[0]["where"] == "/x"
