"""Label selectors beside a model, and quantities beside fractions."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from cluster.kube_api.quantity import NANO, Family, Quantity, parse_quantity
from cluster.kube_api.selectors import LabelSelector, Operator, Requirement, parse_label_selector

KEYS = st.sampled_from(["a", "b", "example.com/c", "in", "notin"])
VALUES = st.sampled_from(["", "x", "y", "1", "2", "3", "in"])
LABELS = st.dictionaries(KEYS, VALUES)


@st.composite
def requirements(draw: st.DrawFn) -> Requirement:
    operator = draw(st.sampled_from(list(Operator)))
    values: tuple[str, ...] = ()
    if operator in (Operator.IN, Operator.NOT_IN):
        values = tuple(sorted(draw(st.sets(VALUES, min_size=1))))
    elif operator in (Operator.GREATER_THAN, Operator.LESS_THAN):
        values = (str(draw(st.integers(0, 5))),)
    return Requirement(draw(KEYS), operator, values)


def is_fulfilled(requirement: Requirement, labels: dict[str, str]) -> bool:
    """The table of the documentation, line by line."""
    has = requirement.key in labels
    value = labels.get(requirement.key, "")
    match requirement.operator:
        case Operator.IN:
            return has and value in requirement.values
        case Operator.NOT_IN:
            return not has or value not in requirement.values
        case Operator.EXISTS:
            return has
        case Operator.DOES_NOT_EXIST:
            return not has
        case Operator.GREATER_THAN:
            return value.isdigit() and int(value) > int(requirement.values[0])
        case Operator.LESS_THAN:
            return value.isdigit() and int(value) < int(requirement.values[0])


@given(st.lists(requirements(), max_size=4), LABELS)
def test_a_selector_says_in_text_and_in_memory_what_its_requirements_say(
    wanted: list[Requirement], labels: dict[str, str]
) -> None:
    in_order = sorted(wanted, key=lambda requirement: requirement.key)
    text = str(LabelSelector(tuple(in_order)))
    selector = parse_label_selector(text)
    assert str(selector) == text
    assert selector.matches(labels) == all(is_fulfilled(one, labels) for one in wanted)


SUFFIXES = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


@given(st.integers(0, 10**6), st.integers(0, 999), st.sampled_from([*SUFFIXES, *BINARY]))
def test_a_quantity_is_its_number_rounded_up_to_a_nano_unit_and_cut_off_at_63_bits(
    whole: int, thousandths: int, suffix: str
) -> None:
    exact = Fraction(whole * 1000 + thousandths, 1000)
    scale = Fraction(2) ** BINARY[suffix] if suffix in BINARY else Fraction(10) ** SUFFIXES[suffix]
    expected = min(-(-exact * scale * NANO // 1), ((1 << 63) - 1) * NANO)
    assert parse_quantity(f"{whole}.{thousandths:03}{suffix}").nano == expected


@given(st.integers(-(10**20), 10**20), st.sampled_from(list(Family)))
def test_the_canonical_text_of_a_quantity_is_read_back_and_is_its_own_canonical_text(
    nano: int, family: Family
) -> None:
    quantity = Quantity(nano, family)
    again = parse_quantity(str(quantity))
    assert again == quantity
    assert str(parse_quantity(str(again))) == str(again)
    # A binary amount that is no multiple of 1024 has no suffix, and is read back as a decimal one.
    if family is not Family.BINARY or str(quantity).endswith("i"):
        assert str(again) == str(quantity)
