"""The whole experiment as one frozen, validated, documented tree of settings."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from kmpl.config.backbones import BACKBONES_DESCRIBED, NO_BACKBONE
from kmpl.config.base import COMMA_SEPARATED, Search, Settings
from kmpl.config.choices import described
from kmpl.config.datasets import DATASETS
from kmpl.config.networks import NETWORKS
from kmpl.config.strategies import STRATEGIES

Arm = Literal["labelled-only", "pseudo-label", "notebook", "self-training", "label-spreading", "oracle"]
Protocol = Literal["notebook", "literature"]
Arms = Annotated[tuple[Arm, ...], *COMMA_SEPARATED]


class PoolSettings(Settings):
    """The training images and how they are split."""

    size: int = Field(default=0, ge=0)
    """Number of different training images in the pool; 0 = the protocol's number (notebook 30,000, literature all)."""
    views_per_image: int = Field(default=1, ge=1, le=8)
    """Number of views of each image in the pool. All views of an image are labelled, or none of them is."""
    image_size: int = Field(default=0, ge=0, le=512)
    """Side of the images, pixels; 0 = the protocol's side (notebook 32, literature the data set's own)."""
    validation: float = Field(default=0.1, gt=0, le=0.5)
    """Share of the given labels that validation uses and training does not see; at least one label per class."""


class Augmentation(Settings):
    """Random changes to training images, drawn anew for every batch."""

    strength: Annotated[float, Search(between=(0.4, 1.6), log=False)] = Field(default=1.0, ge=0, le=10)
    """Factor that multiplies rotation, shift, scale, shear, elastic displacement, brightness and contrast."""
    degrees: float = Field(default=10.0, ge=0, le=180)
    """Largest rotation in either direction, degrees."""
    translate: float = Field(default=0.07, ge=0, le=0.5)
    """Largest shift in either direction, share of the side."""
    scale: float = Field(default=0.12, ge=0, lt=1)
    """Largest change of scale, share (0.1 = from 0.9 to 1.1 times)."""
    shear: float = Field(default=10.0, ge=0, le=60)
    """Largest shear in either direction, degrees."""
    elastic: float = Field(default=0.7, ge=0, le=16)
    """Standard deviation of the elastic displacement, pixels; 0 = none."""
    elastic_grid: int = Field(default=5, ge=2, le=64)
    """Number of control points of the elastic displacement per side."""
    crop: float = Field(default=1.0, gt=0, le=1)
    """Smallest share of the side that a random crop keeps; the crop is enlarged to full size. 1 = no crop."""
    cutout: int = Field(default=0, ge=0, le=256)
    """Side of a square that is set to zero at a random position (cutout), pixels; 0 = none."""
    brightness: float = Field(default=0.3, ge=0, lt=1)
    """Largest change of brightness in either direction, share of the full range."""
    contrast: float = Field(default=0.3, ge=0, lt=1)
    """Largest change of contrast, share (0.2 = from 0.83 to 1.2 times)."""
    views: float = Field(default=0.3, ge=0, le=1)
    """Share of the images that are mirrored and blurred, if a view of the pool mirrors images; 0 = no image is."""
    flip: bool = False
    """Flip images horizontally at random (wrong for digits, right for most photographs)."""

    @model_validator(mode="after")
    def _possible(self) -> "Augmentation":
        """Refuse a strength that takes a share to one and above, where an image would vanish or turn inside out."""
        for name in ("scale", "brightness", "contrast"):
            share = getattr(self, name)
            if share * self.strength >= 1:
                raise ValueError(f"strength {self.strength:g} × {name} {share:g}: give less than 1 in all")
        return self


Epochs = Annotated[int, Search(around=(1 / 2, 2)), Field(ge=1, le=10_000, description="Number of epochs.")]
_PER_EPOCH = "Images per epoch: a smaller set is repeated, a larger set is sampled; 0 = each image once."
ImagesPerEpoch = Annotated[int, Field(ge=0, description=_PER_EPOCH)]
_EMA = "Decay per step of the moving average of the weights (EMA); the averaged network is kept; 0 = off."
Ema = Annotated[float, Field(ge=0, lt=1, description=_EMA)]


class Training(Settings):
    """One training from scratch."""

    epochs: Epochs = 20
    images_per_epoch: ImagesPerEpoch = 0
    batch_size: int = Field(default=128, ge=2, le=65_536)
    """Images per optimiser step."""
    optimizer: Literal["adam", "adamw"] = "adamw"
    """Optimiser."""
    learning_rate: Annotated[float, Search(around=(1 / 4, 3))] = Field(default=0.003, gt=0)
    """Peak learning rate."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Weight decay."""
    schedule: Literal["constant", "cosine", "one-cycle"] = "one-cycle"
    """Learning-rate schedule over the steps."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Label smoothing of the cross-entropy."""
    ema: Ema = 0.0
    clustering_loss: Annotated[float, Search(between=(0.0, 0.1), log=False, only="retrain")] = Field(default=0.0, ge=0)
    """Weight λ of the clustering loss: mean squared distance of unit-length features to their centroid; 0 = off."""
    clustering_target: Literal["class", "cluster"] = "class"
    """Centroid of the clustering loss: the class's, or (in retraining) the K-means cluster's."""
    patience: int = Field(default=0, ge=0)
    """Epochs without better validation that stop training; the best epoch is kept. 0 = keep the last epoch."""


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
    """Factor on the epochs of the last round. It does not apply if the pseudo-labels settle before that round."""


