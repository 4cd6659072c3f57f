"""Weights of other libraries from a file: safetensors, or PyTorch's own format without anything but tensors."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from kmpl.errors import FileError


def read_weights(network: nn.Module, path: Path) -> None:
    """Read weights into a network of the same shape.

    Raises:
        FileError: the file is damaged, holds more than tensors, or the weights of another network.
    """
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(state)
    except SafetensorError as error:
        raise FileError(f"{path} is damaged: {error}", path) from error
    except Exception as error:  # PyTorch's reader raises anything on what is no weights
        reason = (str(error) or type(error).__name__).splitlines()
        raise FileError(f"{path} cannot be read as weights of this network: {reason[-1].strip()}", path) from error
