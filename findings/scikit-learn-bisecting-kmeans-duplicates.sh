#!/usr/bin/env bash
# Package:  scikit-learn 1.9.1 (SciPy 1.17.1, NumPy 2.4.6), Python 3.11
# Expected: BisectingKMeans(n_clusters=8) gives 8 clusters if there are 8 distinct points or more; if it can't, it warns, as
#           KMeans does.
# Seen:     with bisecting_strategy="largest_cluster", once the largest cluster consists of copies of one point (a hundred
#           blank pictures), it is split again and again into itself and nothing, until the count is reached. 60 other
#           points, all distinct, stay one cluster: 2 clusters instead of 8, six centres are copies, and no warning.
#           "biggest_inertia" gives 8 on the same points.
# Date:     2026-11-30
# Output seen:
#   scikit-learn 1.9.1, NumPy 2.4.6
#   160 points, 61 of them distinct, 8 clusters wanted
#   BisectingKMeans, largest_cluster  2 clusters, 2 distinct centres, warnings: 0
#   BisectingKMeans, biggest_inertia  8 clusters, 8 distinct centres, warnings: 0
#   KMeans                            8 clusters, 8 distinct centres, warnings: 0
#   As described: largest_cluster splits the copies, not the rest, and says nothing.
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
from sklearn.cluster import BisectingKMeans, KMeans

print(f"scikit-learn {sklearn.__version__}, NumPy {np.__version__}")
points = np.concatenate([np.zeros((100, 2)), np.random.default_rng(0).normal(5, 1, (60, 2))])
print(f"{len(points)} points, {len(np.unique(points, axis=0))} of them distinct, 8 clusters wanted")
MODELS = {
    "BisectingKMeans, largest_cluster": BisectingKMeans(8, random_state=0, bisecting_strategy="largest_cluster"),
    "BisectingKMeans, biggest_inertia": BisectingKMeans(8, random_state=0, bisecting_strategy="biggest_inertia"),
    "KMeans": KMeans(8, random_state=0),
}
seen = []
for name, model in MODELS.items():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(points)
    centres = len(np.unique(model.cluster_centers_, axis=0))
    seen.append((len(np.unique(model.labels_)), centres, len(caught)))
    print(f"{name:33} {seen[-1][0]} clusters, {centres} distinct centres, warnings: {len(caught)}")

if seen != [(2, 2, 0), (8, 8, 0), (8, 8, 0)]:
    sys.exit(f"CHANGED: clusters, distinct centres and warnings are {seen}")
print("As described: largest_cluster splits the copies, not the rest, and says nothing.")
PYTHON
