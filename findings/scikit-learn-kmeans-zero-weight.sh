#!/usr/bin/env bash
# Package:  scikit-learn 1.9.1 (SciPy 1.17.1, NumPy 2.4.6), Python 3.11
# Expected: a point of sample_weight 0 changes nothing in K-means: the centres are those that the other points give alone.
# Seen:     when a cluster gets empty, KMeans moves it to the point that is farthest from its centre, whatever its weight. A
#           point of weight 0 there takes the cluster and gives it no mass: the centre falls onto the centre of another
#           cluster, and two clusters come out instead of three, with a warning that blames duplicate points. Without the
#           point there are three. Lloyd and Elkan do the same.
# Date:     2026-11-30
# Output seen:
#   scikit-learn 1.9.1, NumPy 2.4.6
#   lloyd with the point  sizes [50, 50, 0], inertia 182 Number of distinct clusters (2) found s
#   lloyd without it      sizes [50, 29, 21], inertia 148
#   elkan with the point  sizes [50, 50, 0], inertia 182 Number of distinct clusters (2) found s
#   elkan without it      sizes [50, 29, 21], inertia 148
#   As described: a point of weight 0 costs a cluster.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6

venv/bin/python - <<'PYTHON'
import sys
import warnings

import numpy as np
import sklearn
from sklearn.cluster import KMeans

print(f"scikit-learn {sklearn.__version__}, NumPy {np.__version__}")
random = np.random.default_rng(0)
points = np.concatenate([random.normal(0, 1, (50, 2)), random.normal(10, 1, (50, 2)), [[100, 100]]])
weights = np.array([1.0] * 100 + [0.0])
starts = np.array([[0.0, 0.0], [10.0, 10.0], [-500.0, -500.0]])  # the third gets no point at first
clusters = {}
for algorithm in ("lloyd", "elkan"):
    for name, some, weight in (("with the point", points, weights), ("without it", points[:100], weights[:100])):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = KMeans(3, init=starts, n_init=1, algorithm=algorithm).fit(some, sample_weight=weight)
        sizes = np.bincount(model.labels_[:100], minlength=3).tolist()
        clusters[algorithm, name] = len(np.unique(model.labels_))
        print(f"{algorithm} {name:15} sizes {sizes}, inertia {model.inertia_:.0f}", *(str(w.message)[:39] for w in caught))

if [*clusters.values()] != [2, 3, 2, 3]:
    sys.exit(f"CHANGED: the numbers of clusters are {clusters}")
print("As described: a point of weight 0 costs a cluster.")
PYTHON
