import pytest

from cluster.apiserver.routes import RequestInfo, read


def said(method: str, path: str, **query: str) -> tuple[str, str, str, str, str, str]:
    info = read(method, path, query)
    return (
        info.verb,
        info.group,
        info.resource,
        info.subresource,
        info.namespace,
        info.name,
    )


@pytest.mark.parametrize(
    ("method", "path", "query", "wanted"),
    [
        ("GET", "/api/v1/pods", {}, ("list", "", "pods", "", "", "")),
        ("GET", "/api/v1/pods", {"watch": "1"}, ("watch", "", "pods", "", "", "")),
        ("GET", "/api/v1/watch/pods", {}, ("watch", "", "pods", "", "", "")),
        ("GET", "/api/v1/namespaces/a/pods/b", {}, ("get", "", "pods", "", "a", "b")),
        ("GET", "/api/v1/namespaces/a/pods/b/log", {}, ("get", "", "pods", "log", "a", "b")),
        ("PUT", "/api/v1/namespaces/a/status", {},
         ("update", "", "namespaces", "status", "a", "a")),
        ("GET", "/api/v1/namespaces/a", {}, ("get", "", "namespaces", "", "a", "a")),
        ("DELETE", "/apis/apps/v1/namespaces/a/deployments", {},
         ("deletecollection", "apps", "deployments", "", "a", "")),
        ("PATCH", "/apis/apps/v1/namespaces/a/deployments/b/scale", {},
         ("patch", "apps", "deployments", "scale", "a", "b")),
        ("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", {},
         ("create", "rbac.authorization.k8s.io", "clusterroles", "", "", "")),
    ],
)  # fmt: skip
def test_a_path_says_verb_resource_and_place(
    method: str, path: str, query: dict[str, str], wanted: tuple[str, ...]
) -> None:
    assert said(method, path, **query) == wanted


def test_an_escaped_slash_is_part_of_a_name() -> None:
    assert read("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/a%2Fb", {}).name == "a/b"


@pytest.mark.parametrize(
    "path", ["/", "/version", "/api", "/api/v1", "/apis/apps/v1", "/healthz/x"]
)
def test_what_is_no_resource_is_a_path(path: str) -> None:
    assert read("GET", path, {}) == RequestInfo(verb="get", path=path)


def test_the_path_of_a_proxied_request_is_kept() -> None:
    info = read("GET", "/api/v1/namespaces/a/services/b/proxy/x/y", {})
    assert (info.subresource, info.rest) == ("proxy", ("x", "y"))
