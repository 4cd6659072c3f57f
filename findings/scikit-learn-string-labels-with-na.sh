#!/usr/bin/env bash
# Package:  scikit-learn 1.9.1 with pandas 3.1.1 (NumPy 2.4.6)
# Expected: a column of labels in which some are missing is refused with a ValueError that says that y contains NaN, whatever
#           its dtype in pandas: "Int64", "float64" and "str" columns are.
# Seen:     with dtype "string", whose missing values are pd.NA, SelfTrainingClassifier and LogisticRegression die with
#           "TypeError: boolean value of NA is ambiguous"; neither y nor missing values are mentioned. pd.NA alone is not the
#           cause: an "Int64" column has pd.NA, too, and is refused clearly.
# Date:     2026-11-30
# Output seen:
#   scikit-learn 1.9.1, pandas 3.1.1, NumPy 2.4.6
#   float64  missing: nan   LogisticRegression      ValueError: Input y contains NaN.
#   float64  missing: nan   SelfTrainingClassifier  ValueError: Input y contains NaN.
#   Int64    missing: <NA>  LogisticRegression      ValueError: Input y contains NaN.
#   Int64    missing: <NA>  SelfTrainingClassifier  ValueError: Input y contains NaN.
#   str      missing: nan   LogisticRegression      ValueError: Input contains NaN
#   str      missing: nan   SelfTrainingClassifier  ValueError: Input contains NaN
#   string   missing: <NA>  LogisticRegression      TypeError: boolean value of NA is ambiguous
#   string   missing: <NA>  SelfTrainingClassifier  TypeError: boolean value of NA is ambiguous
#   As described: only dtype "string" is refused without a word on what is wrong.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check scikit-learn==1.9.1 pandas==3.1.1 numpy==2.4.6

venv/bin/python - <<'PYTHON'
import sys

import numpy as np
import pandas as pd
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.semi_supervised import SelfTrainingClassifier

print(f"scikit-learn {sklearn.__version__}, pandas {pd.__version__}, NumPy {np.__version__}")
features = [[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]]
said = {}
for dtype in ("float64", "Int64", "str", "string"):
    a, b = ("a", "b") if dtype.startswith("str") else (0, 1)
    labels = pd.Series([a, None, a, b, None, b], dtype=dtype)
    for model in (LogisticRegression(), SelfTrainingClassifier(LogisticRegression())):
        name = type(model).__name__
        try:
            model.fit(features, labels)
            said[dtype, name] = "no error"
        except (TypeError, ValueError) as error:
            said[dtype, name] = f"{type(error).__name__}: {error}".splitlines()[0]
        print(f"{dtype:8} missing: {str(labels[1]):5} {name:23} {said[dtype, name]}")

clear = {dtype for (dtype, _), text in said.items() if text.startswith("ValueError") and "contains NaN" in text}
unclear = {text for (dtype, _), text in said.items() if dtype == "string"}
if clear != {"float64", "Int64", "str"} or unclear != {"TypeError: boolean value of NA is ambiguous"}:
    sys.exit(f"CHANGED: {sorted(clear)} are refused clearly; dtype string gives {sorted(unclear)}")
print('As described: only dtype "string" is refused without a word on what is wrong.')
PYTHON
