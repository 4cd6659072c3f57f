#!/usr/bin/env bash
# Package:  k-means-constrained 0.9.1 (OR-Tools 9.15.6755, SciPy 1.17.1, NumPy 2.4.6), Python 3.11
# Expected: K-means does not depend on the unit of the features: points in metres or in kilometres have the same clusters,
#           and an inertia that differs by the square of the factor.
# Seen:     KMeansConstrained rounds distances to thousandths, in whatever unit, before it assigns. Lengths of micrometres
#           written in metres, or histograms of very many bins, lie closer than that: all distances round to 0, the sizes
#           are as asked for, the members are chance, and the inertia is ten times that of the same points in another
#           unit. There is no warning.
# Date:     2026-11-30
# Output seen:
#   k-means-constrained 0.9.1, OR-Tools 9.15.6755, NumPy 2.4.6
#   unit 1      sizes [20 20 20], inertia / unit^2 113, in their group 100%
#   unit 0.01   sizes [20 20 20], inertia / unit^2 113, in their group 100%
#   unit 0.0001 sizes [21 20 19], inertia / unit^2 168, in their group 98%
#   unit 1e-05  sizes [22 19 19], inertia / unit^2 1319, in their group 47%
#   As described: in a small unit the members of the clusters are chance.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    k-means-constrained==0.9.1 ortools==9.15.6755 scipy==1.17.1 numpy==2.4.6

venv/bin/python - <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
from k_means_constrained import KMeansConstrained

print(f"k-means-constrained {version('k-means-constrained')}, OR-Tools {version('ortools')}, NumPy {np.__version__}")
random = np.random.default_rng(0)
group = random.permutation(60) % 3
points = random.normal(4 * group[:, None], 1, (60, 2))
seen = {}
for unit in (1, 0.01, 0.0001, 0.00001):
    model = KMeansConstrained(3, size_min=18, size_max=22, random_state=0).fit(points * unit)
    pure = sum(max(np.bincount(model.labels_[group == place])) for place in range(3)) / 60
    seen[unit] = round(float(pure), 2)
    sizes, inertia = np.bincount(model.labels_), model.inertia_ / unit**2
    print(f"unit {unit:<6} sizes {sizes}, inertia / unit^2 {inertia:.0f}, in their group {pure:.0%}")

if seen[1] != 1 or seen[0.01] != 1 or seen[0.00001] > 0.7:
    sys.exit(f"CHANGED: the share of points in their group is, by unit, {seen}")
print("As described: in a small unit the members of the clusters are chance.")
PYTHON
