"""One object under two group versions, by requests."""

from tests.support.kube_process import KubeClient


def test_an_event_is_read_written_listed_and_watched_under_both_groups(
    kube: KubeClient, namespace: str
) -> None:
    old = f"/api/v1/namespaces/{namespace}/events"
    new = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
    event = {
        "metadata": {"name": "e"},
        "eventTime": "2026-11-25T12:00:00.000000Z",
        "regarding": {"kind": "Pod", "name": "p", "namespace": namespace},
        "note": "assigned",
        "reason": "Scheduled",
        "type": "Normal",
        "action": "Binding",
        "reportingController": "default-scheduler",
        "reportingInstance": "s",
    }
    made = kube.create(new, event)
    assert made["note"] == "assigned"
    with kube.watch(old, resourceVersion="0") as events:
        seen = next(events)["object"]
    assert (seen["apiVersion"], seen["message"]) == ("v1", "assigned")
    (listed,) = kube.get(old, fieldSelector="involvedObject.name=p")["items"]
    assert listed["involvedObject"]["name"] == "p"
    assert "note" not in listed
    changed = kube.patch(f"{old}/e", {"message": "again"})
    assert changed["message"] == "again"
    (fresh,) = kube.get(new, fieldSelector="regarding.name=p")["items"]
    assert fresh["note"] == "again"
    assert fresh["metadata"]["uid"] == made["metadata"]["uid"]


def test_an_autoscaler_is_seen_by_clients_of_both_versions(
    kube: KubeClient, namespace: str
) -> None:
    path = f"namespaces/{namespace}/horizontalpodautoscalers"
    target = {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}
    spec = {"maxReplicas": 3, "scaleTargetRef": target, "targetCPUUtilizationPercentage": 50}
    kube.create(f"/apis/autoscaling/v1/{path}", {"metadata": {"name": "a"}, "spec": spec})
    new = kube.get(f"/apis/autoscaling/v2/{path}/a")
    assert new["apiVersion"] == "autoscaling/v2"
    assert new["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 50
    old = kube.get(f"/apis/autoscaling/v1/{path}/a")
    assert old["spec"]["targetCPUUtilizationPercentage"] == 50
