import signal
import subprocess
import sys

STUCK = """
from threading import Lock
from kvstore.cli import control
from kvstore.cli.ctl import commands

def run(arguments):
    print("running", flush=True)
    lock = Lock()
    lock.acquire()
    while True:
        try:
            lock.acquire()
        except KeyboardInterrupt:
            pass

commands.run = run
control.main()
"""


def test_an_interrupt_ends_a_command_that_is_stuck_in_a_library() -> None:
    """As grpc is, one time in five, when it is interrupted while it closes a channel."""
    command = [sys.executable, "-c", STUCK]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(timeout=20) == -signal.SIGINT
        finally:
            process.kill()
