"""A network's weights as a safetensors file."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from kmpl.errors import FileError
from kmpl.runtime.files import whole_file


def save_network(network: nn.Module, path: Path, header: Mapping[str, str] | None = None) -> None:
    """Write the state of a network as safetensors, with texts in the file's header.

    Raises:
        UserError: the file system refuses; nothing is left behind.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with whole_file(path) as draft:
        try:
            save_file(state, draft, dict(header) if header else None)
        except SafetensorError as error:  # its own wrapping of the operating system's refusal
            raise FileError(f"cannot write {path}: {error}", path) from error


def load_network(network: nn.Module, path: Path) -> None:
    """Read a state written by ``save_network`` into a network of the same shape.

    Raises:
        UserError: no such file, a damaged one, or one of another network.
    """
    try:
        network.load_state_dict(load_file(path))
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}", path) from error
    except SafetensorError as error:
        raise FileError(f"{path} is damaged: {error}", path) from error
    except RuntimeError as error:
        raise FileError(
            f"{path} holds the weights of another network: {str(error).splitlines()[-1].strip()}", path
        ) from error
