#!/usr/bin/env bash
# Package:  skl2onnx 1.20.0 (scikit-learn 1.9.1, onnx 1.23.2, onnxruntime 1.31.1, SciPy 1.17.1, NumPy 2.4.6), Python 3.11
# Expected: a KNeighborsClassifier(weights="distance"), converted to ONNX, predicts what it predicts in scikit-learn, or the
#           converter refuses the option, as it does for estimators that it does not know.
# Seen:     the weights are dropped without a word: the ONNX file predicts, to the last digit of its probabilities, what
#           KNeighborsClassifier(weights="uniform") does. On 500 points of four overlapping classes a tenth of the classes
#           differs; in scikit-learn each training point gets its own class, in ONNX a quarter of them gets another.
# Date:     2026-11-30
# Output seen:
#   skl2onnx 1.20.0, scikit-learn 1.9.1, onnxruntime 1.31.1
#   new points       ONNX of "distance" against distance  same class 90%, probability +- 0.386
#   new points       ONNX of "distance" against uniform   same class 100%, probability +- 0.000
#   training points  ONNX of "distance" against distance  same class 75%, probability +- 0.800
#   training points  ONNX of "distance" against uniform   same class 100%, probability +- 0.000
#   As described: the converted weights="distance" is weights="uniform".
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check skl2onnx==1.20.0 scikit-learn==1.9.1 onnx==1.23.2 \
    onnxruntime==1.31.1 scipy==1.17.1 numpy==2.4.6

venv/bin/python - <<'PYTHON'
import sys

import numpy as np
import onnxruntime
import skl2onnx
import sklearn
from sklearn.neighbors import KNeighborsClassifier

print(f"skl2onnx {skl2onnx.__version__}, scikit-learn {sklearn.__version__}, onnxruntime {onnxruntime.__version__}")
random = np.random.default_rng(0)
labels = random.integers(0, 4, 800)
points = random.normal(size=(800, 3)) * 0.8
points[:, 0] += labels * 1.2
points = points.astype(np.float32)
known, new = points[:300], points[300:]
models = {weights: KNeighborsClassifier(weights=weights).fit(known, labels[:300]) for weights in ("distance", "uniform")}
onnx = skl2onnx.to_onnx(models["distance"], known[:1], options={"zipmap": False})
session = onnxruntime.InferenceSession(onnx.SerializeToString(), providers=["CPUExecutionProvider"])
seen = {}
for name, some in (("new points", new), ("training points", known)):
    predicted, probabilities = session.run(None, {session.get_inputs()[0].name: some})
    for weights, model in models.items():
        same = (predicted == model.predict(some)).mean()
        difference = np.abs(probabilities - model.predict_proba(some)).max()
        seen[name, weights] = same == 1, difference < 1e-6
        print(f'{name:16} ONNX of "distance" against {weights:9} same class {same:.0%}, probability +- {difference:.3f}')

unlike, like = (False, False), (True, True)
if list(seen.values()) != [unlike, like, unlike, like]:
    sys.exit(f"CHANGED: same classes, same probabilities: {seen}")
print('As described: the converted weights="distance" is weights="uniform".')
PYTHON
