"""The benchmark of shards: what it measures is there, and its page says how it grows."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sweeping import here

from kmpl.benchmarks.speed.shards import PARTS, WAYS, Clustered, PartCost, cluster, label, write_pictures, write_shards
from kmpl.benchmarks.speed.shards_page import markdown
from kmpl.datasets.registry import read


def costs(power: float) -> list[PartCost]:
    return [
        PartCost(images=n, part=part, seconds=(n / 1_000) ** power, peak=700.0, accuracy=0.9)
        for n in (1_000, 10_000)
        for part in PARTS
    ]


@pytest.mark.parametrize("power", [1.13, 0.87])
def test_the_page_says_by_which_power_a_part_grows(power: float) -> None:
    ways = [Clustered(way=way, inertia=10.0 + i, seconds=2.0**i) for i, way in enumerate(WAYS)]
    page = markdown(ways, costs(power), [], {"command": "kmpl benchmark shards"})
    assert page.count(f"| {power:.2f} |") == len(PARTS)
    assert "| over shards | 0.8333 | 1.0 | 0.25 |" in page
    assert "Pictures, embedded" not in page
    assert "- command: `kmpl benchmark shards`" in page


def test_it_measures_features_and_k_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KMPL_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setattr("kmpl.benchmarks.speed.shards.CLUSTERS", 20)
    data = read("MNIST", train=True)
    pixels = data.images[:200].reshape(200, -1).numpy().astype(np.float64)
    features = PCA(16).fit_transform(pixels).astype(np.float32)
    folder = write_shards(features, data.labels[:200].numpy(), 1_000, tmp_path / "some")
    ways = {way: cluster(folder / "features", way) for way in WAYS}
    assert ways[WAYS[0]].inertia < 1.05 * ways[WAYS[2]].inertia
    measured = label(folder, f"features:{folder / 'features'}")
    assert [cost.part for cost in measured] == list(PARTS)
    assert measured[-1].accuracy > 0.6
    assert measured[-1].seconds == pytest.approx(sum(cost.seconds for cost in measured[:-1]))
    assert measured[-1].peak >= measured[0].peak > 100


def test_pictures_are_digits_with_a_few_labels(tmp_path: Path) -> None:
    folder = write_pictures(300, tmp_path)
    assert len(list((folder / "pictures").rglob("*.png"))) == 300
    assert len((folder / "labels.csv").read_text().splitlines()) == 1 + 200


def test_a_backbone_that_embeds_nothing_is_refused(tmp_path: Path) -> None:
    done = here("benchmark", "shards", "--backbone", "none", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "backbone none: it embeds no picture; name a network" in done.stderr
