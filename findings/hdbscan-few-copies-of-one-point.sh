#!/usr/bin/env bash
# Package:  hdbscan 0.8.44 (scikit-learn 1.9.1, SciPy 1.17.1, NumPy 2.4.6), Python 3.11
# Expected: ten more copies of one of 400 points, which lie in two clear groups, change little in the clusters; and all
#           scores that come out are numbers.
# Seen:     nine copies change nothing. With ten (min_cluster_size), the copies are a cluster of infinite density: the group
#           around them falls apart, and 166 of its 200 points become noise. outlier_scores_ is NaN for 188 of the 400, so
#           that sorting by it or a threshold says nothing, and so are the membership vectors of the copies. fit() gives no
#           warning, all_points_membership_vectors() one of NumPy's, on a division.
# Date:     2026-11-30
# Output seen:
#   hdbscan 0.8.44, scikit-learn 1.9.1, NumPy 2.4.6
#    0 copies: 2 clusters; of 400 points   0 are noise,   0 have the score NaN; membership NaN: 0
#    9 copies: 2 clusters; of 400 points   0 are noise,   0 have the score NaN; membership NaN: 0
#   10 copies: 3 clusters; of 400 points 166 are noise, 188 have the score NaN; membership NaN: 11
#   As described: ten copies of one point make most of its group noise, and scores NaN.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check hdbscan==0.8.44 scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6

venv/bin/python -W ignore - <<'PYTHON'
import sys
from importlib.metadata import version

import hdbscan
import numpy as np

print(f"hdbscan {version('hdbscan')}, scikit-learn {version('scikit-learn')}, NumPy {np.__version__}")
random = np.random.default_rng(0)
groups = np.concatenate([random.normal(0, 1, (200, 2)), random.normal(8, 1, (200, 2))])
seen = []
for copies in (0, 9, 10):
    points = np.concatenate([groups, np.repeat(groups[:1], copies, axis=0)])
    model = hdbscan.HDBSCAN(min_cluster_size=10, prediction_data=True).fit(points)
    members = hdbscan.all_points_membership_vectors(model)
    noise = int((model.labels_[:400] == -1).sum())
    no_score = int(np.isnan(model.outlier_scores_[:400]).sum())
    no_member = int(np.isnan(members).any(axis=1).sum())
    seen.append((noise, no_score, no_member))
    clusters = model.labels_.max() + 1
    print(f"{copies:2} copies: {clusters} clusters; of 400 points {noise:3} are noise,", end=" ")
    print(f"{no_score:3} have the score NaN; membership NaN: {no_member}")

if seen[:2] != [(0, 0, 0)] * 2 or min(seen[2]) == 0:
    sys.exit(f"CHANGED: noise, NaN scores, NaN membership with 0, 9 and 10 copies: {seen}")
print("As described: ten copies of one point make most of its group noise, and scores NaN.")
PYTHON
