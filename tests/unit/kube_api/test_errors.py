"""Status objects say what Kubernetes says."""

from cluster.kube_api import errors, field_errors


def test_a_conflict_names_resource_and_group() -> None:
    status = errors.conflict("deployments", "apps", "web").status()
    assert status["message"] == (
        'Operation cannot be fulfilled on deployments.apps "web": the object has been modified;'
        " please apply your changes to the latest version and try again"
    )
    assert status["details"] == {"name": "web", "group": "apps", "kind": "deployments"}
    assert (status["code"], status["reason"]) == (409, "Conflict")


def test_several_invalid_fields_stand_in_brackets_with_a_cause_each() -> None:
    problems = [
        field_errors.required("spec.containers"),
        field_errors.invalid("spec.replicas", -1, "must be greater than or equal to 0"),
        field_errors.not_supported("spec.c", "z", ["a", "b"]),
    ]
    status = errors.invalid("Pod", "", "x", problems).status()
    assert status["message"] == (
        'Pod "x" is invalid: [spec.containers: Required value, spec.replicas: Invalid value: -1:'
        ' must be greater than or equal to 0, spec.c: Unsupported value: "z": supported values:'
        ' "a", "b"]'
    )
    assert status["details"]["causes"][1] == {
        "reason": "FieldValueInvalid",
        "message": "Invalid value: -1: must be greater than or equal to 0",
        "field": "spec.replicas",
    }


def test_a_terminating_namespace_is_a_cause_that_controllers_test_for() -> None:
    status = errors.namespace_terminating("configmaps", "", "x", "n1").status()
    assert status["message"] == (
        'configmaps "x" is forbidden: unable to create new content in namespace n1 because it is'
        " being terminated"
    )
    assert status["details"]["causes"][0]["reason"] == "NamespaceTerminating"


def test_one_apply_conflict_stands_in_the_line_and_several_in_a_list() -> None:
    one = errors.Cause("FieldManagerConflict", 'conflict with "a"', ".data.x")
    other = errors.Cause("FieldManagerConflict", 'conflict with "a"', ".data.y")
    assert errors.apply_conflict([one]).message == (
        'Apply failed with 1 conflict: conflict with "a": .data.x'
    )
    assert errors.apply_conflict([one, other]).message == (
        'Apply failed with 2 conflicts: conflicts with "a":\n- .data.x\n- .data.y'
    )
