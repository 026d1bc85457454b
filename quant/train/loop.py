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
from quant.train.feed import feed
from quant.train.launched import Launched
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

JUDGED = 500
"""Images held back that are answered together."""


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
        self.feed = feed(examples, settings, self.device)
        self.epochs: list[Epoch] = []
        self.step = 0
        self.losses = torch.zeros((), dtype=torch.float64, device=self.device)
        self.finite = torch.ones((), dtype=torch.bool, device=self.device)
        self._began: tuple[float, int] | None = None
        self._answers: np.ndarray | Stack | None = None

    def stage(self, index: int, stage: Stage, constraint: Constraint, saved: dict[str, Any] | None) -> None:
        """Run a stage: from its beginning, or from what was saved."""
        each = self.examples.steps(self.settings.batch)
        kind, rate = stage.optimizer or self.settings.optimizer, stage.rate or self.settings.learning_rate
        optimizer = _optimizer(kind, constraint, self.device)
        first, steps = self.step, stage.epochs * each
        if saved is not None:
            self.module.load_state_dict(saved["module"])
            optimizer.load_state_dict(saved["optimizer"])
            self.losses.fill_(saved["losses"])
            self.step, first = saved["step"], saved["first"]
            self.epochs = [Epoch(**epoch) for epoch in saved["epochs"]]
        rates, factors = _rates(optimizer, self.device)

        def save() -> float:
            self.checkpoint.save(
                {
                    "stage": index,
                    "first": first,
                    "step": self.step,
                    "losses": self.losses.item(),
                    "epochs": [asdict(epoch) for epoch in self.epochs],
                    "module": self.module.state_dict(),
                    "optimizer": optimizer.state_dict(),
                }
            )
            return time.monotonic()

        written, one = time.monotonic(), Launched(lambda: self._one(optimizer), self.device)
        while self.step < first + steps:
            own = self.step - first
            constraint.before(own, steps)
            cosine = 0.5 + 0.5 * torch.cos(torch.tensor(torch.pi * own / steps)).item()
            rates.copy_(rate * (LAST + (1 - LAST) * cosine) * factors, non_blocking=True)
            self.feed.take(self.step)
            one()
            self.step += 1
            ended = self.step % each == 0
            if ended or time.monotonic() - written > SECONDS:
                self._check()
            if ended:
                self.epochs.append(Epoch(stage.name, self.losses.item() / each, self._accuracy()))
                self.losses.zero_()
            if ended or time.monotonic() - written > SECONDS:
                written = save()
            self._tell(stage, each)

    def _one(self, optimizer: Any) -> None:
        """One step, of what the feed took: nothing of it waits for a GPU, or asks it for a number."""
        settings, images, labels = self.settings, self.feed.images(), self.feed.labels
        with self._precision():
            answers = self.module(images)
            wanted = self._wanted(images) if settings.distil else answers
        loss = _loss(answers.float(), wanted.float(), labels, settings.distil)
        optimizer.zero_grad()
        loss.backward()
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        length = torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        self.finite &= torch.isfinite(loss.detach()) & torch.isfinite(length)
        self.losses += loss.detach()
        optimizer.step()

    def _check(self) -> None:
        """Before weights are kept: a loss that was no number has spoilt them."""
        if not self.finite.item():
            epoch = (self.step - 1) // self.examples.steps(self.settings.batch) + 1
            kept = self.checkpoint.kept
            raise BadInput(
                f"training: in epoch {epoch} of {self.count} the loss is no number: lower --learning-rate{kept}"
            )

    @torch.no_grad()
    def _wanted(self, images: torch.Tensor) -> torch.Tensor:
        """The teacher's answers to the images of a step.  Images that never move have the same in all epochs, which a
        processor need not compute again."""
        settings = self.settings
        if settings.augment != "none" or settings.mix or self.device.type == "cuda":
            return self.teacher(images)
        if self._answers is None:
            self._answers = self._all_answers()
        places = self.examples.places(self.step, settings.batch, settings.seed)
        own = self._answers.rows(places) if isinstance(self._answers, Stack) else self._answers[places]
        return torch.from_numpy(own)

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
        right = 0
        with torch.no_grad(), self._precision():
            for start in range(0, len(self.examples.held), JUDGED):
                images, labels = self.examples.held_back(start, JUDGED)
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


def _optimizer(kind: Optimizer, constraint: Constraint, device: torch.device) -> Any:
    """With a group for each factor of the learning rate, which is set before each step."""
    groups: dict[float, list[torch.nn.Parameter]] = {}
    for parameter, factor in constraint.rates():
        groups.setdefault(factor, []).append(parameter)
    given = [{"params": parameters, "factor": factor} for factor, parameters in groups.items()]
    if kind == "adamw":  # fused: one pass over memory instead of ten
        return torch.optim.AdamW(given, weight_decay=0.0, fused=True, capturable=device.type == "cuda")
    return torch.optim.SGD(given, momentum=0.9, nesterov=True, fused=device.type == "cuda")


def _rates(optimizer: Any, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """The learning rates of an optimizer's groups, to be written to, on its device, and the groups' factors: (n,)."""
    factors = torch.tensor([group["factor"] for group in optimizer.param_groups], dtype=torch.float64)
    rates = torch.zeros(len(factors), device=device)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    return rates, factors


def _loss(answers: torch.Tensor, wanted: torch.Tensor, labels: torch.Tensor, distil: float) -> torch.Tensor:
    """answers, wanted: (N, classes); labels: of `Feed`."""
    loss = (1 - distil) * functional.cross_entropy(answers, labels)
    if distil:
        cool, target = functional.log_softmax(answers / TEMPERATURE, 1), functional.log_softmax(wanted / TEMPERATURE, 1)
        loss = loss + distil * TEMPERATURE**2 * functional.kl_div(cool, target, reduction="batchmean", log_target=True)
    return loss
