"""Who asks."""

from typing import NamedTuple

ROOT_USER = "root"
ROOT_ROLE = "root"
"""Who has this role may do everything; the role needs not exist to be granted."""


class Identity(NamedTuple):
    """A user, as identified under the rules of one auth revision."""

    name: str
    revision: int
    """The auth revision at that time; 0 for nobody."""


ANONYMOUS = Identity("", 0)
