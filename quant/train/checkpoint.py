"""Where training stands, in a file that is whole at any time: a command that was killed goes on from it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from quant.base.errors import BadInput
from quant.base.files import write_atomic

FORM = "shiftpoint training 1"


class Checkpoint:
    """The file.  key: of all that the training depends on; a file with another one is of another training.

    path: None for none.
    """

    def __init__(self, path: Path | None, key: str) -> None:
        self.path, self.key = path, key

    def load(self) -> dict[str, Any] | None:
        """What was saved last; None where nothing was.  Raises BadInput for a file of anything else."""
        if self.path is None or not self.path.exists():
            return None
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
            form, key, state = content["form"], content["key"], content["state"]
        except Exception as error:  # of pickle and zip files, whatever they like
            raise BadInput(f"{self.path}: is no checkpoint of a training, or damaged: remove it") from error
        if form != FORM or key != self.key:
            raise BadInput(
                f"{self.path}: is of another training: give the files and options that it was begun with, or remove it"
            )
        found: dict[str, Any] = state
        return found

    def save(self, state: dict[str, Any]) -> None:
        """Keep what training goes on from: numbers, texts, tensors, and lists and dictionaries of them."""
        if self.path is not None:
            content = io.BytesIO()
            torch.save({"form": FORM, "key": self.key, "state": state}, content)
            write_atomic(self.path, content.getvalue())

    def remove(self) -> None:
        """Once what was trained is written."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    @property
    def kept(self) -> str:
        """What messages say of it."""
        return f"; {self.path} has what was reached" if self.path is not None and self.path.exists() else ""
