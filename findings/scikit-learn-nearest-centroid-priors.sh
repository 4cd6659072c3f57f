#!/usr/bin/env bash
# Package:  scikit-learn 1.9.1 (SciPy 1.17.1, NumPy 2.4.6; the wine data that scikit-learn ships), Python 3.11
# Expected: a classifier's predict() is the class of the greatest predict_proba(); and class priors of 0.334, 0.333 and 0.333
#           give nearly the predictions of equal ones.
# Seen:     with equal priors (the default) NearestCentroid.predict takes the plain nearest centroid, while its predict_proba
#           divides each feature by its standard deviation within the classes first. So the two name different classes for
#           a quarter of the wines, and the accuracy is 72 % by the one and 96 % by the other. As soon as a prior differs
#           in the third decimal, predict divides, too: 72 % becomes 96 %.
# Date:     2026-11-30
# Output seen:
#   scikit-learn 1.9.1
#   priors uniform                right: predict 72 %, predict_proba 96 %; the same: 72 %
#   priors [0.334, 0.333, 0.333]  right: predict 96 %, predict_proba 96 %; the same: 100 %
#   priors empirical              right: predict 97 %, predict_proba 97 %; the same: 100 %
#   As described: with equal priors predict and predict_proba contradict each other.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6

venv/bin/python - <<'PYTHON'
import sys

import sklearn
from sklearn.datasets import load_wine
from sklearn.neighbors import NearestCentroid

print(f"scikit-learn {sklearn.__version__}")
features, labels = load_wine(return_X_y=True)
seen = {}
for priors in ("uniform", [0.334, 0.333, 0.333], "empirical"):
    model = NearestCentroid(priors=priors).fit(features, labels)
    predicted, probable = model.predict(features), model.classes_[model.predict_proba(features).argmax(axis=1)]
    pairs = (predicted, labels), (probable, labels), (predicted, probable)
    seen[str(priors)] = shares = [round(100 * float((a == b).mean())) for a, b in pairs]
    print(f"priors {str(priors):22} right: predict {shares[0]} %, predict_proba {shares[1]} %; the same: {shares[2]} %")

if seen != {"uniform": [72, 96, 72], "[0.334, 0.333, 0.333]": [96, 96, 100], "empirical": [97, 97, 100]}:
    sys.exit(f"CHANGED: accuracy of predict and predict_proba, and their agreement, in per cent: {seen}")
print("As described: with equal priors predict and predict_proba contradict each other.")
PYTHON
