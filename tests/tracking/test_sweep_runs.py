"""What MLflow keeps of a sweep, of one that was killed, and what it refuses to mix. On a real store."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from databases import copy_database
from forked import run_forked
from mlflow import MlflowClient
from mlflow.entities import Run
from prefect.exceptions import TerminationSignal

from kmpl import tracking
from kmpl.config.experiment import Method
from kmpl.config.presets import merge
from kmpl.config.sweep import SweepConfig
from kmpl.errors import UserError
from kmpl.jobs import sweep
from kmpl.jobs.workspace import Workspace
from kmpl.reports.comparison import SweepReport
from kmpl.tracking.client import experiment_id, search
from kmpl.tracking.experiment_runs import start
from kmpl.tracking.sweep_runs import SweepRun, find_report, refuse_unseen, sweep_run

PARENT = "mlflow.parentRunId"
_TRAINING = {"epochs": 1, "images_per_epoch": 300, "batch_size": 64, "ema": 0.0}
METHOD = Method.model_validate(
    {
        "protocol": "literature",
        "threads": 1,
        "pool": {"size": 300, "image_size": 16},
        "pretrain": _TRAINING,
        "retrain": _TRAINING,
        "clustering": {"n_clusters": 20},
        "pseudo_labels": {"threshold": 0.0, "rounds": 1},
    }
)
SETTINGS = SweepConfig(ratios=(0.4, 0.2), seeds=(0,), name="small", experiment=METHOD)

# The last model of the sweep is the one that it dies on: its run is open, its network is in the store.
KILLED = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from kmpl.config.sweep import SweepConfig
from kmpl.datasets import registry, test_set
from kmpl.jobs import sweep
from kmpl.jobs.workspace import Workspace
from kmpl.tracking import experiment_runs

def few(name, train, size):
    data = registry.read(name, train)
    return replace(data, images=data.images[:500], labels=data.labels[:500])

logged, log = [], experiment_runs.log_model

def log_or_die(*inputs, **more):
    logged.append(inputs)
    if len(logged) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    log(*inputs, **more)

test_set.read, experiment_runs.log_model = few, log_or_die
sweep.run(SweepConfig.model_validate_json(sys.argv[2]), Workspace(Path(sys.argv[1]), "kmpl sweep --name small"))
"""


pytestmark = [
    pytest.mark.usefixtures("few_test_images"),
    # MLflow warns about its own type hints when it is first asked to log a model.
    pytest.mark.filterwarnings("ignore:.*type hint is inferred:UserWarning"),
]


def all_runs(client: MlflowClient) -> dict[str, Run]:
    return {run.info.run_id: run for run in client.search_runs([experiment_id(client)])}


def kinds(runs: dict[str, Run], status: str) -> list[str]:
    return sorted(run.data.tags["kind"] for run in runs.values() if run.info.status == status)


def only(runs: dict[str, Run], status: str, kind: str) -> Run:
    (run,) = (run for run in runs.values() if (run.info.status, run.data.tags["kind"]) == (status, kind))
    return run


@dataclass(frozen=True)
class Story:
    """A sweep that was killed in its last step, and run again."""

    client: MlflowClient
    place: Workspace
    killed: dict[str, Run]
    resumed: dict[str, Run]
    report: SweepReport


@pytest.fixture(scope="module")
def mlruns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mlruns")
    copy_database(folder / "mlflow.db")
    return folder


@pytest.fixture(scope="module")
def story(mlruns: Path) -> Story:
    command = [sys.executable, "-c", KILLED, str(mlruns), SETTINGS.model_dump_json()]
    done = run_forked(command, timeout=200)
    assert done.returncode == -9, done.stderr
    client, place = tracking.open_store(mlruns), Workspace(mlruns, "kmpl sweep --name small")
    killed = all_runs(client)
    report = sweep.run(SETTINGS, place)
    return Story(client, place, killed, all_runs(client), report)


def test_a_kill_leaves_open_what_was_open(story: Story) -> None:
    assert kinds(story.killed, "RUNNING") == ["arm", "experiment", "sweep"]
    assert kinds(story.killed, "FINISHED") == ["arm", "arm", "arm", "experiment"]


