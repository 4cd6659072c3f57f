"""Views and augmentation, against torchvision's own transforms, on real digits and on colour that is not square."""

from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

from kmpl.config.experiment import Augmentation
from kmpl.datasets import registry
from kmpl.images import augmentation, transforms, views

NOTHING = Augmentation(degrees=0, translate=0, scale=0, shear=0, elastic=0, brightness=0, contrast=0)
EVERYTHING = Augmentation(crop=0.8, cutout=5, flip=True)


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def digits() -> Tensor:
    """(48, 1, 28, 28) uint8."""
    return registry.read("MNIST", True).images[:48]


@pytest.fixture(scope="module", params=["grey", "colour, not square"])
def images(request: pytest.FixtureRequest, digits: Tensor) -> Tensor:
    """Float images: digits as they are, and as three channels of different digits cut to 20 × 27."""
    if request.param == "grey":
        return transforms.to_float(digits)
    return transforms.to_float(digits).view(16, 3, 28, 28)[:, :, 4:24, :27]


def random_affine(n: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return degrees, whole shifts, scale and shear for n images."""
    draws = seeded(1)
    shift = torch.randint(-5, 6, (n, 2), generator=draws).float()
    degrees, scale, shear = (
        torch.rand(n, generator=draws) * width + low for low, width in [(-180, 360), (0.6, 1), (-30, 60)]
    )
    return degrees, shift, scale, shear


def nowhere(n: int) -> Tensor:
    """Return the matrices of n warps that move nothing."""
    return transforms.affine_matrices(torch.zeros(n), torch.zeros(n, 2), torch.ones(n), torch.zeros(n))


def test_the_views_are_the_notebooks_four() -> None:
    assert list(views.VIEWS) == ["clean", "noise", "rotation", "blur"]


def test_every_byte_survives_the_way_to_float_and_back() -> None:
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    there = transforms.to_float(every)
    assert there.dtype == torch.float32
    assert (there.min(), there.max()) == (0, 1)
    assert torch.equal(transforms.to_uint8(there), every)


def test_noise_beyond_the_range_is_clipped_not_wrapped() -> None:
    assert transforms.to_uint8(torch.tensor([-0.3, -0.001, 1.001, 1.7])).tolist() == [0, 0, 255, 255]


def test_resize_is_torchvisions(images: Tensor) -> None:
    assert torch.equal(transforms.resize(images, 32), F.resize(images, [32, 32], antialias=True))
    assert torch.equal(transforms.resize(images, 14), F.resize(images, [14, 14], antialias=True))


def test_resize_to_zero_keeps_squares_and_makes_the_rest_square(digits: Tensor) -> None:
    square = transforms.to_float(digits)
    assert torch.equal(transforms.resize(square, 0), square)
    assert torch.equal(transforms.resize(square, 28), square)
    wide = square[:, :, 4:24]
    assert torch.equal(transforms.resize(wide, 0), F.resize(wide, [28, 28], antialias=True))


def test_the_clean_view_changes_nothing(images: Tensor) -> None:
    assert torch.equal(views.clean(images, seeded()), images)


def test_flips_are_torchvisions(images: Tensor) -> None:
    n = len(images)
    yes, no = torch.ones(n, dtype=torch.bool), torch.zeros(n, dtype=torch.bool)
    assert torch.equal(transforms.flip(images, yes, no), F.hflip(images))
    assert torch.equal(transforms.flip(images, no, yes), F.vflip(images))
    assert torch.equal(transforms.flip(images, yes, yes), F.hflip(F.vflip(images)))
    mixed = torch.arange(n) % 2 == 0
    assert torch.equal(
        transforms.flip(images, mixed, no), torch.where(mixed.view(-1, 1, 1, 1), F.hflip(images), images)
    )


def test_random_flips_take_each_of_the_four_ways_a_quarter_of_the_time() -> None:
    corner = torch.zeros(4_000, 1, 2, 2)
    corner[:, :, 0, 0] = 1
    share = transforms.random_flips(corner, seeded()).mean(dim=(0, 1))
    torch.testing.assert_close(share, torch.full((2, 2), 0.25), atol=0.03, rtol=0)


def test_the_rotation_view_is_torchvisions_nearest_rotation_by_the_same_angles(images: Tensor) -> None:
    degrees = torch.rand(len(images), generator=seeded()) * 30 - 15
    # torchvision turns counter-clockwise in rotate and clockwise in affine; kmpl turns clockwise
    theirs = torch.stack([F.rotate(image, -float(d)) for image, d in zip(images, degrees, strict=True)])
    ours = views.rotation(images, seeded())
    assert (ours != theirs).float().mean() < 0.001  # a pixel on the edge between two may fall either way
    assert (ours != images).any()


def test_the_blur_view_is_torchvisions_blur_of_the_flipped_images_each_with_its_own_sigma(images: Tensor) -> None:
    draws = seeded()
    flipped = transforms.random_flips(images, draws)
    sigmas = (torch.rand(len(images), generator=draws) * 1.9 + 0.1).tolist()
    theirs = torch.stack([F.gaussian_blur(image, [3, 3], [s]) for image, s in zip(flipped, sigmas, strict=True)])
    torch.testing.assert_close(views.blur(images, seeded()), theirs, atol=2e-6, rtol=0)


def test_the_noise_view_adds_a_tenth_of_the_same_normal_draws_to_the_flipped_images(images: Tensor) -> None:
    draws = seeded()
    flipped = transforms.random_flips(images, draws)
    theirs = flipped + torch.normal(0.0, 0.1, images.shape, generator=draws)
    torch.testing.assert_close(views.noise(images, seeded()), theirs, atol=1e-6, rtol=0)


def test_affine_is_torchvisions_bilinear_affine(images: Tensor) -> None:
    degrees, shift, scale, shear = random_affine(len(images))
    theirs = [
        F.affine(image, d, [int(x), int(y)], s, [h, 0.0], interpolation=InterpolationMode.BILINEAR)
        for image, d, (x, y), s, h in zip(
            images, degrees.tolist(), shift.tolist(), scale.tolist(), shear.tolist(), strict=True
        )
    ]
    ours = transforms.warp(images, transforms.affine_matrices(degrees, shift, scale, shear))
    torch.testing.assert_close(ours, torch.stack(theirs), atol=2e-5, rtol=0)


def test_a_warp_that_moves_nothing_changes_nothing(images: Tensor) -> None:
    torch.testing.assert_close(transforms.warp(images, nowhere(len(images))), images, atol=1e-5, rtol=0)


def test_elastic_is_torchvisions_elastic_of_the_same_displacement(images: Tensor) -> None:
    n, (height, width) = len(images), images.shape[-2:]
    bend = augmentation.elastic_displacement(n, height, width, sd=1.5, points=5, generator=seeded())
    halves = bend * torch.tensor([2 / width, 2 / height])  # torchvision counts in half images, kmpl in pixels
    theirs = [F.elastic_transform(i[None], d[None])[0] for i, d in zip(images, halves, strict=True)]
    torch.testing.assert_close(transforms.warp(images, nowhere(n), bend), torch.stack(theirs), atol=2e-5, rtol=0)


def test_elastic_displacement_has_the_asked_deviation_at_its_control_points() -> None:
    bend = augmentation.elastic_displacement(2_000, 9, 13, sd=1.5, points=5, generator=seeded())
    assert bend.shape == (2_000, 9, 13, 2)
    points = bend[:, ::2, ::3]  # 5 × 5 control points on 9 × 13 pixels fall on every second row and third column
    torch.testing.assert_close(points.std(dim=0), torch.full((5, 5, 2), 1.5), atol=0.1, rtol=0)


def ramps(n: int, height: int, width: int) -> Tensor:
    """Return images whose two channels hold each pixel's own place, in pixels from the centre."""
    x = (torch.arange(width) - (width - 1) / 2).expand(height, width)
    y = (torch.arange(height) - (height - 1) / 2)[:, None].expand(height, width)
    return torch.stack([x, y]).expand(n, 2, height, width)


def test_a_crop_keeps_at_least_its_share_and_never_leaves_the_frame() -> None:
    n, height, width = 500, 20, 28
    settings = NOTHING.model_copy(update={"crop": 0.6})
    cropped = augmentation.augment(ramps(n, height, width), settings, seeded())
    middle = cropped[:, :, height // 2 - 1 : height // 2 + 1, width // 2 - 1 : width // 2 + 1]
    kept = torch.stack([(middle[:, 0, :, 1] - middle[:, 0, :, 0]), (middle[:, 1, 1] - middle[:, 1, 0])])
    torch.testing.assert_close(kept[0], kept[1], atol=1e-4, rtol=0)  # the same share of both sides
    share, centre = kept.mean(dim=(0, 2)), middle.mean(dim=(2, 3))
    assert share.min() >= 0.6 - 1e-4
    assert share.max() <= 1 + 1e-4
    reach = centre.abs() + share[:, None] * torch.tensor([width / 2, height / 2])
    assert (reach <= torch.tensor([width / 2, height / 2]) + 1e-3).all()
    assert (share < 0.7).any()
    assert (share > 0.9).any()
    assert centre.abs().max() > 3


def test_a_crop_is_torchvisions_affine_of_the_same_place_and_size(images: Tensor) -> None:
    """Where a crop lies does not depend on what is in the image, so ramps tell where it lay."""
    n, (height, width) = len(images), images.shape[-2:]
    settings = NOTHING.model_copy(update={"crop": 0.6})
    there = augmentation.augment(ramps(n, height, width), settings, seeded())
    row, column = height // 2, width // 2
    share = there[:, 0, row, column] - there[:, 0, row, column - 1]
    place = ramps(1, height, width)[0, :, row, column]
    move = place - there[:, :, row, column] / share[:, None]
    ours = augmentation.augment(images, settings, seeded())
    theirs = [
        F.affine(image, 0.0, xy, 1 / s, [0.0, 0.0], interpolation=InterpolationMode.BILINEAR)
        for image, xy, s in zip(images, move.tolist(), share.tolist(), strict=True)
    ]
    torch.testing.assert_close(ours, torch.stack(theirs), atol=1e-3, rtol=0)


def test_cutout_is_torchvisions_erase_of_one_square_per_image(images: Tensor) -> None:
    n, (height, width), side = len(images), images.shape[-2:], 7
    cut = augmentation.cutout(torch.ones_like(images), side, seeded())
    ours = augmentation.cutout(images, side, seeded())
    for image, mask, result in zip(images, cut, ours, strict=True):
        rows, columns = (mask[0] == 0).any(dim=1).nonzero().flatten(), (mask[0] == 0).any(dim=0).nonzero().flatten()
        top, left, tall, wide = int(rows[0]), int(columns[0]), len(rows), len(columns)
        assert tall == side or top == 0 or top + tall == height  # whole, unless the border cuts it
        assert wide == side or left == 0 or left + wide == width
        assert max(tall, wide) <= side
        assert torch.equal(result, F.erase(image, top, left, tall, wide, torch.tensor(0.0)))
    assert len({tuple(m.flatten().tolist()) for m in cut[:, 0]}) > n // 2  # not the same place in all


def test_cutout_favours_no_side() -> None:
    erased = (augmentation.cutout(torch.ones(4_000, 1, 12, 18), 4, seeded()) == 0).float().mean(dim=0)
    torch.testing.assert_close(erased, erased.flip(-1), atol=0.03, rtol=0)
    torch.testing.assert_close(erased, erased.flip(-2), atol=0.03, rtol=0)


def test_augmentation_with_everything_zero_returns_the_images(images: Tensor) -> None:
    assert torch.equal(augmentation.augment(images, NOTHING, seeded()), images)


@pytest.mark.parametrize(
    "change",
    [
        {"degrees": 15},
        {"translate": 0.2},
        {"scale": 0.3},
        {"shear": 20},
        {"elastic": 1},
        {"crop": 0.7},
        {"cutout": 9},
        {"brightness": 0.3},
        {"contrast": 0.3},
        {"flip": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_augmentation_alone_changes_most_images(images: Tensor, change: dict[str, float]) -> None:
    settings = Augmentation.model_validate(NOTHING.model_dump() | change)
    changed = (augmentation.augment(images, settings, seeded()) != images).flatten(1).any(dim=1)
    assert changed.float().mean() > 0.25


def test_translation_stays_within_its_share_of_each_side() -> None:
    settings = NOTHING.model_copy(update={"translate": 0.2})
    moved = augmentation.augment(ramps(300, 20, 40), settings, seeded())[:, :, 10, 20] - ramps(1, 20, 40)[:, :, 10, 20]
    largest = moved.abs().amax(dim=0)
    assert (largest <= torch.tensor([8.0, 4.0]) + 1e-4).all()
    assert (largest > torch.tensor([7.0, 3.5])).all()


def test_lighting_changes_all_pixels_of_an_image_alike_and_within_its_limits() -> None:
    grey = torch.full((500, 1, 4, 4), 0.5)
    lit = augmentation.lighting(grey, 0.1, 0.25, seeded())
    assert torch.equal(lit, lit[:, :, :1, :1].expand_as(lit))
    assert lit.min() >= 0.5 / 1.25 - 0.1
    assert lit.max() <= 0.5 * 1.25 + 0.1
    assert lit.std() > 0.05
    assert augmentation.lighting(grey, 0.9, 0.9, seeded()).max() <= 1


Change = Callable[[Tensor, Generator], Tensor]
PURE = [
    *(pytest.param(view.show, id=name) for name, view in views.VIEWS.items()),
    pytest.param(lambda x, g: augmentation.augment(x, EVERYTHING, g), id="augment"),
]


@pytest.mark.parametrize("change", PURE)
def test_images_and_random_state_are_left_alone_and_the_shape_is_kept(images: Tensor, change: Change) -> None:
    before, state = images.clone(), torch.get_rng_state()
    result = change(images, seeded())
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert (result.shape, result.dtype) == (images.shape, images.dtype)


@pytest.mark.parametrize("change", [p for p in PURE if p.id != "clean"])
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(images: Tensor, change: Change) -> None:
    once = change(images, seeded(3))
    assert torch.equal(once, change(images, seeded(3)))
    assert not torch.equal(once, change(images, seeded(4)))


@pytest.mark.parametrize("change", [p for p in PURE if p.id != "noise"])
def test_all_channels_of_an_image_change_alike(digits: Tensor, change: Change) -> None:
    grey = transforms.to_float(digits)
    colour = change(grey.expand(-1, 3, -1, -1), seeded())
    torch.testing.assert_close(colour, change(grey, seeded()).expand(-1, 3, -1, -1))


def test_noise_differs_from_channel_to_channel(digits: Tensor) -> None:
    colour = views.noise(transforms.to_float(digits).expand(-1, 3, -1, -1), seeded())
    assert not torch.equal(colour[:, 0], colour[:, 1])


def test_only_images_of_mirroring_views_are_mirrored_anew(images: Tensor) -> None:
    images = images.repeat(-(-400 // len(images)), 1, 1, 1)[:400]
    n = len(images)
    mirrored = torch.arange(n) < n // 2
    shown = augmentation.redraw_views(images, mirrored, 0.0, seeded(1))
    assert torch.equal(shown[~mirrored], images[~mirrored])
    ways = [images, images.flip(-1), images.flip(-2), images.flip(-1, -2)]
    found = torch.stack([(shown == way).flatten(1).all(dim=1) for way in ways])[:, mirrored]
    assert found.any(dim=0).all()
    all_others = augmentation.redraw_views(images, mirrored, 1.0, seeded(1))[mirrored]
    among = [(all_others == way[mirrored]).flatten(1).all(dim=1) for way in ways]
    assert torch.stack(among).any(dim=0).all(), "never blurred on top"
    assert found.sum(dim=1).float().div(n // 2).tolist() == pytest.approx([0.25] * 4, abs=0.08)


def test_a_share_of_the_others_is_seen_mirrored_and_blurred(images: Tensor) -> None:
    images = images.repeat(-(-400 // len(images)), 1, 1, 1)[:400]
    none = torch.zeros(400, dtype=torch.bool)
    shown = augmentation.redraw_views(images, none, 0.3, seeded(1))
    changed = (shown != images).flatten(1).any(dim=1)
    assert changed.float().mean().item() == pytest.approx(0.3, abs=0.07)
    assert shown.min() >= 0
    assert shown.max() <= 1
    assert shown.sum().item() == pytest.approx(images.sum().item(), rel=0.02), "blurred, not lost"
    assert torch.equal(augmentation.redraw_views(images, none, 0.0, seeded(1)), images)
