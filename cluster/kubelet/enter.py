"""Runs a command beside a container, in its view of the file system: `enter.py PID CWD ARGV`.

For `kubectl exec`, exec probes and hooks. The environment is the one that this script is given; a
terminal that it is given becomes that of the session, which is its own.
"""

import ctypes
import fcntl
import os
import sys
import termios

_CLONE_NEWNS = 0x00020000


def main(pid: str, directory: str, argv: list[str]) -> None:
    """Become the command."""
    own, other = os.stat("/proc/self/ns/mnt"), os.stat(f"/proc/{pid}/ns/mnt")  # noqa: PTH116 - lean on purpose
    if own.st_ino != other.st_ino:
        descriptor = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(descriptor, _CLONE_NEWNS):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    os.chdir(directory)
    if os.isatty(0):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - that is its job
    except FileNotFoundError:
        os.write(2, f'exec: "{argv[0]}": executable file not found in $PATH\n'.encode())
        os._exit(127)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
