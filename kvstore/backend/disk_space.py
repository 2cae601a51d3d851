"""Blocks of a sparse file, allocated ahead of their use.

A write to a hole of a memory-mapped file on a full disk is a SIGBUS: the process dies. `fallocate`
turns that into an error at a moment of our choosing. The call is Linux's own: the C library's
`posix_fallocate` would fall back to writing zeros, which a filesystem without allocation would
store again at each overwrite.
"""

import ctypes
import errno
import os
import sys

from kvstore.base.errors import StorageFull

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_UNSUPPORTED = {errno.EOPNOTSUPP, errno.ENOSYS}
_KEEP_SIZE = 1


def _fallocate(descriptor: int, mode: int, offset: int, size: int) -> int:
    """Return 0 or the error number."""
    if sys.platform != "linux":
        return errno.ENOSYS
    call = ctypes.CDLL(None, use_errno=True).fallocate
    call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    while call(descriptor, mode, offset, size) != 0:
        number = ctypes.get_errno()
        if number != errno.EINTR:
            return number
    return 0


def can_allocate(descriptor: int) -> bool:
    """Whether the file's filesystem knows `fallocate`; takes one block of the file if so.

    Raises:
        StorageFull: not even that block is left.
    """
    number = _fallocate(descriptor, _KEEP_SIZE, 0, 1)
    if number in _UNSUPPORTED:
        return False
    _raise(number)
    return True


def allocate(descriptor: int, offset: int, size: int) -> None:
    """Give the file blocks for [offset, offset + size); what is there already stays.

    Raises:
        StorageFull: the filesystem or the quota has not that much.
        OSError: anything else.
    """
    _raise(_fallocate(descriptor, _KEEP_SIZE, offset, size))


def require_free(descriptor: int, size: int) -> None:
    """Check that `size` bytes could be written now, without taking them.

    Raises:
        StorageFull: the filesystem has less.
    """
    status = os.fstatvfs(descriptor)
    if status.f_bavail * status.f_frsize < size:
        raise StorageFull(f"{size} bytes wanted, {status.f_bavail * status.f_frsize} free")


def _raise(number: int) -> None:
    if number in _NO_SPACE:
        raise StorageFull(os.strerror(number))
    if number:
        raise OSError(number, os.strerror(number))
