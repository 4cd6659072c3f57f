"""Black and white of deep pictures: decided over all of a kind, by what they use, without regard to their order."""

import numpy as np
import pytest

from kmpl.images.value_ranges import FULL, Extent, decide, range_of_one, sentences


def of(kind: str, *pairs: tuple[float, float]) -> tuple[float, float]:
    return decide([Extent(kind, low, high) for low, high in pairs])[kind]


@pytest.mark.parametrize("kind", ["16-bit", "32-bit"])
def test_whole_numbers_get_the_least_depth_that_holds_them(kind: str) -> None:
    for high, white in (
        (0, 255),
        (255, 255),
        (256, 1023),
        (1023, 1023),
        (1024, 4095),
        (5000, 16_383),
        (65_535, 65_535),
    ):
        assert of(kind, (0, high), (0, high / 2)) == (0, white)
    assert of("32-bit", (0, 70_000)) == (0, 70_000)
    assert of("32-bit", (-1000, 3000)) == (-1000, 3000)


def test_where_no_number_is_near_zero_black_is_the_least() -> None:
    assert of("16-bit", (29_000, 31_000), (29_500, 30_000)) == (29_000, 31_000)  # a thermal camera's
    assert of("16-bit", (29_000, 31_000), (0, 30_000)) == (0, 65_535)
    assert of("16-bit", (500, 500)) == (0, 1023)
    assert of("floating-point", (270.0, 310.0)) == (270, 310)


def test_floating_point_goes_to_a_nominal_white_if_it_nearly_does_and_never_jumps_far() -> None:
    for high, white in ((1.0, 1), (1.02, 1), (0.9, 1), (250.0, 255), (256.0, 255), (65_535.0, 65_535), (1000.0, 1000)):
        assert of("floating-point", (0, high)) == (0, white)
    assert of("floating-point", (-3.0, -3.0)) == (-3, -2)
    assert of("floating-point", (0.0, 0.0)) == (0, 1)
    highs = np.geomspace(0.01, 1e6, 5_000)
    whites = np.array([of("floating-point", (0, high))[1] for high in highs])
    assert (highs / whites).min() > 0.79
    assert (highs / whites).max() < 1.06


def test_one_file_of_ten_and_one_in_a_hundred_may_reach_beyond() -> None:
    usual = [(0.0, 1020.0)]
    assert of("16-bit", *usual * 9, (0, 60_000)) == (0, 1023)
    assert of("16-bit", *usual * 8, (0, 60_000)) == (0, 65_535)
    assert of("16-bit", *usual * 297, *[(0, 60_000)] * 3) == (0, 1023)
    assert of("16-bit", *usual * 297, *[(0, 60_000)] * 4) == (0, 65_535)


def test_pictures_without_a_number_do_not_count() -> None:
    none = float("nan"), float("nan")
    assert of("floating-point", none, (0, 0.95)) == (0, 1)
    assert of("floating-point", none) == (0, 1)
    assert of("32-bit", none) == (0, 255)


def test_the_order_of_the_files_says_nothing() -> None:
    rng = np.random.default_rng(0)
    some = [Extent(kind, low, low + 9) for kind in ("32-bit", "floating-point") for low in rng.normal(0, 5, 40)]
    mixed = [some[i] for i in rng.permutation(len(some))]
    assert list(decide(some).items()) == list(decide(mixed).items())


def test_the_chosen_range_is_told_with_how_many_pictures_it_makes_dark() -> None:
    some = [Extent("16-bit", 0, 1000)] * 3 + [Extent("16-bit", 0, 60_000)] * 7 + [Extent("floating-point", -0.5, 2.0)]
    first, second = sentences(decide(some), some)
    assert first.startswith("16-bit pictures (10) use 16 bits: 0 is read as black, 65,535 as white; 3 of them use less")
    assert second == "floating-point pictures (1): -0.5 is read as black, 2 as white"


def test_alone_sixteen_bits_are_full() -> None:
    assert range_of_one(Extent("16-bit", 0, 900)) == FULL
    assert range_of_one(Extent("32-bit", 0, 900)) == (0, 1023)
