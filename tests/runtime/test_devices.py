"""Devices, precision, threads and memory."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from kmpl.errors import UserError
from kmpl.models import registry as networks
from kmpl.runtime.devices import pick_device, pick_precision, processor, to_device, use_threads


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_named(name: str) -> None:
    present = torch.cuda.is_available() if name == "cuda" else torch.backends.mps.is_available()
    if present:
        pytest.skip(f"this machine has {name}")
    with pytest.raises(UserError, match=rf"^device {name}: this machine has none; use auto or cpu$"):
        pick_device(name)


def test_cpu_is_always_there_and_auto_always_finds_something() -> None:
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type in ("cuda", "mps", "cpu")


def test_the_processor_is_told_apart_by_what_it_computes_in() -> None:
    cpu = torch.device("cpu")
    assert processor().endswith("with bfloat16" if pick_precision("auto", cpu) == torch.bfloat16 else "no bfloat16")
    assert processor().startswith(torch.backends.cpu.get_cpu_capability())


def test_zero_threads_are_all_that_this_process_may_use() -> None:
    use_threads(1)
    assert torch.get_num_threads() == 1
    use_threads(0)
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert torch.get_num_threads() == allowed


# What it is all for


# Precision

CPU = torch.device("cpu")


def test_networks_compute_in_the_precision_asked_for() -> None:
    assert pick_precision("float32", CPU) == torch.float32
    assert pick_precision("bfloat16", CPU) == torch.bfloat16


def test_auto_takes_bfloat16_only_from_a_processor_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, precision in ((False, torch.float32), (True, torch.bfloat16)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda there=there: there)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
        assert pick_precision("auto", CPU) == precision


@pytest.mark.parametrize("name", ["cnn", "vgg16"])
def test_in_bfloat16_a_network_sees_nearly_the_same_and_all_it_hands_on_is_float32(name: str) -> None:
    images = torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    exact = to_device(networks.build(name, channels=1, n_classes=10, seed=0), "cpu", "float32").eval()
    coarse = to_device(networks.build(name, channels=1, n_classes=10, seed=0), "cpu", "bfloat16").eval()
    with torch.no_grad():
        theirs, ours = exact.maps(images), coarse.maps(images)
        assert coarse(images).dtype == ours.dtype == torch.float32
    assert not torch.equal(theirs, ours)
    np.testing.assert_allclose(ours, theirs, atol=0.05 * float(theirs.abs().max()))


def test_in_bfloat16_weights_and_gradients_stay_float32() -> None:
    network = to_device(networks.build("cnn", channels=1, n_classes=10, seed=0), "cpu", "bfloat16").train()
    cross_entropy(network(torch.rand(4, 1, 28, 28)), torch.arange(4)).backward()
    kinds = {t.dtype for p in network.parameters() for t in (p, p.grad) if t is not None}
    assert kinds == {torch.float32}
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in network.extractor[1].parameters())  # type: ignore[index]


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_on_another_device_a_network_learns_as_on_the_processor(kind: str) -> None:
    if not (torch.cuda.is_available() if kind == "cuda" else torch.backends.mps.is_available()):
        pytest.skip(f"no {kind} here")
    network = to_device(networks.build("cnn", channels=1, n_classes=10, seed=0), kind, "auto").train()
    images = torch.rand(16, 1, 28, 28, generator=torch.Generator().manual_seed(0)).to(kind)
    labels = torch.arange(16, device=kind) % 10
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


# Memory

FAULTS = """
import resource, sys, torch
from torch.nn.functional import cross_entropy
from kmpl.models import registry as networks
from kmpl.runtime import devices
if sys.argv[1] == "as it is":
    devices._keep_memory = lambda: None
devices.use_threads(1)
network = networks.build("cnn", channels=1, n_classes=10, seed=0).train()
images, labels = torch.rand(128, 1, 28, 28).contiguous(memory_format=torch.channels_last), torch.zeros(128).long()
for step in range(25):
    if step == 5:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    network.zero_grad()
    cross_entropy(network(images), labels).backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_memory_that_a_step_frees_is_kept_for_the_next() -> None:
    """Else each step asks the system for thousands of fresh pages."""

    def faults(how: str) -> int:
        return int(
            subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True).stdout
        )

    assert faults("kept") < 5_000 < faults("as it is")