def test_runs_that_a_kill_left_open_are_closed_as_killed(story: Story) -> None:
    assert kinds(story.resumed, "KILLED") == ["arm", "experiment", "sweep"]
    assert kinds(story.resumed, "RUNNING") == []
    for run in story.killed.values():
        now = story.resumed[run.info.run_id].info
        assert now.status == ("KILLED" if run.info.status == "RUNNING" else "FINISHED")
        assert now.end_time


@pytest.mark.parametrize("kind", ["sweep", "experiment", "arm"])
def test_the_killed_and_who_goes_on_name_each_other(kind: str, story: Story) -> None:
    old = only(story.resumed, "KILLED", kind)
    new = story.resumed[old.data.tags["successor"]]
    assert new.data.tags["predecessor"] == old.info.run_id
    assert (new.info.status, new.data.tags["kind"]) == ("FINISHED", kind)
    assert new.data.tags["key"] == old.data.tags["key"]
    assert new.info.run_id not in story.killed


def test_only_what_took_over_from_a_killed_run_says_so(story: Story) -> None:
    for name in ("successor", "predecessor"):
        assert sorted(r.data.tags["kind"] for r in story.resumed.values() if name in r.data.tags) == [
            "arm", "experiment", "sweep",
        ]  # fmt: skip


def test_finished_runs_are_moved_below_the_successor_and_not_logged_again(story: Story) -> None:
    assert kinds(story.resumed, "FINISHED") == ["arm"] * 4 + ["experiment"] * 2 + ["summary"] * 4 + ["sweep"]
    new = only(story.resumed, "FINISHED", "sweep").info.run_id
    below = [r for r in story.resumed.values() if r.data.tags.get(PARENT) == new]
    experiments = {r.info.run_id for r in below if r.data.tags["kind"] == "experiment"}
    assert experiments == {
        r.info.run_id
        for r in story.resumed.values()
        if (r.data.tags["kind"], r.info.status) == ("experiment", "FINISHED")
    }
    for experiment in experiments:
        below = [r for r in story.resumed.values() if r.data.tags.get(PARENT) == experiment]
        assert sorted((r.data.tags["arm"], r.info.status) for r in below) == [
            ("labelled-only", "FINISHED"),
            ("pseudo-label", "FINISHED"),
        ]
    finished = {run_id: run for run_id, run in story.killed.items() if run.info.status == "FINISHED"}
    assert finished.keys() <= story.resumed.keys()
    for run_id, run in finished.items():
        assert story.resumed[run_id].info.end_time == run.info.end_time
        assert story.resumed[run_id].data.metrics == run.data.metrics
        assert story.resumed[run_id].data.tags[PARENT] != run.data.tags[PARENT] or run.data.tags["kind"] == "arm"


def test_four_arms_have_four_models(story: Story) -> None:
    models = story.client.search_logged_models([experiment_id(story.client)])
    arms = {
        r.info.run_id for r in story.resumed.values() if (r.info.status, r.data.tags["kind"]) == ("FINISHED", "arm")
    }
    assert len(models) == 4
    assert {model.source_run_id for model in models} == arms


def test_the_experiments_run_shows_the_test_of_all_its_arms_whoever_logged_them(story: Story) -> None:
    for name, run_id in story.report.runs.items():
        metrics = story.resumed[run_id].data.metrics
        assert {m for m in metrics if m.startswith("test/accuracy/")} == {
            "test/accuracy/labelled-only", "test/accuracy/pseudo-label",
        }, name  # fmt: skip


def test_the_report_is_found_by_the_sweeps_name(story: Story) -> None:
    assert find_report(story.client, "small") == story.report
    assert story.report.run == only(story.resumed, "FINISHED", "sweep").info.run_id


def test_the_champion_is_an_arm_below_the_successor(story: Story) -> None:
    champion = story.client.get_model_version_by_alias("kmpl", "champion")
    run = story.resumed[champion.run_id]
    assert (run.data.tags["arm"], run.info.status) == ("pseudo-label", "FINISHED")
    assert champion.tags["decision"] == story.report.champion


@pytest.mark.parametrize("changed", [{}, {"jobs": 2}], ids=["the same", "how it is run"])
def test_a_sweep_that_was_finished_before_adds_no_run(changed: dict[str, Any], story: Story) -> None:
    before = all_runs(story.client)
    assert sweep.run(merge_options(changed), story.place) == story.report
    assert all_runs(story.client).keys() == before.keys()
    assert kinds(all_runs(story.client), "RUNNING") == []


