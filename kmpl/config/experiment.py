"""The whole experiment as one frozen, validated, documented tree of settings."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from kmpl.config.base import COMMA_SEPARATED, Search, Settings

Arm = Literal["labelled-only", "pseudo-label", "notebook", "self-training", "label-spreading", "oracle"]
Protocol = Literal["notebook", "literature"]
Arms = Annotated[tuple[Arm, ...], *COMMA_SEPARATED]


class PoolSettings(Settings):
    """The training images and how they are split."""

    size: int = Field(default=0, ge=0)
    """Distinct training images in the pool; 0 = as many as the protocol says (notebook 30,000, literature all)."""
    views_per_image: int = Field(default=1, ge=1, le=8)
    """Views of each image in the pool; all views of one image stay on the same side of the split."""
    image_size: int = Field(default=0, ge=0, le=512)
    """Side of the images in pixels; 0 = as the protocol says (notebook 32, literature unchanged)."""
    validation: float = Field(default=0.1, gt=0, le=0.5)
    """Share of the labelled budget kept for validation (every n-th label, n = 1 / share), at least one per class."""


class Augmentation(Settings):
    """Random changes to training images, drawn anew for every batch."""

    strength: Annotated[float, Search(between=(0.4, 1.6), log=False)] = Field(default=1.0, ge=0, le=10)
    """Factor on rotation, shift, size, shear, elastic, brightness and contrast below, all at once."""
    degrees: float = Field(default=10.0, ge=0, le=180)
    """Largest rotation either way, degrees."""
    translate: float = Field(default=0.07, ge=0, le=0.5)
    """Largest shift either way, share of the side."""
    scale: float = Field(default=0.12, ge=0, lt=1)
    """Largest change of size either way, share (0.1 = from 0.9 to 1.1 times)."""
    shear: float = Field(default=10.0, ge=0, le=60)
    """Largest shear either way, degrees."""
    elastic: float = Field(default=0.7, ge=0, le=16)
    """Standard deviation of the elastic displacement, pixels; 0 = none."""
    elastic_grid: int = Field(default=5, ge=2, le=64)
    """Control points of the elastic displacement per side."""
    crop: float = Field(default=1.0, gt=0, le=1)
    """Smallest share of the side that a random crop keeps before it is enlarged again; 1 = no crop."""
    cutout: int = Field(default=0, ge=0, le=256)
    """Side of a square set to zero at a random place, pixels; 0 = none."""
    brightness: float = Field(default=0.3, ge=0, lt=1)
    """Largest shift of all pixels of an image either way, share of the full range."""
    contrast: float = Field(default=0.3, ge=0, lt=1)
    """Largest change of contrast either way, share (0.2 = from 0.83 to 1.2 times)."""
    views: float = Field(default=0.3, ge=0, le=1)
    """Share of images shown mirrored and blurred, where a view of the pool does that; 0 = none, nor mirrored anew."""
    flip: bool = False
    """Random horizontal flip (wrong for digits, right for most photographs)."""

    @model_validator(mode="after")
    def _possible(self) -> "Augmentation":
        """Refuse a strength that takes a share to one and above, where an image would vanish or turn inside out."""
        for name in ("scale", "brightness", "contrast"):
            share = getattr(self, name)
            if share * self.strength >= 1:
                raise ValueError(f"strength {self.strength:g} × {name} {share:g}: give less than 1 in all")
        return self


Epochs = Annotated[int, Search(around=(1 / 2, 2)), Field(ge=1, le=10_000, description="Epochs.")]
_PER_EPOCH = "Images drawn per epoch: smaller sets are repeated, larger ones sampled; 0 = every image once."
ImagesPerEpoch = Annotated[int, Field(ge=0, description=_PER_EPOCH)]
_EMA = "Decay per step of the running average of weights that is kept instead of the last, less at first; 0 = off."
Ema = Annotated[float, Field(ge=0, lt=1, description=_EMA)]


class Training(Settings):
    """One training from scratch."""

    epochs: Epochs = 20
    images_per_epoch: ImagesPerEpoch = 0
    batch_size: int = Field(default=128, ge=2, le=65_536)
    """Images per step."""
    optimizer: Literal["adam", "adamw"] = "adamw"
    """Optimiser."""
    learning_rate: Annotated[float, Search(around=(1 / 4, 3))] = Field(default=0.003, gt=0)
    """Peak learning rate."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Weight decay."""
    schedule: Literal["constant", "cosine", "one-cycle"] = "one-cycle"
    """Course of the learning rate over the steps."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Label smoothing of the cross-entropy."""
    ema: Ema = 0.0
    clustering_loss: Annotated[float, Search(between=(0.0, 0.1), log=False, only="retrain")] = Field(default=0.0, ge=0)
    """Weight λ of the clustering loss: mean squared distance of unit-length features to the centroid of their group."""
    clustering_target: Literal["class", "cluster"] = "class"
    """Whose centroid the clustering loss pulls to: the class's, or (when retraining) the K-means cluster's."""
    patience: int = Field(default=0, ge=0)
    """Epochs without a better validation before training stops and the best epoch is kept; 0 = last epoch is kept."""


class Pretraining(Training):
    """Training on the given labels alone. (A type of its own: the command line's help reads defaults from types.)"""

    epochs: Epochs = 12
    images_per_epoch: ImagesPerEpoch = 8_000
    ema: Ema = 0.99


