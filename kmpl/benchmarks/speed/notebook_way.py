"""The reference notebook's way of training, rewritten from its description, as the baseline of speed.

PIL transforms images one at a time whenever they are read, VGG16 has PyTorch's default memory layout, each step waits
for its loss (``.item()``), and distances are one full matrix.
"""

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset
from torchvision import transforms
from torchvision.transforms.functional import to_pil_image

from kmpl.datasets.types import Images
from kmpl.models.network import Network

BATCH = 64
EPOCHS = 4

_FLIPS = [transforms.RandomHorizontalFlip(), transforms.RandomVerticalFlip()]
_TRANSFORMS = {
    "clean": [transforms.Resize(32), transforms.ToTensor()],
    "rotation": [transforms.Resize(32), transforms.RandomRotation(15), transforms.ToTensor()],
    "blur": [transforms.Resize(32), *_FLIPS, transforms.GaussianBlur(3, (0.1, 2.0)), transforms.ToTensor()],
}


class View(Dataset[tuple[Tensor, int]]):
    """Images of a data set in one view, drawn anew whenever an image is read."""

    def __init__(self, data: Images, view: str) -> None:
        self.data = data
        self.transform = transforms.Compose(_TRANSFORMS[view])

    def __len__(self) -> int:
        return len(self.data.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(to_pil_image(self.data.images[index])), int(self.data.labels[index])


def batches(data: Images, n: int, device: torch.device | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield ``n`` shuffled batches of the pool's three views, on a device."""
    pool: ConcatDataset[tuple[Tensor, int]] = ConcatDataset([View(data, view) for view in _TRANSFORMS])
    for images, labels in itertools.islice(DataLoader(pool, BATCH, shuffle=True), n):
        yield images.to(device), labels.to(device)


def train(network: Network, data: Images, steps: int) -> int:
    """Train for ``steps`` steps; return the number of images."""
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001)
    criterion = nn.CrossEntropyLoss()
    n_images = 0
    running_loss = 0.0
    n_right = 0
    for images, labels in batches(data, steps, next(network.parameters()).device):
        optimizer.zero_grad()
        logits = network(images)
        loss = criterion(logits, labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
        n_right += (logits.argmax(dim=1) == labels).sum().item()
        n_images += len(labels)
    return n_images


def predict(network: Network, data: Images, steps: int) -> int:
    """Classify ``steps`` batches; return the number of images."""
    network.eval()
    n_images = 0
    n_right = 0
    with torch.no_grad():
        for images, labels in batches(data, steps, next(network.parameters()).device):
            n_right += (network(images).argmax(dim=1) == labels).sum().item()
            n_images += len(labels)
    return n_images


def pseudo_label(labelled: np.ndarray, labels: np.ndarray, unlabelled: np.ndarray, n_clusters: int = 50) -> np.ndarray:
    """Return the class of each unlabelled feature vector, (U,): prototypes, KNN, cluster by cluster."""
    centroids = KMeans(n_clusters, n_init=10, random_state=0).fit(labelled).cluster_centers_
    nearest = cdist(centroids, labelled).argmin(axis=1)
    knn = KNeighborsClassifier(5).fit(labelled[nearest], labels[nearest])
    clusters = KMeans(n_clusters, n_init=10, random_state=0).fit_predict(unlabelled)
    classes = np.empty(len(unlabelled), dtype=np.int64)
    for cluster in range(n_clusters):
        classes[clusters == cluster] = knn.predict(unlabelled[clusters == cluster])
    return classes


def images_of_the_job(pool: int, labelled: int, test: int) -> tuple[int, int]:
    """Return the number of images that the whole job trains on, and the number that it predicts.

    Four epochs on the labelled images, features of all, four epochs on all; the test after every epoch.
    """
    return EPOCHS * (labelled + pool), 2 * EPOCHS * test + pool
