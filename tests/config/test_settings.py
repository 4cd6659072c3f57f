"""Settings: what lies over what, what is refused, and how refusals read."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from kmpl.config.base import flatten
from kmpl.config.experiment import Arm, ExperimentConfig, Training
from kmpl.config.labelling import LabelOptions
from kmpl.config.presets import PRESETS, for_arm, load, merge
from kmpl.errors import UserError

DEFAULTS = flatten(ExperimentConfig().model_dump())
REALS = ["ratio", *(name for name, value in DEFAULTS.items() if isinstance(value, float))]


def tree(name: str, value: Any) -> dict[str, Any]:
    """Return the tree of one dotted name."""
    for part in reversed(name.split(".")):
        value = {part: value}
    return value


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield a settings class and all classes inside it."""
    yield model
    for field in model.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from models(field.annotation)


def write(folder: Path, text: str) -> Path:
    path = folder / "experiment.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_loads_and_survives_json_and_its_own_dump(preset: str) -> None:
    config = load(preset)
    assert ExperimentConfig.model_validate_json(config.model_dump_json()) == config
    assert load(change=config.model_dump()) == config
    assert merge(config, {}) == config


def test_a_preset_changes_what_it_names_and_nothing_else() -> None:
    for preset, change in PRESETS.items():
        expected = DEFAULTS | flatten(change)
        assert flatten(load(preset).model_dump()) == expected, preset


def test_a_file_lies_over_the_preset_and_flags_lie_over_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, "seed = 7\n[pretrain]\nepochs = 3\nlearning_rate = 0.5\n")
    config = load("quick", file, {"pretrain": {"epochs": 5}})
    assert config.pretrain.epochs == 5  # preset 9, file 3, flag 5
    assert (config.pretrain.learning_rate, config.seed) == (0.5, 7)  # file
    assert (config.retrain.epochs, config.pool.size) == (7, 10_000)  # preset
    assert config.retrain.batch_size == ExperimentConfig().retrain.batch_size  # default


def test_ratio_and_labels_displace_each_other_between_layers(tmp_path: Path) -> None:
    by_ratio, by_labels = write(tmp_path, "ratio = 0.4"), tmp_path / "labels.toml"
    by_labels.write_text("labels = 100", encoding="utf-8")
    config = load(file=by_ratio, change={"labels": 50})
    assert (config.ratio, config.labels) == (None, 50)
    config = load(file=by_labels, change={"ratio": 0.2})
    assert (config.ratio, config.labels) == (0.2, None)
    config = load(file=by_labels, change={"seed": 1})
    assert (config.ratio, config.labels) == (None, 100)


def test_ratio_and_labels_in_one_layer_are_refused(tmp_path: Path) -> None:
    both = {"ratio": 0.4, "labels": 100}
    with pytest.raises(UserError, match=r"^give ratio or labels, not both$"):
        load(change=both)
    with pytest.raises(UserError, match=r"experiment\.toml: give ratio or labels, not both$"):
        load(file=write(tmp_path, "ratio = 0.4\nlabels = 100"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("sed = 1", r"unknown key 'sed'; did you mean 'seed'\?"),
        (
            "[pretrain]\nlearnin_rate = 1",
            r"unknown key 'pretrain.learnin_rate'; did you mean 'pretrain.learning_rate'\?",
        ),
        ("[clustering]\nclusters = 9", r"unknown key 'clustering.clusters'; did you mean 'clustering.n_clusters'\?"),
        ("strategy = 'consensus'", r"unknown key 'strategy'; did you mean 'pseudo_labels.strategy'\?"),
    ],
)
def test_an_unknown_key_in_a_file_names_the_file_and_the_nearest_right_key(
    tmp_path: Path, text: str, line: str
) -> None:
    with pytest.raises(UserError, match=rf"experiment\.toml: {line}"):
        load(file=write(tmp_path, text))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"arms": "oracle,pseudo-labels"}, r"^unknown arm 'pseudo-labels'; did you mean 'pseudo-label'\?"),
        ({"arms": ["self_training"]}, r"^unknown arm 'self_training'; did you mean 'self-training'\?"),
        ({"protocol": "Literatur"}, r"^unknown protocol 'Literatur'; did you mean 'literature'\?"),
        ({"device": "gpu"}, r"^unknown device 'gpu'.*known: auto, cpu, cuda, mps"),
        ({"retrain": {"schedule": "cosin"}}, r"^unknown retrain.schedule 'cosin'; did you mean 'cosine'\?"),
    ],
)
def test_an_unknown_choice_names_the_nearest_right_one(change: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=line):
        load(change=change)


