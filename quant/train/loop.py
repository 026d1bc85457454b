"""Training: labelled images through a constrained module, step by step, from wherever a checkpoint stands.

The loss is cross-entropy and, for the most part, how far the answers are from those of the float network that was
there before (Hinton et al. 2015, distillation): with few weights left, what that knew is worth more than its labels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from quant.base.errors import BadInput
from quant.ir.graph import FloatGraph
from quant.run.calibration import Progress
from quant.run.stacks import Stack, stack
from quant.search.structure import Structure
from quant.train.checkpoint import Checkpoint
from quant.train.constraint import Constraint
from quant.train.data import Examples
from quant.train.module import GraphModule
from quant.train.settings import Optimizer, Settings

TEMPERATURE = 4.0
"""Of both networks' answers, where they are compared."""

CLIP = 5.0
"""Longest gradient."""

LAST = 0.02
"""The learning rate falls with a cosine to this part of it."""

SECONDS = 60.0
"""Between two checkpoints, besides those after each epoch."""


@dataclass(frozen=True)
class Stage:
    """Some epochs with one constraint.  make: of the module, and what the stage before asks of its layers.

    optimizer, rate: where they are not those of the settings.
    """

    name: str
    epochs: int
    make: Callable[[GraphModule, Mapping[str, Structure]], Constraint]
    optimizer: Optimizer | None = None
    rate: float | None = None


@dataclass(frozen=True)
class Epoch:
    """loss: mean of its steps.  accuracy: of the images held back, after it, 0 to 1."""

    stage: str
    loss: float
    accuracy: float


@dataclass(frozen=True)
class Trained:
    """The graph with other weights, what their integers may be, by layer, and how it went."""

    graph: FloatGraph
    structures: dict[str, Structure]
    epochs: tuple[Epoch, ...]


