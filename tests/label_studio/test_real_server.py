"""Push and pull on a real Label Studio server: what is made, what is left alone, what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
from label_studio_server import TOKEN, LabelStudio, rows
from photographs import write_photographs
from terminal import one_line

from kmpl.cli import main
from kmpl.formats.kmpl_csv import text
from kmpl.formats.label_studio import labelling_interface
from kmpl.formats.records import ASSIGNED, GIVEN, LabelRecord
from kmpl.label_studio import access

pytest_plugins = ["label_studio_fixtures"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("ignore:.*type hint is inferred:UserWarning"),  # MLflow, of its own types
]
Run = Callable[..., str]


def test_labels_go_there_and_come_back_and_a_second_push_makes_nothing_twice(
    run: Run, server: LabelStudio, photos: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    _, truth = photos
    first, second, third, *_ = sorted(truth)
    records = [
        LabelRecord(file=first, label="cat", source=GIVEN, confidence=1.0),
        LabelRecord(file=second, label="dog, big", source=ASSIGNED, confidence=0.8),
        LabelRecord(file=third),
    ]
    Path("labels.csv").write_text(text(records))
    assert "3 new tasks, 1 annotations, 1 predictions (0 earlier" in run("push", "round", "--labels", "labels.csv")
    number = server.number("round")
    tasks = server.tasks(number)
    assert server.http.get(tasks[first]["data"]["image"]).status_code == 200
    assert tasks[second]["predictions"][0]["score"] == 0.8
    Path("labels.csv").write_text(text([records[0], records[2]]).replace(f"{third},,", f"{third},cow,0.7"))
    said = run("push", str(number), "--labels", "labels.csv")
    assert "Added to the classes of project 'round': cow" in said
    assert "0 new tasks, 1 annotations, 0 predictions (0 earlier ones removed)" in said  # a person filled that in
    assert server.tasks(number)[second]["predictions"], "it was not in the file"
    run("pull", "round", "--out", "pulled.csv")
    assert [(row["file"], row["label"], row["source"]) for row in rows(tmp_path / "pulled.csv")] == [
        (first, "cat", "given"),
        (third, "cow", "given"),
    ]
    assert "--overwrite" in run("pull", "round", "--out", "pulled.csv", status=2)
    Path("pulled.csv").write_text(Path("pulled.csv").read_text() + f"{second},pig\n")
    lost = run("pull", "round", "--out", "pulled.csv", "--overwrite", status=2)
    assert f"has a label of yours that are not among the given labels (first: {second}, pig)" in lost


def test_new_predictions_replace_kmpls_and_leave_those_of_others(
    run: Run, server: LabelStudio, photos: tuple[Path, dict[str, str]]
) -> None:
    file = min(photos[1])
    run("push", "versions", "--classes", "cat,dog")
    number = server.number("versions")
    assert len(server.tasks(number)) == len(photos[1])
    task = server.tasks(number)[file]["id"]
    for name in ("cat", "dog"):
        record = LabelRecord(file=file, label=name, source=ASSIGNED, confidence=0.9)
        Path("labels.csv").write_text(text([record]))
        run("push", "versions", "--labels", "labels.csv")
        if name == "cat":
            theirs = {"task": task, "model_version": "theirs", "result": []}
            server.ask("POST", "/api/predictions", json=theirs)
    versions = [p["model_version"] for p in server.tasks(number)[file]["predictions"]]
    assert sorted(version.split()[0] for version in versions) == ["kmpl", "theirs"]
    assert server.ask("GET", f"/api/projects/{number}")["model_version"] in versions


def test_uploads_keep_the_path_of_each_image(run: Run, server: LabelStudio, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    for name in ("a", "b"):
        write_photographs(folder / name, per_class=5, suffix=" +.png")
    write_photographs(folder, per_class=1, suffix=".tif")
    assert "6 images are left out, first" in run("push", "kinds", "--classes", "cat", "--upload", folder=folder)
    assert "60 new tasks" in run("push", "uploads", "--classes", "cat", "--upload", folder=folder)
    assert "0 new tasks" in run("push", "uploads", "--upload", folder=folder)
    tasks = server.tasks(server.number("uploads"))
    for file, task in tasks.items():
        assert server.http.get(task["data"]["image"]).content == (folder / file).read_bytes()


def test_what_cannot_be_is_refused_in_one_line_and_leaves_nothing(
    run: Run, server: LabelStudio, tmp_path: Path, photos: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    write_photographs(outside, per_class=1)
    line = one_line(run("push", "outside", "--classes", "cat", folder=outside, status=2))
    assert f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={tmp_path}, or give --upload" in line
    assert "no project is called 'outside'" in run("pull", "outside", "--out", "x.csv", status=2)
    assert "is new and needs classes" in one_line(run("push", "nothing", status=2))
    assert "there is no project 9999" in one_line(run("push", "9999", status=2))
    boxes = '<View><Image name="i" value="$image"/><RectangleLabels name="b" toName="i"><Label value="x"/>'
    server.make("boxes", boxes + "</RectangleLabels></View>")
    assert "its interface has RectangleLabels; only choices" in one_line(run("push", "boxes", status=2))
    numbers = [server.make("twin", labelling_interface([LabelRecord(file="", label="cat")])) for _ in range(2)]
    assert f"2 projects have this title; give a number: {numbers[0]}, {numbers[1]}" in run("push", "twin", status=2)
    run("push", str(numbers[0]))
    assert "nothing is annotated yet" in one_line(run("pull", str(numbers[0]), "--out", "x.csv", status=2))
    server.annotate(numbers[0], {min(photos[1]): "cat"})
    other = one_line(run("pull", str(numbers[0]), "--out", "x.csv", folder=outside, status=2))
    assert "has no image" in other
    assert "export.json" not in other
    for token in ("wrong", "a.b.c"):
        monkeypatch.setenv(access.TOKEN, token)
        assert "refuses the token in LABEL_STUDIO_API_KEY" in one_line(run("pull", "twin", "--out", "x.csv", status=2))
    assert not Path("x.csv").exists()


def test_a_server_that_may_not_read_folders_says_what_to_set(
    label_studio_program: str,
    served_root: Path,
    tmp_path: Path,
    photos: tuple[Path, dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    closed = LabelStudio(label_studio_program, tmp_path / "data", served_root, serves=False)
    closed.start()
    monkeypatch.setenv(access.TOKEN, TOKEN)
    try:
        words = ["label-studio", "push", str(photos[0]), "--url", closed.url, "--project", "photos", "--classes", "cat"]
        assert main(words) == 2
        line = one_line(capsys.readouterr().err)
        assert "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true" in line
        assert closed.ask("GET", "/api/projects")["count"] == 0
    finally:
        closed.kill()
        closed.http.close()


def test_a_personal_access_token_is_exchanged(run: Run, server: LabelStudio, monkeypatch: pytest.MonkeyPatch) -> None:
    both = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": True, "api_token_ttl_days": 1}
    server.ask("POST", "/api/jwt/settings", json=both)
    monkeypatch.setenv(access.TOKEN, server.ask("POST", "/api/token/")["token"])
    assert "tasks made" in run("push", "personal", "--classes", "cat")
