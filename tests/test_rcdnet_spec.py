from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcdnet.spec import ModelSpec, OperatingPoint, Preprocessing

SPEC = ModelSpec(("normal", "benign", "malignant"), 224, 224, 0.485, 0.229, "tf_efficientnet_lite0")
probability = st.floats(0, 1)


@given(
    st.lists(st.text(min_size=1), min_size=2, max_size=5, unique=True),
    st.builds(OperatingPoint, probability, probability),
    st.floats(0.01, 10),
    st.floats(0, 1),
    st.none() | st.floats(1, 5),
    st.builds(Preprocessing, st.integers(0, 5).map(lambda n: 2 * n + 1), st.floats(0, 10), st.integers(1, 16)),
)
def test_json_holds_everything(
    names: list[str],
    point: OperatingPoint,
    temperature: float,
    cubic: float,
    second_look: float | None,
    settings: Preprocessing,
) -> None:
    spec = ModelSpec(
        tuple(names), 1, 2, 0.5, 0.25, "b", settings, temperature, cubic, {"balanced": point}, second_look=second_look
    )
    assert ModelSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("class_names", ("benign",)),
        ("class_names", ("benign", "benign")),
        ("height_px", 0),
        ("std", 0.0),
        ("temperature", -1.0),
        ("cubic", -0.1),
        ("indeterminate", (0.6, 0.4)),
        ("operating_points", {"screening": OperatingPoint(0.5, 0.5)}),
        ("second_look", 0.5),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused_by_name(field: str, value: object) -> None:
    values = {name: getattr(SPEC, name) for name in SPEC.__dataclass_fields__}
    with pytest.raises(ValueError, match=field if field != "height_px" else "input size"):
        ModelSpec(**{**values, field: value})


@pytest.mark.parametrize(("band", "undecided"), [((0.3, 0.4), (0.3, 0.5)), ((0.6, 0.7), (0.5, 0.7))])
def test_a_band_beside_the_threshold_reaches_to_it(band: tuple[float, float], undecided: tuple[float, float]) -> None:
    spec = replace(SPEC, indeterminate=band, operating_points={"balanced": OperatingPoint(0.5, 0.5)})
    assert spec.undecided(spec.operating_points["balanced"]) == undecided


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValueError, match="sharpness"):
        ModelSpec.from_json(SPEC.to_json().replace('"temperature"', '"sharpness"'))


@pytest.mark.parametrize(("field", "value"), [("median_px", 2), ("clahe_clip", -1.0), ("pad_value", 256)])
def test_preprocessing_that_makes_no_sense_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        Preprocessing(**{field: value})


def test_a_class_is_found_by_name() -> None:
    assert SPEC.index("malignant") == 2
    with pytest.raises(ValueError, match="not in tuple"):
        SPEC.index("cyst")
