"""Custom resources: what a CustomResourceDefinition has to be, and what it makes of objects.

definition   a definition's own rules, its status, and the resources it makes
structural   which schemas are structural, the only ones that are taken
shaping      what objects go through on their way in: pruning, defaults
validation   which values a schema allows
rules        CEL rules (x-kubernetes-validations)
"""

from cluster.kube_api.crd.definition import (
    CustomResource,
    custom_resources,
    definition_errors,
    definition_update_errors,
    established,
)
from cluster.kube_api.crd.shaping import custom_decoded, custom_defaulted
from cluster.kube_api.crd.validation import custom_errors

__all__ = [
    "CustomResource",
    "custom_decoded",
    "custom_defaulted",
    "custom_errors",
    "custom_resources",
    "definition_errors",
    "definition_update_errors",
    "established",
]
