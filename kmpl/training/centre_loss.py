"""Distance of features to the centroid of their class or cluster, as a loss."""

import torch
from torch import Tensor
from torch.nn.functional import normalize


class CentreLoss:
    """Running mean of the features of each group, for the clustering loss.

    Source: Wen et al. 2016, centre loss, https://doi.org/10.1007/978-3-319-46478-7_31
    """

    def __init__(self, n_groups: int, dimension: int, device: torch.device) -> None:
        self.means = torch.zeros(n_groups, dimension, device=device)
        self.seen = torch.zeros(n_groups, 1, device=device)

    def distance(self, features: Tensor, groups: Tensor, weights: Tensor) -> Tensor:
        """Move the centroids; return each feature vector's squared distance to its own, (B,).

        Distances are between directions (vectors of length one), as K-means sees them: otherwise shrinking all features
        would be the easiest way to bring them together.
        """
        features = normalize(features, dim=1)
        with torch.no_grad():
            share = weights[:, None]
            total = torch.zeros_like(self.means).index_add_(0, groups, features.detach().float() * share)
            count = torch.zeros_like(self.seen).index_add_(0, groups, share)
            rate = torch.where(self.seen > 0, 0.5, 1.0) * (count > 0)
            self.means += rate * (total / count.clamp(min=1e-12) - self.means)
            self.seen += count
        return (features - self.means[groups]).square().sum(dim=1)
