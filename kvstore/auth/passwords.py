"""Passwords and their bcrypt hashes. Both directions take a tenth of a second: not on the loop."""

from base64 import b64decode, b64encode

import bcrypt

from kvstore.base.errors import NoPasswordUser

COST_DEFAULT = 10
COST_MIN, COST_MAX = 4, 31
PASSWORD_BYTES_MAX = 72
"""bcrypt looks at no more than this."""


class PasswordTooLong(ValueError):
    """A password of which bcrypt would ignore a part; the text is the one that etcd sends."""

    def __init__(self) -> None:
        super().__init__("bcrypt: password length exceeds 72 bytes")


def hashed(password: str, *, cost: int) -> bytes:
    """Return a salted hash of `password`.

    Raises:
        PasswordTooLong: it has more than 72 bytes in UTF-8.
    """
    secret = password.encode()
    if len(secret) > PASSWORD_BYTES_MAX:
        raise PasswordTooLong
    return bcrypt.hashpw(secret, bcrypt.gensalt(cost, prefix=b"2a"))


def matches(password: str, stored: bytes) -> bool:
    """Whether `stored` is a hash of `password`; nothing matches a hash that is none."""
    try:
        return bcrypt.checkpw(password.encode()[:PASSWORD_BYTES_MAX], stored)
    except ValueError:
        return False


def encode_hash(stored: bytes) -> str:
    """Return a hash as it travels in `hashedPassword`."""
    return b64encode(stored).decode()


def decode_hash(text: str) -> bytes:
    """Return the hash that travels in `hashedPassword`; "" is the hash of no password.

    Raises:
        NoPasswordUser: it is not base64; these are etcd's words for it.
    """
    try:
        return b64decode(text, validate=True)
    except ValueError as damage:
        raise NoPasswordUser from damage