class Clustering(Settings):
    """Features into clusters."""

    algorithm: Literal["kmeans", "mini-batch", "seeded"] = "kmeans"
    """K-means (Lloyd), mini-batch K-means, or K-means seeded by the labelled images, which keep their clusters."""
    n_clusters: Annotated[int, Search(around=(1 / 8, 2))] = Field(default=500, ge=1)
    """Number of clusters of all pool images."""
    n_prototypes: int = Field(default=50, ge=1)
    """Number of clusters of the labelled images; each gives a prototype (strategy prototype-knn)."""
    l2: bool = True
    """Scale each feature vector to length one."""
    maps: int = Field(default=64, ge=0)
    """Principal components of the last convolution's output that are added to the deep features; 0 = none."""
    whiten: int = Field(default=0, ge=0)
    """Components that PCA whitening of the deep features keeps; 0 = no whitening."""
    restarts: int = Field(default=1, ge=1, le=100)
    """Number of K-means starts; the start with the lowest inertia is kept."""


class PseudoLabelling(Settings):
    """Clusters into pseudo-labels, and how often."""

    strategy: str = Field(default="cluster-graph", description=f"Pseudo-labelling: {described(STRATEGIES)}.")
    k: Annotated[int, Search(around=(1 / 2, 10))] = Field(default=2, ge=1)
    """Number of nearest neighbours that vote: labelled images of a cluster, or prototypes (prototype-knn)."""
    links: int = Field(default=5, ge=1)
    """Number of nearest clusters that each image links in the graph of clusters (cluster-graph, few labels)."""
    threshold: Annotated[float, Search(between=(0.0, 0.95), log=False)] = Field(default=0.63, ge=0, le=1)
    """Confidence threshold: retraining leaves out the pseudo-labels below it."""
    graph_threshold: float = Field(default=0.0, ge=0, le=1)
    """Confidence threshold where labels are few and cluster-graph propagates them."""
    rounds: Annotated[int, Search(between=(1, 4), log=False)] = Field(default=3, ge=1, le=100)
    """Largest number of rounds (embed, cluster, pseudo-label, retrain)."""
    soft_votes: bool = True
    """Let the unlabelled images of a cluster vote too, by the probabilities of the network."""
    labelled_share: float = Field(default=0.3, ge=0, lt=1)
    """Smallest share of given labels in the retraining set; the given labels are repeated until they reach it."""
    weighted: bool = True
    """Weight each pseudo-label by its confidence in retraining."""


class PretextTraining(Training):
    """Training without labels."""

    epochs: Epochs = 3
    ema: Ema = 0.99


class Pretext(Settings):
    """How features are learnt without labels: the first that are clustered where labels are few."""

    up_to: int = Field(default=2, ge=0)
    """Mean labels per class up to which the first round clusters features learnt without labels."""
    n_clusters: int = Field(default=50, ge=2)
    """Number of clusters that the network learns as classes; fewer if a cluster would hold fewer than five images."""
    rounds: int = Field(default=3, ge=0, le=100)
    """Number of rounds (cluster, train, embed); 0 = the features are the principal components of the pixels."""
    training: PretextTraining = PretextTraining()
    """Training of each round; images_per_epoch 0 = the number of images, at least 2,000 and at most 10,000."""


class Learning(Settings):
    """How networks learn and clusters vote, whatever the images."""

    network: str = Field(default="cnn", description=f"Network: {described(NETWORKS)}.")
    backbone: str = Field(
        default=NO_BACKBONE,
        description=f"Network that learnt elsewhere: {NO_BACKBONE}, {BACKBONES_DESCRIBED}.",
    )
    backbone_weights: str = ""
    """File of its weights; download = its library may fetch them; empty = what is cached."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device that computes; auto takes CUDA, else MPS, else the CPU."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of convolutions; auto takes bfloat16 if the device has instructions for it."""
    threads: int = Field(default=0, ge=0, le=1024)
    """Number of CPU threads; 0 = one per core. Results repeat to the bit only with the same number."""
    augmentation: Augmentation = Augmentation()
    pretrain: Pretraining = Pretraining()
    retrain: Retraining = Retraining()
    pretext: Pretext = Pretext()
    clustering: Clustering = Clustering()
    pseudo_labels: PseudoLabelling = PseudoLabelling()


_DATASETS = f"Data set: {described(DATASETS)}, or folder:PATH (a sub-folder per class)."


class Method(Learning):
    """Everything that determines an experiment's numbers but the draw of the labels."""

    dataset: str = Field(default="MNIST", description=_DATASETS)
    protocol: Protocol = "notebook"
    """Protocol of pool and test set: notebook (30,000 views, mixed test) or literature (all images, clean test)."""
    pool: PoolSettings = PoolSettings()


class ExperimentConfig(Method):
    """Everything that determines an experiment's numbers."""

    ratio: float | None = Field(default=None, gt=0, lt=1)
    """Share of the pool that is labelled (0.1 unless ratio or labels is given)."""
    labels: int | None = Field(default=None, ge=1)
    """Number of labelled images, validation included; give this or ratio."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of the random draws: labels, views, weights, batches."""
    arms: Arms = ("labelled-only", "pseudo-label")
    """Arms (methods) to compare, separated by commas."""

    @model_validator(mode="after")
    def _ratio_or_labels(self) -> "ExperimentConfig":
        if self.ratio is not None and self.labels is not None:
            raise ValueError("give ratio or labels, not both")
        return self


BEFORE = "labelled-only"
AFTER = "pseudo-label"