def merge_options(changed: dict[str, Any]) -> SweepConfig:
    return SweepConfig.model_validate(SETTINGS.model_dump() | changed)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seeds": (0, 1)}, r"seeds was \[0\], is now \[0, 1\]"),
        ({"ratios": (0.4, 0.3)}, r"ratios was \[0.4, 0.2\], is now \[0.4, 0.3\]"),
        ({"arms": ("oracle",), "seeds": (1,)}, r"arms was .*, is now \['oracle'\] and 1 more"),
        (
            {"experiment": merge(METHOD, {"clustering": {"n_clusters": 21}})},
            "experiment.clustering.n_clusters was 20, is now 21",
        ),
    ],
)
def test_a_name_that_stands_for_other_settings_is_refused(changed: dict[str, Any], said: str, story: Story) -> None:
    before = all_runs(story.client)
    line = rf"^sweep 'small' stands for other settings: {said}; choose another --name \([^\n]*\)$"
    with pytest.raises(UserError, match=line):
        sweep.run(merge_options(changed), story.place)
    assert all_runs(story.client).keys() == before.keys()
    assert find_report(story.client, "small") == story.report


def opened(client: MlflowClient, name: str, key: str = "key", command: str = "the command") -> Any:
    return sweep_run(client, merge_options({"name": name}), key, command)


@pytest.fixture(scope="module")
def client(mlruns: Path) -> MlflowClient:
    return tracking.open_store(mlruns)


@pytest.mark.parametrize(
    ("error", "status"),
    [(RuntimeError("no room"), "FAILED"), (UserError("no room"), "FAILED"), (KeyboardInterrupt("no room"), "KILLED")],
    ids=["an error", "one line", "Ctrl-C"],
)
def test_however_a_sweep_ends_its_run_is_closed_and_the_next_one_is_its_successor(
    error: BaseException, status: str, client: MlflowClient, request: pytest.FixtureRequest
) -> None:
    name = "".join(c for c in request.node.name if c.isalnum())
    with pytest.raises(type(error), match="no room"), opened(client, name) as broken:
        raise error
    assert client.get_run(broken.id).info.status == status
    assert client.get_run(broken.id).data.tags.get("error") == ("no room" if status == "FAILED" else None)
    with opened(client, name) as again:
        assert not again.is_finished
    assert client.get_run(broken.id).data.tags["successor"] == again.id
    assert client.get_run(again.id).data.tags["predecessor"] == broken.id
    assert client.get_run(again.id).info.status == "FINISHED"


def test_other_code_makes_a_run_of_its_own_that_is_no_successor(client: MlflowClient) -> None:
    with opened(client, "twice", "old code") as first:
        pass
    with opened(client, "twice", "new code") as second:
        assert not second.is_finished
    assert second.id != first.id
    assert "successor" not in client.get_run(first.id).data.tags
    with opened(client, "twice", "old code") as third:
        assert (third.id, third.is_finished) == (first.id, True)


def test_each_of_many_killed_attempts_has_the_next_as_its_successor(client: MlflowClient) -> None:
    turns = [SweepRun(client, merge_options({"name": "often"}), "key", "").id for _ in range(3)]  # nobody closes them
    with opened(client, "often") as last:
        turns.append(last.id)
    runs = [client.get_run(run_id) for run_id in turns]
    assert [run.info.status for run in runs] == ["KILLED"] * 3 + ["FINISHED"]
    assert [run.data.tags.get("successor") for run in runs] == [*turns[1:], None]
    assert [run.data.tags.get("predecessor") for run in runs] == [None, *turns[:-1]]


