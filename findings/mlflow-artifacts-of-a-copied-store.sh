#!/usr/bin/env bash
# Package:  mlflow-skinny 3.17.2 (with SQLAlchemy 2.1.9, Alembic 1.20.1; MLflow 3.17.2 has the same code)
# Expected: MlflowClient(uri) keeps a run's files where the store behind that uri says that they are.
# Seen:     a process remembers by a run's id alone where to write its files. A store (SQLite and a folder of artifacts) is
#           copied, and the locations in the copy point to the copy. Once a process has logged a file to a run in the
#           original, a file that it logs to the same run through a client of the copy lands in the original's folder,
#           without error or warning, though that client gives the right artifact_uri; it does not list the file, either.
#           A process that opens the copy alone does it right.
# Date:     2026-11-30
# Output seen:
#   A store with one run and one file; its copy, whose locations point to the copy
#   mlflow-skinny 3.17.2, SQLAlchemy 2.1.9, Alembic 1.20.1
#   One process opens both:
#     first.txt logged to the original; artifact_uri is in original; listed: ['first.txt', 'in-both.txt']
#     second.txt logged to the copy; artifact_uri is in copy; listed: ['in-both.txt']
#   Another process opens the copy alone:
#     third.txt logged to the copy; artifact_uri is in copy; listed: ['in-both.txt', 'third.txt']
#   In the folder of the original: first.txt in-both.txt second.txt
#   In the folder of the copy: in-both.txt third.txt
#   As described: second.txt, logged to the copy, is in the folder of the original.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true MLFLOW_LOGGING_LEVEL=WARNING
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mlflow-skinny==3.17.2 sqlalchemy==2.1.9 alembic==1.20.1

echo "A store with one run and one file; its copy, whose locations point to the copy"
venv/bin/python - <<'PYTHON'
from pathlib import Path

import alembic
import mlflow
import sqlalchemy
from mlflow import MlflowClient

print(f"mlflow-skinny {mlflow.__version__}, SQLAlchemy {sqlalchemy.__version__}, Alembic {alembic.__version__}")
original = Path.cwd() / "original"
original.mkdir()
client = MlflowClient(f"sqlite:///{original}/mlflow.db")
experiment = client.create_experiment("study", artifact_location=(original / "artifacts").as_uri())
run = client.create_run(experiment).info.run_id
client.log_text(run, "text", "in-both.txt")
Path("run").write_text(run)
PYTHON
cp -r original copy
venv/bin/python - <<'PYTHON'
import sqlite3
from contextlib import closing
from pathlib import Path

old, new = ((Path.cwd() / name).as_uri() + "/" for name in ("original", "copy"))
with closing(sqlite3.connect("copy/mlflow.db")) as database, database:
    for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
        database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (old, new))
PYTHON

cat > log.py <<'PYTHON'
import sys
from pathlib import Path

from mlflow import MlflowClient

run = Path("run").read_text()
for word in sys.argv[1:]:
    store, name = word.split("/")
    client = MlflowClient(f"sqlite:///{Path.cwd()}/{store}/mlflow.db")
    client.log_text(run, "text", name)
    place = client.get_run(run).info.artifact_uri.removeprefix("file://")
    listed = sorted(file.path for file in client.list_artifacts(run))
    inside = Path(place).relative_to(Path.cwd()).parts[0]
    print(f"  {name} logged to the {store}; artifact_uri is in {inside}; listed: {listed}")
PYTHON
files() { find "$1/artifacts" -name '*.txt' -exec basename {} \; | sort | paste -s -d ' '; }

echo "One process opens both:"
venv/bin/python log.py original/first.txt copy/second.txt
echo "Another process opens the copy alone:"
venv/bin/python log.py copy/third.txt
echo "In the folder of the original: $(files original)"
echo "In the folder of the copy: $(files copy)"

if [ "$(files original)" != "first.txt in-both.txt second.txt" ] || [ "$(files copy)" != "in-both.txt third.txt" ]; then
    echo "CHANGED: not second.txt alone, logged to the copy, is in the folder of the original" >&2
    exit 1
fi
echo "As described: second.txt, logged to the copy, is in the folder of the original."
