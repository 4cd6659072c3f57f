"""``kmpl label-studio loop`` on a real Label Studio, the flow that is one pass of it, and the same by files."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from label_studio_server import LabelStudio, given, rows
from photographs import CLASSES, write_labels

from kmpl.cli import main
from kmpl.formats.label_studio import labelling_interface
from kmpl.formats.records import LabelRecord

pytest_plugins = ["label_studio_fixtures"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("ignore:.*type hint is inferred:UserWarning"),  # MLflow, of its own types
]
Run = Callable[..., str]
BACKBONE = ("--backbone=efficientnet-lite0", "--threads=1")


def test_the_loop_labels_by_annotations_and_goes_on_once_the_server_is_back(
    run: Run, server: LabelStudio, photos: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    _, truth = photos
    run("push", "loop", "--classes", ",".join(CLASSES))
    number = server.number("loop")
    server.annotate(number, given(truth, 3))

    def annotate_later() -> None:
        until = time.monotonic() + 300
        while not server.tasks(number)[max(truth)]["total_predictions"] and time.monotonic() < until:
            time.sleep(1)
        server.kill()
        time.sleep(8)
        server.start()
        server.annotate(number, given(truth, 1, start=3))

    person = threading.Thread(target=annotate_later)
    person.start()
    flags = ("--out", "out.csv", "--rounds", "2", "--new", "6", "--every", "1", *BACKBONE, "--threshold=0")
    said = run("loop", "loop", *flags)
    person.join()
    assert "18 annotations; waiting for 6 more" in said
    assert "Label Studio does not answer" in said
    counts = Counter(row["source"] for row in rows(tmp_path / "out.csv"))
    assert counts == {"given": 24, "assigned": len(truth) - 24}
    assert len(rows(tmp_path / "out.given.csv")) == 24
    assert json.loads((tmp_path / "out.check.json").read_text())["given"] == 24
    tasks = server.tasks(number)
    assert sum(len(task["predictions"]) for task in tasks.values()) == len(truth) - 24
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".out")]


def test_without_a_connection_files_do_the_same(
    server: LabelStudio, photos: tuple[Path, dict[str, str]], tmp_path: Path, run: Run
) -> None:
    folder, truth = photos
    run("push", "storage", "--classes", "cat")  # so that the server may read the folder
    write_labels(tmp_path / "labels.csv", truth, per_class=3)
    label = ["label", str(folder), "--mlruns", str(tmp_path / "mlruns"), *BACKBONE, "--threshold=0"]
    assert main([*label, "--labels", "labels.csv", "--out", "tasks.json"]) == 0
    number = server.make("files", labelling_interface([LabelRecord(file="", label=name) for name in CLASSES]))
    server.ask("POST", f"/api/projects/{number}/import", json=json.loads(Path("tasks.json").read_text()))
    server.annotate(number, given(truth, 1, start=4))
    export = server.http.get(f"/api/projects/{number}/export", params={"exportType": "JSON"})
    Path("export.json").write_bytes(export.content)
    assert main([*label, "--labels", "export.json", "--out", "pseudo_labels.csv"]) == 0
    assert Counter(row["source"] for row in rows(tmp_path / "pseudo_labels.csv"))["given"] == 24


@pytest.mark.usefixtures("prefect_server")
def test_the_flow_is_one_pass(
    server: LabelStudio, photos: tuple[Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    from flows.label_studio import label_studio as flow
    from kmpl.config.labelling import LabelOptions

    monkeypatch.setenv("KMPL_MLRUNS", str(tmp_path / "mlruns"))
    folder, truth = photos
    run("push", "flow", "--classes", ",".join(CLASSES))
    number = server.number("flow")
    server.annotate(number, given(truth, 3))
    settings = LabelOptions(backbone="efficientnet-lite0", threads=1, threshold=0)
    flow(folder, server.url, "flow", Path("out.csv"), settings=settings)
    assert len(rows(tmp_path / "out.csv")) == len(truth)
    assert sum(bool(task["predictions"]) for task in server.tasks(number).values()) == len(truth) - 18
