"""One training loop and one prediction pass: what they promise, on a few hundred real digits."""

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from kmpl.config.experiment import Augmentation, Training
from kmpl.datasets import registry
from kmpl.datasets.types import Images
from kmpl.errors import DivergedError
from kmpl.images.transforms import to_float
from kmpl.models import registry as networks
from kmpl.models.embedding import embed, predict
from kmpl.models.network import Network
from kmpl.runtime.seeds import generator
from kmpl.training import metrics
from kmpl.training.examples import Examples, batches, examples
from kmpl.training.history import Epoch, Fit
from kmpl.training.loop import fit

PLAIN = Augmentation(degrees=0, translate=0, scale=0, shear=0, elastic=0, brightness=0, contrast=0)
N = 96


@pytest.fixture(scope="module")
def mnist() -> Images:
    return registry.read("MNIST", True)


@pytest.fixture(scope="module")
def digits(mnist: Images) -> Examples:
    """The first digits, each of weight one, grouped by class."""
    return examples(mnist.images[:N], mnist.labels[:N].numpy())


@pytest.fixture(scope="module")
def held(mnist: Images) -> tuple[Tensor, np.ndarray]:
    """A hundred other digits."""
    return mnist.images[10_000:10_100], mnist.labels[10_000:10_100].numpy()


@pytest.fixture(scope="module")
def nobody(mnist: Images) -> tuple[Tensor, np.ndarray]:
    return mnist.images[:0], np.empty(0, dtype=np.int64)


def settings(**change: Any) -> Training:
    quick = {"epochs": 2, "batch_size": 32, "optimizer": "adam", "schedule": "constant", "weight_decay": 0.0}
    return Training.model_validate(quick | change)


def new(seed: int = 0) -> Network:
    return networks.build("cnn", channels=1, n_classes=10, seed=seed)


def same(one: nn.Module, two: nn.Module) -> bool:
    a, b = one.state_dict(), two.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


class Dropping(Network):
    """A network with nothing random but dropout."""

    dimension = 16

    def __init__(self) -> None:
        super().__init__()
        self.extractor = nn.Sequential(nn.Flatten(), nn.Linear(784, self.dimension), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(self.dimension, 10))


# Batches


def test_an_epoch_takes_whole_shuffled_passes_until_enough_images_are_drawn() -> None:
    drawn = torch.cat(list(batches(10, per_epoch=25, size=4, draws=generator(0))))
    assert len(drawn) == 24  # the 25th would be alone in its batch
    for begin in (0, 10):
        assert sorted(drawn[begin : begin + 10].tolist()) == list(range(10))
        assert drawn[begin : begin + 10].tolist() != list(range(10))
    assert len(set(drawn[20:].tolist())) == 4
    assert drawn[:10].tolist() != drawn[10:20].tolist()


def test_an_epoch_shorter_than_the_set_draws_no_image_twice() -> None:
    drawn = torch.cat(list(batches(100, per_epoch=30, size=8, draws=generator(0))))
    assert len(drawn) == len(set(drawn.tolist())) == 30


@pytest.mark.parametrize(("n", "sizes"), [(8, [4, 4]), (9, [4, 4]), (10, [4, 4, 2]), (3, [3])])
def test_only_a_batch_of_a_single_image_is_left_out(n: int, sizes: list[int]) -> None:
    assert [len(batch) for batch in batches(n, per_epoch=n, size=4, draws=generator(0))] == sizes


# The loop