def test_an_unknown_preset_names_the_nearest_right_one() -> None:
    with pytest.raises(UserError, match=r"^unknown preset 'notebok'; did you mean 'notebook'\?"):
        load("notebok")


@pytest.mark.parametrize("ratio", [0, 1, -0.1, 1.5, math.nan, math.inf, -math.inf])
def test_a_ratio_outside_zero_to_one_is_refused(ratio: float) -> None:
    with pytest.raises(UserError, match=r"^ratio: "):
        load(change={"ratio": ratio})


@pytest.mark.parametrize("ratio", [1e-6, 0.1, 0.999])
def test_a_ratio_between_zero_and_one_is_taken(ratio: float) -> None:
    assert load(change={"ratio": ratio}).ratio == ratio


@pytest.mark.parametrize("name", REALS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_setting_takes_nan_or_infinity(name: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"^{name}: "):
        load(change=tree(name, value))


@pytest.mark.parametrize(
    "name", [n for n, value in DEFAULTS.items() if isinstance(value, int | float) and not isinstance(value, bool)]
)
def test_no_number_may_be_negative(name: str) -> None:
    with pytest.raises(UserError, match=rf"^{name}: .*got -1"):
        load(change=tree(name, -1))


@pytest.mark.parametrize(
    "change",
    [
        {"pool": 3},
        {"arms": []},
        {"arms": 3},
        {"arms": "oracle,oracle"},
        {"pretrain": {"epochs": 3.5}},
        {"labels": 0},
        {"dataset": None},
        {"seed": 2**31},
    ],
)
def test_a_refusal_is_one_line_that_names_the_setting(change: dict[str, Any]) -> None:
    (name,) = flatten(change)
    with pytest.raises(UserError, match=rf"^{name}: ") as caught:
        load(change=change)
    assert "\n" not in str(caught.value)


def test_a_refusal_says_how_many_more_there_are() -> None:
    with pytest.raises(UserError, match=r"got -1; and 2 more$"):
        load(change={"seed": -1, "threads": -1, "pool": {"size": -1}})


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^cannot read .*none\.toml: No such file"):
        load(file=tmp_path / "none.toml")
    with pytest.raises(UserError, match=r"^cannot read .*: Is a directory"):
        load(file=tmp_path)
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"dataset = '\xe9'")
    with pytest.raises(UserError, match=r"^cannot read .*latin\.toml: .*utf-8"):
        load(file=latin)


def test_a_file_that_is_no_toml_is_named_with_the_place(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"experiment\.toml is no valid TOML: .*line 2"):
        load(file=write(tmp_path, "seed = 1\nlabels is 5"))


@pytest.mark.parametrize("model", list(models(ExperimentConfig)), ids=lambda model: model.__name__)
def test_every_setting_says_in_one_line_what_it_is(model: type[BaseModel]) -> None:
    assert model.__doc__
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            continue  # a section speaks through its class
        assert field.description, name
        assert "\n" not in field.description, name
        assert field.description.endswith("."), name


def test_the_help_of_a_number_ends_with_its_range() -> None:
    said = {name: str(field.description) for name, field in Training.model_fields.items()}
    assert said["epochs"] == "Number of epochs (≥ 1 and ≤ 10,000)."
    assert said["ema"].endswith("(≥ 0 and < 1).")
    assert said["optimizer"].count("(≥") == 0
    for model in models(ExperimentConfig):
        assert all(str(field.description).count("(≥") <= 1 for field in model.model_fields.values()), "inherited: once"