class Retraining(Training):
    """Training on given and assigned labels."""

    epochs: Epochs = 5
    images_per_epoch: ImagesPerEpoch = 30_000
    ema: Ema = 0.99
    last_round: int = Field(default=3, ge=1, le=100)
    """Times as many epochs in the last round, whose network stays; not if labels settle in an earlier one."""


class Clustering(Settings):
    """Features into clusters."""

    algorithm: Literal["kmeans", "mini-batch", "seeded"] = "kmeans"
    """K-means (Lloyd), mini-batch K-means, or K-means seeded by the labelled images, which stay clamped."""
    n_clusters: Annotated[int, Search(around=(1 / 8, 2))] = Field(default=500, ge=1)
    """Clusters of all pool images."""
    n_prototypes: int = Field(default=50, ge=1)
    """Clusters of the labelled images, one prototype each (strategy prototype-knn)."""
    l2: bool = True
    """Scale each feature vector to length one."""
    maps: int = Field(default=64, ge=0)
    """Principal components of the last convolution's output that stand beside the deep features; 0 = none."""
    whiten: int = Field(default=0, ge=0)
    """Components kept by PCA-whitening before that; 0 = no whitening."""
    restarts: int = Field(default=1, ge=1, le=100)
    """K-means starts; the best inertia wins."""


class PseudoLabelling(Settings):
    """Clusters into pseudo-labels, and how often."""

    strategy: str = "cluster-graph"
    """Who assigns: cluster-graph, consensus, cluster-vote, prototype-knn, self-training or label-spreading."""
    k: Annotated[int, Search(around=(1 / 2, 10))] = Field(default=2, ge=1)
    """Nearest neighbours that vote: labelled images in a cluster, or prototypes (prototype-knn)."""
    links: int = Field(default=5, ge=1)
    """Nearest clusters that an image links (cluster-graph, with few labels)."""
    threshold: Annotated[float, Search(between=(0.0, 0.95), log=False)] = Field(default=0.63, ge=0, le=1)
    """Confidence below which an image is left out of retraining."""
    graph_threshold: float = Field(default=0.0, ge=0, le=1)
    """The same where labels are few and cluster-graph spreads them."""
    rounds: Annotated[int, Search(between=(1, 4), log=False)] = Field(default=3, ge=1, le=100)
    """Rounds of embed, cluster, vote, retrain."""
    soft_votes: bool = True
    """Let unlabelled members of a cluster vote too, with the network's probabilities."""
    labelled_share: float = Field(default=0.3, ge=0, lt=1)
    """Least share of given labels in what is retrained on; they are repeated as often as that takes."""
    weighted: bool = True
    """Weight each pseudo-label by its confidence when retraining."""


class PretextTraining(Training):
    """Training without labels."""

    epochs: Epochs = 3
    ema: Ema = 0.99


class Pretext(Settings):
    """How features are learnt without labels: the first that are clustered where labels are few."""

    up_to: int = Field(default=2, ge=0)
    """Labels a class, on average, up to which the first round clusters them; with more, labels teach as much."""
    n_clusters: int = Field(default=50, ge=2)
    """Clusters that the network learns to tell apart; fewer where they would hold less than five images each."""
    rounds: int = Field(default=3, ge=0, le=100)
    """Rounds of cluster, train, embed; 0 = the pixels' principal components are the features."""
    training: PretextTraining = PretextTraining()
    """Of each round; images_per_epoch 0 = as many as there are, but no less than 2,000 and no more than 10,000."""


class Learning(Settings):
    """How networks learn and clusters vote, whatever the images."""

    network: str = "cnn"
    """cnn (small, fast) or vgg16 (the notebook's)."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute; auto takes CUDA, MPS or CPU."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """What convolutions compute in; auto takes bfloat16 where the device has instructions for it."""
    threads: int = Field(default=0, ge=0, le=1024)
    """CPU threads; 0 = as many as the machine has cores. Part of what makes bits repeatable."""
    augmentation: Augmentation = Augmentation()
    pretrain: Pretraining = Pretraining()
    retrain: Retraining = Retraining()
    pretext: Pretext = Pretext()
    clustering: Clustering = Clustering()
    pseudo_labels: PseudoLabelling = PseudoLabelling()


class Method(Learning):
    """Everything that determines an experiment's numbers but the draw of the labels."""

    dataset: str = "MNIST"
    """MNIST, FashionMNIST, KMNIST, EMNIST, USPS, SVHN, CIFAR10, CIFAR100, or folder:PATH (a sub-folder per class)."""
    protocol: Protocol = "notebook"
    """How the pool and the test are made: notebook (30,000 views, mixed test) or literature (all images, clean)."""
    pool: PoolSettings = PoolSettings()


class ExperimentConfig(Method):
    """Everything that determines an experiment's numbers."""

    ratio: float | None = Field(default=None, gt=0, lt=1)
    """Share of the pool that is labelled (0.1 if neither ratio nor labels is given)."""
    labels: int | None = Field(default=None, ge=1)
    """Labelled images, validation included; instead of ratio."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of labels, views, weights and batches."""
    arms: Arms = ("labelled-only", "pseudo-label")
    """Methods to compare, separated by commas."""

    @model_validator(mode="after")
    def _ratio_or_labels(self) -> "ExperimentConfig":
        if self.ratio is not None and self.labels is not None:
            raise ValueError("give ratio or labels, not both")
        return self


BEFORE, AFTER = "labelled-only", "pseudo-label"