def test_the_loop_is_the_one_that_anybody_would_write(digits: Examples, nobody: tuple[Tensor, np.ndarray]) -> None:
    ours = fit(new(), digits, settings(epochs=1, learning_rate=0.002), augmentation=PLAIN, seed=7, validation=nobody)
    theirs = new().train()
    optimizer = torch.optim.Adam(theirs.parameters(), lr=0.002)
    losses = []
    for batch in torch.randperm(N, generator=generator(7, "batches")).split(32):
        loss = cross_entropy(theirs(digits.images[batch].float() / 255), digits.labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert ours.history[0].loss == pytest.approx(np.mean(losses), rel=1e-4)
    for (key, a), b in zip(ours.network.state_dict().items(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3, msg=key)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(
    digits: Examples, held: tuple[Tensor, np.ndarray]
) -> None:
    one, two, other = (
        fit(new(), digits, settings(), augmentation=Augmentation(), seed=seed, validation=held) for seed in (3, 3, 4)
    )
    assert same(one.network, two.network)
    assert not same(one.network, other.network)
    for a, b in zip(one.history, two.history, strict=True):
        assert dataclasses.replace(a, seconds=0) == dataclasses.replace(b, seconds=0)


def test_dropout_is_drawn_from_the_seed_and_from_nothing_else(
    digits: Examples, nobody: tuple[Tensor, np.ndarray]
) -> None:
    start = Dropping().state_dict()
    one = examples(digits.images[:1].expand(N, -1, -1, -1), np.zeros(N, dtype=np.int64))  # their order cannot matter

    def trained(global_seed: int, seed: int) -> Network:
        network = Dropping()
        network.load_state_dict(start)
        torch.manual_seed(global_seed)
        return fit(network, one, settings(), augmentation=PLAIN, seed=seed, validation=nobody).network

    assert same(trained(1, 5), trained(2, 5))
    assert not same(trained(1, 5), trained(1, 6))


def test_training_leaves_the_global_random_state_and_the_images_as_they_were(
    digits: Examples, nobody: tuple[Tensor, np.ndarray]
) -> None:
    state, images = torch.get_rng_state(), digits.images.clone()
    fit(new(), digits, settings(epochs=1), augmentation=Augmentation(), seed=0, validation=nobody)
    with pytest.raises(DivergedError):
        fit(new(), digits, settings(learning_rate=1e30), augmentation=PLAIN, seed=0, validation=nobody)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(digits.images, images)


def test_history_tells_every_epoch_as_it_was_told(digits: Examples, held: tuple[Tensor, np.ndarray]) -> None:
    told: list[tuple[Epoch, int]] = []
    result = fit(
        new(),
        digits,
        settings(epochs=3),
        augmentation=PLAIN,
        seed=0,
        validation=held,
        on_epoch=lambda *args: told.append(args),
    )
    assert tuple(epoch for epoch, _ in told) == result.history
    assert [(epoch.number, total) for epoch, total in told] == [(1, 3), (2, 3), (3, 3)]
    assert (result.kept_epoch, result.stop_reason, result.images) == (3, "last epoch", N)
    for epoch in result.history:
        assert 0 <= epoch.accuracy <= 1
        assert 0 < epoch.seconds <= result.seconds
    assert result.history[-1].loss < result.history[0].loss
    assert sum(epoch.seconds for epoch in result.history) <= result.seconds


def check_kept_epoch(result: Fit, held: tuple[Tensor, np.ndarray]) -> None:
    """Check that the network handed back is the one whose validation the kept epoch tells."""
    probabilities = predict(result.network, held[0])
    assert result.validation_accuracy == metrics.accuracy(probabilities.argmax(axis=1), held[1])
    assert result.validation_loss == metrics.log_loss(probabilities, held[1])
    assert result.history[result.kept_epoch - 1].validation_loss == result.validation_loss


@pytest.mark.parametrize("change", [{}, {"ema": 0.5}, {"patience": 1}, {"ema": 0.5, "patience": 3}])
def test_the_kept_epochs_validation_is_that_of_the_network_handed_back(
    digits: Examples, held: tuple[Tensor, np.ndarray], change: dict[str, Any]
) -> None:
    check_kept_epoch(
        fit(new(), digits, settings(epochs=4, **change), augmentation=PLAIN, seed=0, validation=held), held
    )


def test_early_stopping_keeps_the_best_epoch_and_says_why_it_stopped(
    digits: Examples, held: tuple[Tensor, np.ndarray]
) -> None:
    """Against wrong labels validation gets worse the better the network gets."""
    wrong = held[0], (held[1] + 1) % 10
    result = fit(
        new(), digits, settings(epochs=30, patience=2, learning_rate=0.01), augmentation=PLAIN, seed=0, validation=wrong
    )
    scores = [(epoch.validation_accuracy, -epoch.validation_loss) for epoch in result.history]
    assert scores.index(max(scores)) == result.kept_epoch - 1
    assert len(scores) == result.kept_epoch + 2 < 30
    assert result.stop_reason == "no better validation for 2 epochs"
    check_kept_epoch(result, wrong)


def test_without_patience_the_last_epoch_is_kept_however_bad(digits: Examples, held: tuple[Tensor, np.ndarray]) -> None:
    wrong = held[0], (held[1] + 1) % 10
    result = fit(new(), digits, settings(epochs=5, learning_rate=0.01), augmentation=PLAIN, seed=0, validation=wrong)
    assert (result.kept_epoch, len(result.history)) == (5, 5)


def test_the_running_average_is_that_of_the_state_after_each_step(
    digits: Examples, nobody: tuple[Tensor, np.ndarray]
) -> None:
    """One batch an epoch, so that what is seen after an epoch is what there was after a step."""
    network, steps = new(), list[dict[str, Tensor]]()

    def keep(*_: object) -> None:
        state = network.state_dict()
        steps.append({name: tensor.clone() for name, tensor in state.items() if tensor.is_floating_point()})

    result = fit(
        network,
        digits,
        settings(epochs=4, batch_size=N, ema=0.3),
        augmentation=PLAIN,
        seed=0,
        validation=nobody,
        on_epoch=keep,
    )
    expected = steps[0]
    for decay, step in zip([3 / 12, 0.3, 0.3], steps[1:], strict=True):  # 4 / 13 and 5 / 14 are above 0.3
        expected = {name: decay * expected[name] + (1 - decay) * step[name] for name in step}
    kept = result.network.state_dict()
    assert any(name.endswith("running_mean") for name in expected), (
        "batch norm's statistics are averaged with the weights"
    )
    for name, tensor in expected.items():
        torch.testing.assert_close(kept[name], tensor, msg=name)
    plain = fit(new(), digits, settings(epochs=4, batch_size=N), augmentation=PLAIN, seed=0, validation=nobody)
    assert same(network, plain.network), "averaging watches the training and does not change it"
    assert not same(result.network, plain.network)


def test_a_slow_running_average_forgets_the_first_weights_in_few_steps(
    digits: Examples, nobody: tuple[Tensor, np.ndarray]
) -> None:
    """At 0.999 throughout, 40 steps would leave 96 % of the average to the first step's weights."""
    result = fit(
        new(), digits, settings(epochs=40, batch_size=N, ema=0.999), augmentation=PLAIN, seed=0, validation=nobody
    )
    right = predict(result.network, digits.images).argmax(axis=1) == digits.labels.numpy()
    assert right.mean() > 0.9


def test_empty_validation_is_nan_and_no_obstacle(digits: Examples, nobody: tuple[Tensor, np.ndarray]) -> None:
    result = fit(new(), digits, settings(epochs=1), augmentation=PLAIN, seed=0, validation=nobody)
    assert math.isnan(result.validation_accuracy)
    assert math.isnan(result.validation_loss)


def test_a_learning_rate_that_is_far_too_large_is_named_with_the_epoch(
    digits: Examples, nobody: tuple[Tensor, np.ndarray]
) -> None:
    with pytest.raises(DivergedError, match=r"^diverged at epoch [12], learning rate 1e\+30: .*smaller learning rate$"):
        fit(new(), digits, settings(learning_rate=1e30), augmentation=PLAIN, seed=0, validation=nobody)


@pytest.mark.parametrize(
    ("schedule", "low", "high"),
    [("constant", 0.01, 0.01), ("cosine", 0.0, 0.0005), ("one-cycle", 0.0, 0.01 / 25)],  # one-cycle starts at 1/25
)
def test_each_schedule_ends_where_it_should_and_never_rises_after_its_peak(
    digits: Examples, nobody: tuple[Tensor, np.ndarray], schedule: str, low: float, high: float
) -> None:
    asked = settings(epochs=4, schedule=schedule, learning_rate=0.01)
    rates = [
        epoch.learning_rate
        for epoch in fit(new(), digits, asked, augmentation=PLAIN, seed=0, validation=nobody).history
    ]
    assert low <= rates[-1] <= high
    assert max(rates) <= 0.01 * (1 + 1e-9)
    assert rates[0] > 0.005
    assert all(later <= sooner for sooner, later in itertools.pairwise(rates))


# Weights and groups


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_labels_of_images_of_weight_zero_do_not_matter(
    digits: Examples, nobody: tuple[Tensor, np.ndarray], smoothing: float
) -> None:
    """Their labels, not their pixels: batch norm sees these whatever their weight."""
    weights = (torch.arange(N) % 3 > 0).numpy().astype(np.float32)
    garbage = np.where(weights > 0, digits.labels.numpy(), (digits.labels.numpy() + 5) % 10)
    asked = settings(label_smoothing=smoothing)
    true, wrong = (
        fit(
            new(),
            examples(digits.images, labels, weights=weights),
            asked,
            augmentation=PLAIN,
            seed=0,
            validation=nobody,
        )
        for labels in (digits.labels.numpy(), garbage)
    )
    assert same(true.network, wrong.network)
    assert [epoch.loss for epoch in true.history] == [epoch.loss for epoch in wrong.history]
    heavy = fit(new(), examples(digits.images, garbage), asked, augmentation=PLAIN, seed=0, validation=nobody)
    assert not same(wrong.network, heavy.network), "the same labels do matter where they weigh something"


def test_only_the_proportions_of_weights_matter(digits: Examples, nobody: tuple[Tensor, np.ndarray]) -> None:
    weights = np.random.default_rng(0).uniform(0.1, 1, N)
    one, four = (
        fit(
            new(),
            examples(digits.images, digits.labels.numpy(), weights=w),
            settings(),
            augmentation=PLAIN,
            seed=0,
            validation=nobody,
        ).network
        for w in (weights, 4 * weights)  # a power of two, so that not a bit is lost
    )
    assert same(one, four)


def first_loss(data: Examples, weight: float, nobody: tuple[Tensor, np.ndarray]) -> float:
    asked = settings(epochs=1, batch_size=N, clustering_loss=weight)
    return fit(new(), data, asked, augmentation=PLAIN, seed=0, validation=nobody).history[0].loss


@pytest.mark.parametrize("n_groups", [10, 40], ids=["classes", "clusters"])
def test_the_clustering_loss_is_the_mean_squared_distance_to_the_centroid_of_the_group(
    digits: Examples, nobody: tuple[Tensor, np.ndarray], n_groups: int
) -> None:
    groups = digits.labels if n_groups == 10 else torch.arange(N) % n_groups
    with torch.no_grad():
        features = normalize(new().train().embed(to_float(digits.images)), dim=1)
    centroids = torch.stack([features[groups == g].mean(dim=0) for g in range(n_groups)])
    expected = (features - centroids[groups]).square().sum(dim=1).mean().item()
    data = examples(digits.images, digits.labels.numpy(), groups=groups.numpy())
    added = first_loss(data, 3.0, nobody) - first_loss(data, 0.0, nobody)
    assert added == pytest.approx(3 * expected, rel=1e-3)


def scatter(network: Network, images: Tensor, groups: np.ndarray) -> float:
    """Return the share of the variance of the features' directions that lies inside the groups."""
    features, _ = embed(network, images)
    features = features / np.linalg.norm(features, axis=1, keepdims=True)
    inside = sum(((f - f.mean(axis=0)) ** 2).sum() for f in (features[groups == g] for g in np.unique(groups)))
    return float(inside / ((features - features.mean(axis=0)) ** 2).sum())


def test_the_clustering_loss_pulls_the_features_of_each_group_together(
    digits: Examples, nobody: tuple[Tensor, np.ndarray]
) -> None:
    clusters = 2 * digits.labels.numpy() + np.arange(N) % 2
    by_class, by_cluster = digits, examples(digits.images, digits.labels.numpy(), groups=clusters)
    without = fit(new(), by_class, settings(epochs=15), augmentation=PLAIN, seed=0, validation=nobody).network
    for data in (by_class, by_cluster):
        pulled = fit(
            new(), data, settings(epochs=15, clustering_loss=2.0), augmentation=PLAIN, seed=0, validation=nobody
        ).network
        groups = data.groups.numpy()
        assert scatter(pulled, data.images, groups) < 0.8 * scatter(without, data.images, groups)


def test_groups_have_no_say_without_the_clustering_loss_and_their_names_have_none_with_it(
    digits: Examples, nobody: tuple[Tensor, np.ndarray]
) -> None:
    labels = digits.labels.numpy()
    clusters = np.arange(N) % 7

    def trained(groups: np.ndarray | None, weight: float) -> Network:
        data = examples(digits.images, labels, groups=groups)
        return fit(
            new(), data, settings(epochs=1, clustering_loss=weight), augmentation=PLAIN, seed=0, validation=nobody
        ).network

    assert same(trained(clusters, 0), trained(None, 0))
    assert not same(trained(clusters, 1), trained(None, 1))
    assert same(trained(clusters, 1), trained(30 - 3 * clusters, 1))


# Prediction


def test_prediction_does_not_depend_on_the_size_of_its_blocks(digits: Examples) -> None:
    network = fit(
        new(),
        digits,
        settings(),
        augmentation=PLAIN,
        seed=0,
        validation=(digits.images[:0], np.empty(0, dtype=np.int64)),
    ).network
    features, probabilities = embed(network, digits.images)
    for size in (1, 7, N):
        other_features, other_probabilities = embed(network, digits.images, size=size)
        np.testing.assert_allclose(other_features, features, atol=1e-4, rtol=1e-4)
        np.testing.assert_allclose(other_probabilities, probabilities, atol=1e-5)
        np.testing.assert_array_equal(predict(network, digits.images, size), other_probabilities)


def test_prediction_gives_the_networks_features_and_softmax_in_order(digits: Examples) -> None:
    network = new().train()
    features, probabilities = embed(network, digits.images, size=10)
    assert (features.dtype, probabilities.dtype) == (np.float32, np.float32)
    with torch.inference_mode():
        batch = to_float(digits.images)
        network.eval()
        np.testing.assert_allclose(features, network.embed(batch).numpy(), atol=1e-5)
        np.testing.assert_allclose(probabilities, network(batch).softmax(dim=1).numpy(), atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_prediction_changes_neither_network_nor_images(digits: Examples) -> None:
    network, images = new(), digits.images.clone()
    predict(network.train(), digits.images)
    assert same(network, new())
    assert torch.equal(digits.images, images)


def test_no_images_get_no_predictions(digits: Examples) -> None:
    features, probabilities = embed(new(), digits.images[:0])
    assert (features.shape, probabilities.shape) == ((0, 128), (0, 10))


def test_maps_stand_beside_the_deep_features_both_of_length_one(digits: Examples) -> None:
    network = networks.build("cnn", channels=1, n_classes=10, seed=0).eval()
    plain, probabilities = embed(network, digits.images)
    features, same_probabilities = embed(network, digits.images, size=50, components=16)
    np.testing.assert_allclose(same_probabilities, probabilities, atol=1e-6)
    np.testing.assert_allclose(features[:, :128], plain / np.linalg.norm(plain, axis=1, keepdims=True), atol=1e-5)
    with torch.inference_mode():
        maps = network.maps(to_float(digits.images)).numpy()
    expected = PCA(16, svd_solver="full").fit_transform(maps)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(np.abs(features[:, 128:]), np.abs(expected), atol=1e-2)  # an axis may point either way
    assert embed(network, digits.images[:3], components=16)[0].shape == (3, 128 + 3), "as many as there can be"


def test_a_network_without_a_neck_has_no_maps_beside_its_features(digits: Examples) -> None:
    network = networks.build("vgg16", channels=1, n_classes=10, seed=0).eval()
    images = digits.images[:4]
    np.testing.assert_array_equal(embed(network, images, components=8)[0], embed(network, images)[0])


def test_five_hundred_labelled_digits_teach_most_of_the_others(mnist: Images) -> None:
    labels = mnist.labels.numpy()
    others = mnist.images[20_000:21_000], labels[20_000:21_000]
    data = examples(mnist.images[:500], labels[:500])
    result = fit(
        new(),
        data,
        Training(epochs=8, batch_size=50),
        augmentation=Augmentation(),
        seed=0,
        validation=(others[0][:0], labels[:0]),
    )
    assert metrics.accuracy(predict(result.network, others[0]).argmax(axis=1), others[1]) > 0.8
