"""The test images: the same for every experiment, in every view of the protocol."""

import numpy as np
import pytest
import torch

from kmpl.config.presets import load
from kmpl.datasets import registry
from kmpl.datasets.test_set import TestSet, open_test_set
from kmpl.datasets.types import Images
from kmpl.images.transforms import resize, to_float, to_uint8


@pytest.fixture(scope="module")
def mnist_test() -> Images:
    return registry.read("MNIST", train=False)


@pytest.fixture(scope="module")
def notebook() -> TestSet:
    return open_test_set(load(change={"protocol": "notebook"}))


def test_the_notebook_protocol_shows_all_test_images_in_four_views_of_32_pixels(
    notebook: TestSet, mnist_test: Images
) -> None:
    assert list(notebook.views) == ["clean", "noise", "rotation", "blur"]
    for images in notebook.views.values():
        assert images.shape == (10_000, 1, 32, 32)
        assert images.dtype == torch.uint8
    np.testing.assert_array_equal(notebook.labels, mnist_test.labels.numpy())


def test_the_literature_protocol_shows_the_images_as_they_are(mnist_test: Images) -> None:
    test = open_test_set(load(change={"protocol": "literature"}))
    assert list(test.views) == ["clean"]
    assert torch.equal(test.views["clean"], mnist_test.images)
    np.testing.assert_array_equal(test.labels, mnist_test.labels.numpy())


def test_the_views_do_not_depend_on_the_experiment(notebook: TestSet) -> None:
    change = {"protocol": "notebook", "seed": 1234, "labels": 500, "pool": {"size": 2_000, "views_per_image": 2}}
    other = open_test_set(load(change=change))
    assert all(torch.equal(other.views[view], images) for view, images in notebook.views.items())


def test_clean_is_the_resized_image_and_every_other_view_differs(notebook: TestSet, mnist_test: Images) -> None:
    clean = notebook.views["clean"]
    assert torch.equal(clean[:100], to_uint8(resize(to_float(mnist_test.images[:100]), 32)))
    for view, share in (("noise", 1.0), ("rotation", 0.8), ("blur", 0.95)):  # small turns move no pixel of a digit
        changed = (notebook.views[view] != clean).flatten(1).any(dim=1)
        assert changed.float().mean() >= share, view
    assert (notebook.views["noise"][:, :, :3] > 0).float().mean() > 0.4, "noise reaches the dark border too"
    assert (clean[:, :, :3] > 0).float().mean() < 0.05


def test_the_image_size_of_the_pool_holds_for_the_test_too() -> None:
    test = open_test_set(load(change={"protocol": "literature", "pool": {"image_size": 14}}))
    assert test.views["clean"].shape == (10_000, 1, 14, 14)
