#!/usr/bin/env bash
# Package:  onnxruntime 1.31.1 (model made by onnx 1.23.2; NumPy 2.4.6), Python 3.11, CPU
# Expected: a NaN among the scores of a picture is either found by ArgMax and ArgMin (NumPy, PyTorch and onnx's own reference
#           give its place) or never chosen, wherever it stands.
# Seen:     it depends on the place. If the first score is NaN, ArgMax and ArgMin say class 0, though three others have
#           scores; if another is, they skip it and give the best, or the least, of the others. So a broken picture is of
#           class 0 or looks soundly predicted, by the class whose score broke.
# Date:     2026-11-30
# Output seen:
#   onnxruntime 1.31.1, onnx 1.23.2, NumPy 2.4.6
#   [nan  5.  2.  3.] ArgMax and ArgMin: onnxruntime [0, 0], reference [0, 0]
#   [ 4. nan  2.  3.] ArgMax and ArgMin: onnxruntime [0, 2], reference [1, 1]
#   [ 4.  5. nan  3.] ArgMax and ArgMin: onnxruntime [1, 3], reference [2, 2]
#   [ 4.  5.  2. nan] ArgMax and ArgMin: onnxruntime [1, 2], reference [3, 3]
#   As described: a NaN in the first place is chosen, any other is skipped.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check onnxruntime==1.31.1 onnx==1.23.2 numpy==2.4.6

venv/bin/python - <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

print(f"onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}, NumPy {np.__version__}")
nodes = [
    helper.make_node("ArgMax", ["scores"], ["argmax"], axis=1, keepdims=0),
    helper.make_node("ArgMin", ["scores"], ["argmin"], axis=1, keepdims=0),
]
graph = helper.make_graph(
    nodes,
    "graph",
    [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 4])],
    [helper.make_tensor_value_info(name, TensorProto.INT64, ["N"]) for name in ("argmax", "argmin")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
onnx.checker.check_model(model, full_check=True)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
seen = []
for place in range(4):
    scores = np.array([[4, 5, 2, 3]], np.float32)
    scores[0, place] = np.nan
    found = [values[0].item() for values in session.run(None, {"scores": scores})]
    reference = [values[0].item() for values in ReferenceEvaluator(model).run(None, {"scores": scores})]
    seen.append(found)
    print(f"{str(scores[0]):17} ArgMax and ArgMin: onnxruntime {found}, reference {reference}")

if seen != [[0, 0], [0, 2], [1, 3], [1, 2]]:
    sys.exit(f"CHANGED: onnxruntime gives {seen}")
print("As described: a NaN in the first place is chosen, any other is skipped.")
PYTHON
