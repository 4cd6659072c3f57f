"""`kmpl benchmark` and `kmpl audit` as a person runs them, on few images."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sweeping import here, kmpl

from kmpl.benchmarks.accuracy.fewest import WAYS

SMALL = ("--config", "tiny.toml", "--out", "results", "--seeds", "0")


@pytest.mark.slow
@pytest.mark.parametrize("which", ["literature", "notebook"])
def test_a_benchmark_writes_its_page_figure_and_numbers(which: str, tmp_path: Path) -> None:
    arms = "labelled-only,pseudo-label"
    done = kmpl("benchmark", which, *SMALL, "--engine", "direct", "--ratios", "0.4,0.2", "--arms", arms, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = tmp_path / "results"
    assert f"{Path('results') / which}.md, .png and .json are written" in done.stdout
    assert (results / f"{which}.png").read_bytes().startswith(b"\x89PNG")
    numbers = json.loads((results / f"{which}.json").read_text(encoding="utf-8"))
    page = (results / f"{which}.md").read_text(encoding="utf-8")
    assert numbers["digest"] in page
    assert f"kmpl benchmark {which}" in page
    assert numbers["settings"]["experiment"]["protocol"] == which
    assert (numbers["settings"]["name"], len(numbers["results"])) == (which, 2)

    more = ("--arms", "labelled-only,oracle", "--name", "other-arms", "--join", f"results/{which}.json")
    done = kmpl("benchmark", which, *SMALL, "--engine", "direct", "--ratios", "0.4,0.2", *more, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    numbers = json.loads((results / f"{which}.json").read_text(encoding="utf-8"))
    assert list(numbers["results"][0]["arms"]) == ["labelled-only", "pseudo-label", "oracle"]
    page = (results / f"{which}.md").read_text(encoding="utf-8")
    assert "Joined from 2 runs" in page
    assert f"--arms {arms}" in page
    assert "--arms labelled-only,oracle" in page


@pytest.mark.slow
def test_the_audit_writes_its_page_figure_and_numbers(tmp_path: Path) -> None:
    brief = [f"--{step}.{name}" for step in ("pretrain", "retrain") for name in ("epochs=1", "images-per-epoch=640")]
    few = ["--pool.size=6000", "--protocol=literature", "--clustering.n-prototypes=20", "--threads=1"]
    done = kmpl("audit", "--ratios", "0.3", "--seeds", "0", "--out", "results", *few, *brief, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    numbers = json.loads((tmp_path / "results" / "audit.json").read_text(encoding="utf-8"))
    assert [answer["question"] for answer in numbers["answers"]][:2] == ["leak", "second K-means"]
    assert "kmpl audit" in (tmp_path / "results" / "audit.md").read_text(encoding="utf-8")
    assert done.stdout.splitlines()[0] == "ratio 0.3, seed 0: leak"


@pytest.mark.usefixtures("few_test_images")
def test_the_fewest_labels_give_their_page_figure_and_numbers(tmp_path: Path) -> None:
    brief = [
        f"--{step}.{name}"
        for step in ("pretrain", "retrain", "pretext.training")
        for name in ("epochs=1", "images-per-epoch=256")
    ]
    few = [
        "--pool.size=1000",
        "--pool.image-size=16",
        "--clustering.n-clusters=50",
        "--pretext.rounds=1",
        "--pseudo-labels.rounds=1",
    ]
    done = here("benchmark", "fewest", "--seeds", "1000", "--out", "results", *few, *brief, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    numbers = json.loads((tmp_path / "results" / "fewest.json").read_text(encoding="utf-8"))
    assert [(d["labels"], d["way"]) for d in numbers["rows"]] == [(n, w) for n in (10, 20) for w in WAYS]
    assert "kmpl benchmark fewest" in (tmp_path / "results" / "fewest.md").read_text(encoding="utf-8")
    assert (tmp_path / "results" / "fewest.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("benchmark", "cifar"), "literature"),
        (("benchmark", "literature", "--out", "tiny.toml"), "--out tiny.toml: is a file; name a folder"),
        (("benchmark", "literature", "--seeds", "0,0"), "seeds: 0 comes twice"),
        (("benchmark", "literature", "--join", "nothing.json"), "--join nothing.json: No such file or directory"),
        (("benchmark", "notebook", "--join", "tiny.toml"), "--join tiny.toml: not the numbers of such a table"),
        (("benchmark", "fewest", "--join", "tiny.toml"), "--join tiny.toml: not the numbers of such a table"),
        (("benchmark", "ingredients", "--join", "no.json"), "--join no.json: No such file or directory"),
        (("benchmark", "folder", "digits", "--seeds", "1,1"), "seeds: 1 comes twice"),
        (("benchmark", "fewest", "--seeds", "1,1"), "seeds: 1 comes twice"),
        (("benchmark", "fewest", "--network", "vgg"), "unknown network 'vgg'"),
        (("benchmark", "ingredients", "--labels", "5"), "labels 5: fewer labels than the 10 classes"),
        (("benchmark", "ingredients", "--pool.size", "60000"), "all 60000 training images are in the pool"),
        (("benchmark", "cost", "--sizes", "1000,1000"), "sizes: 1000 comes twice"),
        (("benchmark", "cost", "--sizes", "1000,10"), "--sizes: Input should be greater than or equal to 1000"),
        (("benchmark", "cost", "--network", "vgg"), "unknown network 'vgg'"),
        (("benchmark", "cost", "--out", "tiny.toml"), "--out tiny.toml: is a file; name a folder"),
        (("audit", "--out", "tiny.toml"), "--out tiny.toml: is a file; name a folder"),
        (("audit", "--ratios", "2"), "--ratios: Input should be less than 1"),
        (("audit", "--network", "vgg"), "unknown network 'vgg'"),
    ],
)
def test_bad_input_gets_one_line_before_any_work(
    arguments: tuple[str, ...], said: str, tmp_path: Path, refused: Callable[..., str]
) -> None:
    (tmp_path / "tiny.toml").write_text("", encoding="utf-8")
    assert said in refused(*arguments)
    assert not (tmp_path / "mlruns").exists()
