"""The one loop over batches: order, sizes, and what is asked for when."""

from collections.abc import Iterator

import numpy as np
import torch

from kmpl.models.backbones.backbone import Backbone
from kmpl.models.backbones.embedding import BATCH_IMAGES, embed_in_batches

COLOUR = Backbone(
    torch.nn.Identity(), name="mean colour", licence="none", size=4, dimension=3, mean=(0, 0, 0), deviation=(1, 1, 1)
)
"""Maps that are the picture: its features are the mean of each channel."""


def test_pictures_are_embedded_in_their_order_and_asked_for_batch_by_batch() -> None:
    asked: list[int] = []

    def pictures() -> Iterator[np.ndarray]:
        for number in range(2 * BATCH_IMAGES + 5):
            asked.append(number)
            yield np.full((4, 4, 3), number, dtype=np.uint8)

    batches = embed_in_batches(COLOUR, pictures(), "cpu", "float32")
    first = next(batches)
    assert len(asked) == len(first) == BATCH_IMAGES
    rest = list(batches)
    assert [len(batch) for batch in rest] == [BATCH_IMAGES, 5]
    np.testing.assert_allclose(np.concatenate([first, *rest])[:, 1] * 255, np.arange(len(asked)), atol=1e-3)


def test_grey_pictures_are_seen_in_three_equal_channels_and_none_is_no_batch() -> None:
    grey = np.full((1, 4, 4, 1), 51, dtype=np.uint8)
    np.testing.assert_allclose(np.concatenate(list(embed_in_batches(COLOUR, grey, "cpu"))), [[0.2] * 3], atol=1e-3)
    assert list(embed_in_batches(COLOUR, [], "cpu")) == []
