"""Errors: what each says, and that none is lost on its way from another process."""

from multiprocessing.reduction import ForkingPickler  # as processes send their results and errors
from pathlib import Path

import pytest

from kmpl.config.experiment import ExperimentConfig
from kmpl.config.networks import NETWORKS
from kmpl.config.presets import merge
from kmpl.errors import DivergedError, FileError, SettingError, StoreError, UnknownNameError, UserError, look_up
from kmpl.jobs.experiment import error_context
from kmpl.models.model_file import read_model

ERRORS = [
    UserError("no light"),
    DivergedError("diverged at epoch 3"),
    SettingError("pseudo_labels.k", 9, "there are 5 prototypes", "1 to 5"),
    SettingError("labels", 3, "too few", line="3 labels leave class 2 without one"),
    UnknownNameError("network", "cn", ["cnn", "vgg16"]),
    FileError("cannot read a.csv: it is a folder", Path("a.csv")),
    StoreError("the runs at sqlite:///runs.db do not answer", "sqlite:///runs.db"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_comes_back_whole_from_another_process(error: UserError) -> None:
    error.add_context("retrain")
    error.add_context("ratio 0.1, seed 0")
    back = ForkingPickler.loads(ForkingPickler.dumps(error))
    assert type(back) is type(error)
    assert str(back) == str(error) == f"ratio 0.1, seed 0: retrain: {error.message}"
    assert vars(back) == vars(error)


def test_context_keeps_the_kind_of_error_and_what_it_knows() -> None:
    with pytest.raises(SettingError) as caught, error_context("ratio 0.1"), error_context("retrain"):
        raise SettingError("pseudo_labels.k", 9, "there are 5", "1 to 5")
    assert str(caught.value) == "ratio 0.1: retrain: pseudo_labels.k 9: there are 5; give 1 to 5"
    assert (caught.value.setting, caught.value.value, caught.value.allowed) == ("pseudo_labels.k", 9, "1 to 5")


def test_a_caller_can_tell_a_setting_from_a_file_and_a_name(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"^pretrain\.epochs: ") as setting:
        merge(ExperimentConfig(), {"pretrain": {"epochs": 0}})
    assert (setting.value.setting, setting.value.value) == ("pretrain.epochs", 0)
    with pytest.raises(FileError) as file:
        read_model(tmp_path / "none.safetensors")
    assert file.value.path == tmp_path / "none.safetensors"
    with pytest.raises(UnknownNameError) as name:
        look_up(NETWORKS, "cn", "network")
    assert (name.value.what, name.value.name, name.value.known) == ("network", "cn", ("cnn", "vgg16"))
