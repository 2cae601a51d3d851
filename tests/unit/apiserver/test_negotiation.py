import pytest

from cluster.apiserver.negotiation import Form, Shape, form_of
from cluster.kube_api.errors import ApiError

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", Form()),
        ("*/*", Form()),
        ("application/json, */*", Form()),
        ("application/vnd.kubernetes.protobuf,application/json", Form()),
        ("application/vnd.kubernetes.protobuf", Form()),
        ("application/yaml", Form(is_yaml=True)),
        (f"{TABLE},application/json", Form(shape=Shape.TABLE)),
        ("application/json;g=meta.k8s.io;v=v1;as=PartialObjectMetadata", Form(shape=Shape.PARTIAL)),
        (
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            Form(shape=Shape.PARTIAL),
        ),
        ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", Form()),
        ("application/json;stream=watch", Form()),
    ],
)
def test_the_first_form_that_can_be_made_is_taken(accept: str, wanted: Form) -> None:
    assert form_of(accept) == wanted


def test_what_cannot_be_made_is_not_acceptable() -> None:
    with pytest.raises(ApiError) as refused:
        form_of("text/html")
    assert refused.value.code == 406
