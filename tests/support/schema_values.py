"""Objects of Kubernetes' kinds, drawn from their schemas."""

from typing import Any

from hypothesis import strategies as st

from cluster.kube_api.schema import Form, Schema

TEXT = st.text("abcxyz01-", max_size=4)
_SCALARS: dict[Form, st.SearchStrategy[Any]] = {
    Form.STRING: TEXT,
    Form.BYTES: st.sampled_from(["", "YQ==", "AAECAw=="]),
    Form.INTEGER: st.integers(-3, 1000),
    Form.NUMBER: st.sampled_from([0, 1.5, -2.25]),
    Form.BOOLEAN: st.booleans(),
    Form.TIME: st.sampled_from(["2026-01-02T03:04:05Z", "1999-12-31T23:59:59Z"]),
    Form.MICRO_TIME: st.sampled_from(["2026-01-02T03:04:05.678901Z"]),
    Form.QUANTITY: st.sampled_from(["0", "500m", "1Gi", "3"]),
    Form.INT_OR_STRING: st.integers(0, 9) | TEXT,
    Form.RAW: st.none() | st.dictionaries(TEXT, st.integers(0, 9), max_size=2),
}


@st.composite
def values(draw: st.DrawFn, schema: Schema, depth: int = 9) -> Any:
    """Draw a value that a schema allows, the emptier the deeper."""
    if schema.form is Form.STRUCT:
        names = sorted(schema.properties)
        chosen = draw(st.lists(st.sampled_from(names), max_size=min(depth, 4), unique=True))
        return {name: draw(values(schema.properties[name], depth - 1)) for name in chosen}
    if schema.form is Form.LIST:
        size = draw(st.integers(0, min(depth, 2)))
        return [draw(values(schema.items, depth - 1)) for _ in range(size)]
    if schema.form is Form.MAP:
        keys = draw(st.lists(TEXT, max_size=min(depth, 2), unique=True))
        return {key: draw(values(schema.values, depth - 1)) for key in keys}
    return draw(_SCALARS[schema.form])
