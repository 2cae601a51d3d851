"""A small reader of EDN, the notation of Clojure, as far as histories use it.

nil, booleans, numbers, strings, characters, keywords, symbols, lists, vectors, maps, sets; comments
and discards are skipped, tags are dropped. Depth is bounded; the text is in memory already.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from kvstore.check.json_value import MalformedHistory

_DEPTH_MAX = 64


@dataclass(frozen=True, slots=True)
class Keyword:
    """A keyword, without its colon, or a symbol."""

    name: str


Edn: TypeAlias = "bool | int | float | str | Keyword | tuple[Edn, ...] | dict[Edn, Edn] | None"

_TOKEN = re.compile(
    r"""[\s,]+ | ;[^\n]*                           # what separates
    | (?P<string> "(?:[^"\\]|\\.)*" )
    | (?P<open> \#?\{ | \( | \[ )
    | (?P<close> [)\]}] )
    | (?P<discard> \#_ )
    | (?P<tag> \#[A-Za-z][^\s,()\[\]{}"]* )
    | (?P<character> \\[^\s,()\[\]{}"]+ )
    | (?P<atom> [^\s,()\[\]{}"\\;\#][^\s,()\[\]{}";]* )
    """,
    re.VERBOSE | re.DOTALL,
)
_NUMBER = re.compile(r"[+-]?\d+(?:N|(?P<fraction>(?:\.\d*)?(?:[eE][+-]?\d+)?M?))?")
_CLOSERS = {"(": ")", "[": "]", "{": "}", "#{": "}"}
_CONSTANTS: dict[str, Edn] = {"nil": None, "true": True, "false": False}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def read_edn(text: str) -> Iterator[Edn]:
    """Yield each value that stands in `text`.

    Raises:
        MalformedHistory: the text is no EDN that we read; where, is in the message.
    """
    reader = _Reader(text)
    while (token := reader.next_token()) is not None:
        if token[0] == "discard":
            reader.value(reader.needed_token(), 1)
        else:
            yield reader.value(token, 0)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def next_token(self) -> tuple[str, str] | None:
        """Return kind and text of the next token; None at the end."""
        while self._position < len(self._text):
            match = _TOKEN.match(self._text, self._position)
            if match is None:
                raise self._malformed("cannot be read")
            self._position = match.end()
            if match.lastgroup is not None:
                return match.lastgroup, match.group()
        return None

    def needed_token(self) -> tuple[str, str]:
        """Return the next token, which must be there."""
        token = self.next_token()
        if token is None:
            raise self._malformed("ends inside a value")
        return token

    def value(self, token: tuple[str, str], depth: int) -> Edn:
        """Return the value that begins with `token`."""
        kind, text = token
        if depth > _DEPTH_MAX:
            raise self._malformed(f"is nested deeper than {_DEPTH_MAX}")
        match kind:
            case "string":
                return re.sub(
                    r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), text[1:-1], flags=re.DOTALL
                )
            case "open":
                return self._collection(text, depth)
            case "tag":
                return self.value(self.needed_token(), depth + 1)
            case "character":
                return text[1:]
            case "atom":
                return self._atom(text)
            case _:
                raise self._malformed(f"has a stray {text!r}")

    def _collection(self, opener: str, depth: int) -> Edn:
        found: list[Edn] = []
        while True:
            kind, text = self.needed_token()
            if kind == "close":
                if text != _CLOSERS[opener]:
                    raise self._malformed(f"closes {opener!r} by {text!r}")
                break
            if kind == "discard":
                self.value(self.needed_token(), depth + 1)
            else:
                found.append(self.value((kind, text), depth + 1))
        if opener != "{":
            return tuple(found)
        if len(found) % 2:
            raise self._malformed("has a map with a key and no value")
        try:
            return dict(zip(found[::2], found[1::2], strict=True))
        except TypeError as problem:
            raise self._malformed("has a map as a key") from problem

    def _atom(self, text: str) -> Edn:
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        number = _NUMBER.fullmatch(text)
        if number is None:
            return Keyword(text.removeprefix(":"))
        try:
            return float(text.rstrip("M")) if number["fraction"] else int(text.rstrip("N"))
        except ValueError as problem:
            raise self._malformed(f"has a number that is too long: {text[:20]}…") from problem

    def _malformed(self, what: str) -> MalformedHistory:
        line = self._text.count("\n", 0, self._position) + 1
        return MalformedHistory(f"line {line}: the EDN {what}")