def test_settings_cannot_be_changed_in_place() -> None:
    config = load()
    sections: list[BaseModel] = [config, config.pool, config.augmentation, config.pretrain, config.clustering]
    for section in [*sections, config.pseudo_labels]:
        for name in type(section).model_fields:
            with pytest.raises(ValidationError, match="frozen"):
                setattr(section, name, getattr(section, name))


def test_arms_are_split_at_commas_in_their_order() -> None:
    expected = ("oracle", "labelled-only", "notebook")
    for given in (
        "oracle,labelled-only,notebook",
        " oracle, labelled-only ,notebook,",
        ["oracle,labelled-only", "notebook"],
    ):
        assert load(change={"arms": given}).arms == expected


def test_a_misspelt_key_is_answered_with_the_nearest_and_not_with_a_page_of_all() -> None:
    with pytest.raises(UserError) as refused:
        load(change={"retrain": {"epoch": 3}})
    assert str(refused.value) == "unknown key 'retrain.epoch'; did you mean 'retrain.epochs'?"


def test_the_notebook_arm_is_prototype_knn_in_one_round_that_leaves_nothing_out() -> None:
    config = load(change={"pseudo_labels": {"rounds": 7, "weighted": True}, "clustering": {"whiten": 9}})
    settings = for_arm(config, "notebook")
    labelling = settings.pseudo_labels
    assert (labelling.strategy, labelling.rounds, labelling.threshold) == ("prototype-knn", 1, 0.0)
    assert (labelling.weighted, settings.clustering.l2, settings.clustering.whiten) == (False, False, 0)
    assert config.pseudo_labels.rounds == 7


@pytest.mark.parametrize("arm", ["self-training", "label-spreading"])
def test_a_baseline_arm_changes_how_images_are_named_and_nothing_else(arm: str) -> None:
    config = load("quick", change={"labels": 70})
    assert for_arm(config, arm) == merge(config, {"pseudo_labels": {"strategy": arm}})


@pytest.mark.parametrize("arm", ["labelled-only", "pseudo-label", "oracle"])
def test_the_other_arms_take_the_settings_as_they_are(arm: str) -> None:
    config = load("quick", change={"labels": 70})
    assert for_arm(config, arm) == config


def test_no_arm_changes_what_all_arms_share() -> None:
    config = load(change={"labels": 70})
    for arm in get_args(Arm):
        other = for_arm(config, arm)
        for name in ("dataset", "protocol", "ratio", "labels", "seed", "network", "pool", "augmentation", "pretrain"):
            assert getattr(other, name) == getattr(config, name), (arm, name)


def test_the_notebook_preset_has_the_notebooks_constants() -> None:
    config = load("notebook")
    assert (config.network, config.protocol, config.dataset) == ("vgg16", "notebook", "MNIST")
    for training in (config.pretrain, config.retrain):
        assert (training.epochs, training.batch_size) == (4, 64)
        assert (training.optimizer, training.learning_rate) == ("adam", 0.001)
        assert (training.weight_decay, training.schedule, training.label_smoothing) == (0, "constant", 0)
        assert (training.ema, training.clustering_loss, training.patience) == (0, 0, 0)
    a = config.augmentation
    assert (a.degrees, a.translate, a.scale, a.shear, a.elastic, a.crop, a.cutout, a.flip) == (
        0,
        0,
        0,
        0,
        0,
        1,
        0,
        False,
    )
    assert config.pseudo_labels.strategy == "prototype-knn"


def test_flatten_keeps_every_leaf_under_its_dotted_name() -> None:
    config = load(change={"labels": 70, "pretrain": {"epochs": 3}})
    flat = flatten(config.model_dump())
    assert flat["labels"] == 70
    assert flat["pretrain.epochs"] == 3
    assert not any(isinstance(value, dict) for value in flat.values())
    rebuilt = ExperimentConfig()
    for name, value in flat.items():
        rebuilt = merge(rebuilt, tree(name, value))
    assert rebuilt == config


@pytest.mark.parametrize("model", [ExperimentConfig, LabelOptions])
def test_a_sections_defaults_are_those_of_its_type(model: type[BaseModel]) -> None:
    """The command line's help reads them from the type."""
    for field in model.model_fields.values():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            assert field.default == section()
            test_a_sections_defaults_are_those_of_its_type(section)
