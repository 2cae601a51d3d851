"""DefaultAccounts: every namespace begins with the account that its pods run as.

In Kubernetes a controller makes it a moment later. Here it is there as soon as its namespace is:
pods can be created where no controllers run, and by who does not wait for the account.
"""

from cluster.apiserver import bootstrap
from cluster.apiserver.admission.plugin import Attributes, Plugin
from cluster.apiserver.services import Services


class DefaultAccounts(Plugin):
    """Makes the account; a controller that keeps it finds nothing to do."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def created(self, attributes: Attributes) -> None:
        """Make the account of a namespace that is new."""
        resource = attributes.resource
        if (resource.group, resource.plural) == ("", "namespaces"):
            await bootstrap.ensure(self._services, [bootstrap.default_account(attributes.name)])
