"""Server-side apply: who owns which field, and what that means for a write.

    paths       a path of an object, sets of paths, and their form in `managedFields` (FieldsV1)
    structure   walks: what an object sets, what differs between two, merging, removing
    managers    the entries of `managedFields`
    ownership   the two ways in: a write that just happens, and an apply that may conflict

The rules are those of structured-merge-diff, as Kubernetes uses it: see `ownership`.
"""

from cluster.kube_api.apply.managers import Manager
from cluster.kube_api.apply.ownership import Writer, applied, configuration, updated

__all__ = ["Manager", "Writer", "applied", "configuration", "updated"]
