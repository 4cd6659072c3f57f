"""What a served model takes for a raw image, and what it refuses."""

import numpy as np
import pytest
from mlflow.exceptions import MlflowException

from kmpl.tracking.served_model import raw

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["uint8", "int16", "int64", "uint16", "float32", "float64"])
def test_whole_numbers_of_any_kind_are_the_same_images(kind: str) -> None:
    found = raw(IMAGES.astype(kind), (4, 5))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, IMAGES)
    np.testing.assert_array_equal(raw(IMAGES.astype(kind).tolist(), (4, 5)), IMAGES)


def test_dark_images_are_no_scaled_ones() -> None:
    np.testing.assert_array_equal(raw((IMAGES > 9).astype(int), (4, 5)), IMAGES > 9)
    np.testing.assert_array_equal(raw(np.zeros((2, 4, 5)), (4, 5)), np.zeros((2, 4, 5)))


@pytest.mark.parametrize("value", [0.5, 3.7, -1, 256, 1e300, float("nan"), float("inf")])
def test_a_number_that_is_no_pixel_is_named_with_its_place(value: float) -> None:
    images = IMAGES.astype(float)
    images[1, 2, 3] = value
    with pytest.raises(MlflowException, match=r"^image 1 has \S+ at \[2, 3\]; give .* from 0 to 255") as caught:
        raw(images, (4, 5))
    assert caught.value.get_http_status_code() == 400


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (IMAGES[0], r"images of shape \(4, 5\) are wanted, any number of them; got an array of shape \(4, 5\)"),
        (IMAGES[:0], r"got an array of shape \(0, 4, 5\)"),
        (IMAGES[..., None], r"got an array of shape \(3, 4, 5, 1\)"),
        ({"image": IMAGES}, r"got an array of shape \(\)"),
        (IMAGES > 9, "numbers are wanted, got bool"),
        (IMAGES.astype(str), "numbers are wanted, got <U3"),
        (IMAGES.astype(complex), "numbers are wanted, got complex128"),
        ((IMAGES > 9).astype(float), "all pixels are 0.0 or 1.0, which says that they were scaled"),
    ],
)
def test_arrays_that_are_no_raw_images_are_refused(given: object, said: str) -> None:
    with pytest.raises(MlflowException, match=said) as caught:
        raw(given, (4, 5))
    assert caught.value.get_http_status_code() == 400
