"""The base of all records of results: frozen, and strict about unknown fields when they are read back from JSON."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A record that never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