def test_a_sweep_on_a_machine_whose_lock_is_not_seen_is_refused_and_one_whose_lock_is_here_is_dead(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = "/here/locks/sweep-far.lock", "/there/locks/sweep-far.lock"
    monkeypatch.setattr("platform.node", lambda: "another-machine")
    far = SweepRun(client, merge_options({"name": "far"}), "key", "the command", there)
    refuse_unseen(client, "far", there)  # itself, after a kill: there is one lock, and it is held by who asks
    refuse_unseen(client, "far", here)
    monkeypatch.setattr("platform.node", lambda: "this-machine")
    with pytest.raises(UserError, match=r"^sweep 'far' runs on another-machine, and [^\n]* give both KMPL_LOCKS=postg"):
        refuse_unseen(client, "far", here)
    refuse_unseen(client, "far", there)  # a database's lock: it is held here, so the other is dead
    with pytest.raises(UserError, match=rf"mlflow runs delete --run-id {far.id}$"):
        refuse_unseen(client, "far", here)
    client.delete_run(far.id)
    refuse_unseen(client, "far", here)


def test_runs_of_other_processes_are_killed_with_their_cancelled_sweep(client: MlflowClient) -> None:
    """They work in processes of their own, which are stopped with the one that started them."""
    made: list[str] = []

    def cancelled() -> None:
        with opened(client, "cancelled") as tracked:
            made.append(tracked.id)
            for name in ("cancelled", "another"):
                made.append(start(client, "an experiment", {"kind": "experiment", "sweep": name, PARENT: tracked.id}))
            raise TerminationSignal(signal=15)

    with pytest.raises(TerminationSignal):
        cancelled()
    assert [client.get_run(run).info.status for run in made] == ["KILLED", "KILLED", "RUNNING"]
    client.set_terminated(made[-1])


def test_another_sweeps_open_runs_are_left_alone(client: MlflowClient) -> None:
    elsewhere = start(client, "another", {"kind": "sweep", "sweep": "another"})
    alone = start(client, "kmpl run", {"kind": "experiment"})
    with opened(client, "careful"):
        pass
    assert [client.get_run(run).info.status for run in (elsewhere, alone)] == ["RUNNING", "RUNNING"]
    for run in (elsewhere, alone):
        client.set_terminated(run)


def test_an_experiment_counts_as_finished_only_with_numbers_that_can_be_read(client: MlflowClient) -> None:
    with opened(client, "numbers") as tracked:
        tags = {"kind": "experiment", "sweep": "numbers", "key": "one", PARENT: "a dead one"}
        assert tracked.summary("one") is None
        whole, empty, open_still = (start(client, "an experiment", tags) for _ in range(3))
        client.log_dict(open_still, {"seed": 1}, "report.json")
        client.set_terminated(empty)
        assert tracked.summary("one") is None
        client.log_dict(whole, {"seed": 2}, "report.json")
        client.set_terminated(whole)
        assert tracked.summary("one") == {"seed": 2}
        assert tracked.summary("two") is None
        assert client.get_run(whole).data.tags[PARENT] == tracked.id
        assert client.get_run(empty).data.tags[PARENT] == "a dead one"


def test_there_is_no_report_of_a_sweep_that_never_was(client: MlflowClient, tmp_path: Path) -> None:
    with opened(client, "known"):
        pass
    with pytest.raises(UserError, match=r"^no sweep 'knowm' \(known: [^\n]*known[^\n]*\)$"):
        find_report(client, "knowm")
    with pytest.raises(UserError, match=r"^no sweep 'any' \(known: none yet in sqlite:.*mlflow\.db\)$"):
        find_report(tracking.open_store(tmp_path / "empty"), "any")


def test_the_report_of_a_sweep_that_was_deleted_says_what_brings_it_back(client: MlflowClient) -> None:
    with opened(client, "deleted") as tracked:
        pass
    client.delete_run(tracked.id)
    back = f"MLFLOW_TRACKING_URI={client.tracking_uri} mlflow runs restore --run-id {tracked.id}"
    with pytest.raises(UserError, match=f"^the run of sweep 'deleted' was deleted in MLflow; {back} brings it back$"):
        find_report(client, "deleted")


@pytest.mark.parametrize("name", ["it's", 'a"b', "a' or tags.`x` = 'b", "100%", "", "ü\n"])
def test_a_name_that_no_sweep_can_have_is_a_sweep_that_never_was(name: str, client: MlflowClient) -> None:
    with pytest.raises(UserError, match=r"^no sweep '"):
        find_report(client, name)


def test_there_is_no_report_of_a_sweep_that_was_not_finished(client: MlflowClient) -> None:
    with pytest.raises(RuntimeError), opened(client, "half", command="kmpl sweep --name half"):
        raise RuntimeError
    with pytest.raises(
        UserError, match=r"^sweep 'half' has not been finished; run the same command again: kmpl sweep --name half$"
    ):
        find_report(client, "half")


@pytest.mark.parametrize("text", ["", "{", '{"name": "an older form"}', "\udcff"])
def test_a_report_that_cannot_be_read_is_none(text: str, client: MlflowClient, tmp_path: Path) -> None:
    name = f"unreadable-{len(text)}"
    with opened(client, name) as tracked:
        path = tmp_path / "sweep.json"
        path.write_bytes(text.encode(errors="surrogateescape"))
        client.log_artifact(tracked.id, str(path))
    assert tracked.report() is None
    with pytest.raises(UserError, match=r"cannot be read: .* kmpl \d[^\n]* again: the command$"):
        find_report(client, name)


def test_the_newest_finished_report_is_the_one(story: Story) -> None:
    client, settings = story.client, merge_options({"name": "newest"})
    for turn in ("first", "second"):
        with sweep_run(client, settings, turn, turn) as tracked:
            report = story.report.model_copy(update={"champion": turn, "run": tracked.id})
            tracked.log_report(
                report, files={"sweep.json": report.model_dump_json(), "figures/a.png": b"\x89PNG"}, note="# A note"
            )
    with pytest.raises(RuntimeError), sweep_run(client, settings, "third", "third"):
        raise RuntimeError
    found = find_report(client, "newest")
    assert (found.champion, found.run) == ("second", tracked.id)
    run = client.get_run(tracked.id)
    assert run.data.tags["mlflow.note.content"] == "# A note"
    assert json.loads(run.data.tags["settings"])["seeds"] == [0]
    assert run.data.params["experiment.clustering.n_clusters"] == "20"
    assert [f.path for f in client.list_artifacts(tracked.id, "figures")] == ["figures/a.png"]
    points = client.get_metric_history(tracked.id, "test/accuracy/pseudo-label")
    assert {p.step: p.value for p in points} == {
        round(1000 * row.ratio): row.mean for row in report.rows if row.arm == "pseudo-label"
    }


# The last of this file: they take away what the story's sweep has made, and bring it back.
def test_a_version_that_was_deleted_is_registered_again_by_the_same_sweep(story: Story) -> None:
    before = all_runs(story.client)
    champion = story.client.get_model_version_by_alias("kmpl", "champion")
    story.client.delete_model_version("kmpl", champion.version)
    report = sweep.run(SETTINGS, story.place)
    again = story.client.get_model_version_by_alias("kmpl", "champion")
    assert int(again.version) == int(champion.version) + 1
    assert again.run_id == champion.run_id
    assert again.tags["decision"] == report.champion
    assert "became the first champion" in report.champion
    assert find_report(story.client, "small") == report
    assert all_runs(story.client).keys() == before.keys()
    assert sweep.run(SETTINGS, story.place) == report


def test_arms_whose_runs_were_deleted_are_named_with_what_brings_them_back(story: Story) -> None:
    runs = [run.info.run_id for run in search(story.client, kind="arm", arm="pseudo-label", sweep="small")]
    finished = [run for run in runs if story.client.get_run(run).info.status == "FINISHED"]
    known = story.client.get_model_version_by_alias("kmpl", "champion")
    for run in finished:
        story.client.delete_run(run)
    assert sweep.run(SETTINGS, story.place).champion == known.tags["decision"]  # its version is still there
    story.client.delete_registered_model("kmpl")
    said = sweep.run(SETTINGS, story.place).champion
    assert said.startswith("no candidate: the run of pseudo-label was deleted in MLflow (ratio 0.4, seed 0, ratio 0.2")
    assert f"MLFLOW_TRACKING_URI={story.client.tracking_uri} mlflow runs restore --run-id " in said
    best, other = (known.run_id, *[run for run in finished if run != known.run_id])
    story.client.restore_run(other)
    said = sweep.run(SETTINGS, story.place).champion
    assert "became the first champion" in said
    assert "; left out: the run of pseudo-label was deleted in MLflow (ratio" in said
    assert said.endswith(f"mlflow runs restore --run-id {best} and the same command again bring it back")
    story.client.restore_run(best)