def train(
    graph: FloatGraph,
    examples: Examples,
    stages: Sequence[Stage],
    settings: Settings,
    checkpoint: Checkpoint,
    progress: Progress | None = None,
    teacher: FloatGraph | None = None,
) -> Trained:
    """Train a network in stages, each beginning with the weights of the one before.

    teacher: the network whose answers count, itself by default; of the same input and outputs.
    On one machine the same arguments give the same weights, stopped and begun again or not.  Raises BadInput where the
    loss is no number, and as `Checkpoint.load`.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
    knowing, module = GraphModule(teacher or graph).to(device), GraphModule(graph).to(device)
    run = _Run(knowing, module, examples, settings, checkpoint, sum(stage.epochs for stage in stages), progress)
    saved = checkpoint.load()
    structures: dict[str, Structure] = {}
    for index, stage in enumerate(stages):
        constraint = stage.make(module, structures)
        module.to(device)
        if saved is None or saved["stage"] <= index:
            run.stage(index, stage, constraint, saved if saved and saved["stage"] == index else None)
        structures = structures | constraint.structures()  # what a stage does not name stays as it was asked
    return Trained(module.trained(), structures, tuple(run.epochs))


class _Run:
    """What lasts over all stages."""

    def __init__(
        self,
        teacher: GraphModule,
        module: GraphModule,
        examples: Examples,
        settings: Settings,
        checkpoint: Checkpoint,
        epochs: int,
        progress: Progress | None,
    ) -> None:
        self.teacher, self.module, self.examples, self.settings = teacher, module, examples, settings
        self.checkpoint, self.progress, self.count = checkpoint, progress, epochs
        self.device = next(teacher.parameters()).device
        self.epochs: list[Epoch] = []
        self.step, self.losses = 0, 0.0
        self._began: tuple[float, int] | None = None
        self._answers: np.ndarray | Stack | None = None

    def stage(self, index: int, stage: Stage, constraint: Constraint, saved: dict[str, Any] | None) -> None:
        """Run a stage: from its beginning, or from what was saved."""
        each = self.examples.steps(self.settings.batch)
        kind, rate = stage.optimizer or self.settings.optimizer, stage.rate or self.settings.learning_rate
        optimizer = _optimizer(kind, constraint)
        first, steps = self.step, stage.epochs * each
        if saved is not None:
            self.module.load_state_dict(saved["module"])
            optimizer.load_state_dict(saved["optimizer"])
            self.step, self.losses, first = saved["step"], saved["losses"], saved["first"]
            self.epochs = [Epoch(**epoch) for epoch in saved["epochs"]]

        def save() -> float:
            self.checkpoint.save(
                {
                    "stage": index,
                    "first": first,
                    "step": self.step,
                    "losses": self.losses,
                    "epochs": [asdict(epoch) for epoch in self.epochs],
                    "module": self.module.state_dict(),
                    "optimizer": optimizer.state_dict(),
                }
            )
            return time.monotonic()

        written = time.monotonic()
        while self.step < first + steps:
            own = self.step - first
            constraint.before(own, steps)
            cosine = 0.5 + 0.5 * torch.cos(torch.tensor(torch.pi * own / steps)).item()
            for group in optimizer.param_groups:
                group["lr"] = rate * group["factor"] * (LAST + (1 - LAST) * cosine)
            self.losses += self._one(optimizer)
            self.step += 1
            if ended := self.step % each == 0:
                self.epochs.append(Epoch(stage.name, self.losses / each, self._accuracy()))
                self.losses = 0.0
            if ended or time.monotonic() - written > SECONDS:
                written = save()
            self._tell(stage, each)

    def _one(self, optimizer: Any) -> float:
        """One step; returns its loss."""
        settings = self.settings
        pixels, classes = self.examples.batch(self.step, settings.batch, settings.augment, settings.seed)
        images, labels = self._images(pixels), torch.from_numpy(classes).to(self.device)
        with self._precision():
            answers = self.module(images)
            wanted = self._wanted(images) if settings.distil else answers
        loss = _loss(answers.float(), wanted.float(), labels, settings.distil)
        optimizer.zero_grad()
        loss.backward()
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        length = torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        if not bool(torch.isfinite(loss) & torch.isfinite(length)):
            epoch = self.step // self.examples.steps(settings.batch) + 1
            kept = self.checkpoint.kept
            raise BadInput(
                f"training: in epoch {epoch} of {self.count} the loss is no number: lower --learning-rate{kept}"
            )
        optimizer.step()
        return float(loss.detach())

    @torch.no_grad()
    def _wanted(self, images: torch.Tensor) -> torch.Tensor:
        """The teacher's answers to the images of a step.  Images that never move have the same in all epochs."""
        settings = self.settings
        if settings.augment != "none":
            return self.teacher(images)
        if self._answers is None:
            self._answers = self._all_answers()
        places = self.examples.places(self.step, settings.batch, settings.seed)
        own = self._answers.rows(places) if isinstance(self._answers, Stack) else self._answers[places]
        return torch.from_numpy(own).to(self.device)

    def _all_answers(self) -> np.ndarray | Stack:
        """Of the teacher, to all images that are trained on: float32 (N, elements)."""
        count, size = len(self.examples.training), self.settings.batch
        found = None
        for start in range(0, count, size):
            numbers = self.examples.training[start : start + size]
            own = self.teacher(self._images(self.examples.images_of(numbers))).float().cpu().numpy()
            found = stack((count, own.shape[1]), own.dtype) if found is None else found
            found[start : start + len(own)] = own
            if self.progress is not None:
                self.progress("the float network's answers", start + len(own), count)
        assert found is not None  # there is an image to train on
        return found

    def _accuracy(self) -> float:
        """The share of images held back that the module gives their class."""
        right, size = 0, self.settings.batch
        with torch.no_grad(), self._precision():
            for start in range(0, len(self.examples.held), size):
                images, labels = self.examples.held_back(start, size)
                found = self.module(self._images(images)).argmax(1).cpu().numpy()
                right += int((found == labels).sum())
        return right / len(self.examples.held)

    def _images(self, pixels: np.ndarray) -> torch.Tensor:
        """As convolutions like them best, which in bfloat16 more than halves the time."""
        return torch.from_numpy(pixels).to(self.device, memory_format=torch.channels_last)

    def _precision(self) -> Any:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.bfloat16)

    def _tell(self, stage: Stage, each: int) -> None:
        if self.progress is None:
            return
        total = self.count * each
        if self._began is None:
            self._began = time.monotonic(), self.step
        began, step = self._began
        words = f"{stage.name}: epoch {min(self.step // each + 1, self.count)} of {self.count}"
        if self.epochs:
            words += f", {self.epochs[-1].accuracy:.2%} of the images held back right"
        if self.step > step:
            words += f", {_spoken((time.monotonic() - began) / (self.step - step) * (total - self.step))} left"
        self.progress(words, self.step, total)


def _spoken(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def _optimizer(kind: Optimizer, constraint: Constraint) -> Any:
    groups = [{"params": [parameter], "factor": factor} for parameter, factor in constraint.rates()]
    if kind == "adamw":
        return torch.optim.AdamW(groups, weight_decay=0.0, fused=True)  # one pass over memory instead of ten
    return torch.optim.SGD(groups, momentum=0.9, nesterov=True)


def _loss(answers: torch.Tensor, wanted: torch.Tensor, labels: torch.Tensor, distil: float) -> torch.Tensor:
    """answers, wanted: (N, classes); labels: (N,)."""
    loss = (1 - distil) * functional.cross_entropy(answers, labels)
    if distil:
        cool, target = functional.log_softmax(answers / TEMPERATURE, 1), functional.log_softmax(wanted / TEMPERATURE, 1)
        loss = loss + distil * TEMPERATURE**2 * functional.kl_div(cool, target, reduction="batchmean", log_target=True)
    return loss
