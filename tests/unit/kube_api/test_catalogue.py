"""The catalogue of built-in resources."""

from cluster.kube_api.catalogue import BUILT_IN, BY_PLURAL


def test_no_two_resources_have_one_url_or_one_short_name_in_a_group() -> None:
    assert len(BY_PLURAL) == len(BUILT_IN)
    short = [(one.group, one.version, name) for one in BUILT_IN for name in one.short_names]
    assert len(short) == len(set(short))


def test_a_foreign_subresource_names_its_kind_in_full() -> None:
    scale = BY_PLURAL["apps", "v1", "deployments"].subresource("scale")
    status = BY_PLURAL["apps", "v1", "deployments"].subresource("status")
    assert scale is not None
    assert status is not None
    assert scale.kind.api_version == "autoscaling/v1"
    assert str(status.kind) == "apps/v1, Kind=Deployment"


def test_the_keys_are_those_of_a_real_api_server() -> None:
    assert BY_PLURAL["", "v1", "services"].key_prefix == "services/specs"
    assert BY_PLURAL["", "v1", "nodes"].key_prefix == "minions"
    assert BY_PLURAL["apps", "v1", "deployments"].key_prefix == "deployments"
