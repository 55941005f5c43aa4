"""What a task is: its target, its head, its masked loss, its predictions and its figures, all in one place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import Field
from torch import Tensor

from medmtl.config import Block, TaskBlock, validate_block
from medmtl.data.targets import MaskTarget
from medmtl.data.transforms import AnyTarget
from medmtl.evaluation import Candidates, Findings
from medmtl.geometry import Geometry
from medmtl.models import Encoder, Head
from medmtl.optim import TaskLoss
from medmtl.registry import Registry
from medmtl.tasks.inference_config import InferenceConfig
from medmtl.tasks.scenes import ClassEvidence, Origin, Place, Scene, Settings

if TYPE_CHECKING:
    from medmtl.data.samples import Sample
    from medmtl.tasks.localization_candidates import DiscConfig


class TaskConfig(Block):
    """Keys that every task has."""

    type: str = Field(description="Kind of the task.")
    view: str = Field("field", description="Name of the view that the task is trained on.")
    min_per_batch: int = Field(1, ge=0, description="Least number of labelled samples in each batch of the view.")


P = TypeVar("P")
R = TypeVar("R")
C = TypeVar("C", bound=TaskConfig)


class Task(ABC, Generic[C, P, R]):
    """One task of a run; stateless after construction.

    ``P`` is the task's prediction for one sample, ``R`` what evaluation keeps of a sample: small, and enough for every
    figure. An image flows through ``head → loss`` in training, and ``head → predictions → restore → record →
    findings`` in evaluation.

    Args:
        name: Name of the task.
        config: Its block of the configuration.
    """

    kind: ClassVar[str]
    config_type: ClassVar[type[TaskConfig]]
    seed: int = 0
    """Seed of random sanity rows; :func:`build_task` sets it."""

    def __init__(self, name: str, config: C) -> None:
        self.name = name
        self.config = config

    @property
    @abstractmethod
    def target(self) -> AnyTarget:
        """What the task asks of a sample."""

    @property
    def truth_targets(self) -> tuple[AnyTarget, ...]:
        """Everything that :meth:`truth` asks of a sample; more than the target where evaluation reads other files."""
        return (self.target,)

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the outputs."""

    @property
    def inference(self) -> InferenceConfig | None:
        """How whole images are looked at; None: once, in one forward pass with the other tasks."""
        return None

    @property
    def exclusion(self) -> DiscConfig | None:
        """Where the optic disc comes from, for a task that looks for nothing there."""
        return None

    @property
    def side_target(self) -> MaskTarget | None:
        """Masks that training reads beside the target, named so that no task can be: for :meth:`side_loss`."""
        return None

    def teaches(self, sample: Sample) -> bool:
        """Whether anything can be learned from a sample."""
        return self.target.labelled(sample)

    @property
    def learned_from(self) -> AnyTarget:
        """What has to be known of some training samples: the target."""
        return self.target

    @property
    def sees_patches(self) -> bool:
        """Whether a patch of an image can be learned from: true of masks, not of what is said of a whole image."""
        return isinstance(self.target, MaskTarget)

    @property
    def aids(self) -> tuple[AnyTarget, ...]:
        """Files beyond the target that predictions read, where a sample has them."""
        return ()

    @abstractmethod
    def build_head(self, encoder: Encoder) -> Head:
        """The head that turns the encoder's features into the task's output."""

    @abstractmethod
    def labelled_rows(self, target: Tensor, field: Tensor, side: Tensor | None = None) -> Tensor:
        """(B,) bool: samples of a batch that the task can learn from; ``side`` as in :meth:`side_loss`."""

    @abstractmethod
    def loss(self, output: Any, target: Tensor, field: Tensor) -> TaskLoss:
        """Sum over the labelled samples of the sample's loss, and their number; computed in fp32."""

    def side_loss(self, output: Any, target: Tensor, side: Tensor, field: Tensor) -> TaskLoss:
        """The loss where the batch also holds the masks of :attr:`side_target`, (B, L, H, W)."""
        return self.loss(output, target, field)

    @abstractmethod
    def predictions(self, output: Any, field: Tensor, excluded: Sequence[Place | None] | None = None) -> list[P]:
        """One prediction a sample, in the pixels of the view.

        Args:
            output: What the head gave for the batch.
            field: Field of view, (B, 1, H, W).
            excluded: Of each sample the places where nothing is looked for, (H, W); only for a task with an ``exclusion``.
        """

    @abstractmethod
    def restore(self, prediction: P, geometry: Geometry) -> P:
        """The prediction in original pixels."""

    @abstractmethod
    def truth(self, sample: Sample, shape: tuple[int, int]) -> Any:
        """The sample's labels in original pixels, for :meth:`record`."""

    @abstractmethod
    def batch_truth(self, target: npt.NDArray[Any]) -> Any:
        """The same from a batch's target (one sample), in the pixels of the view."""

    @abstractmethod
    def record(self, prediction: P, truth: Any, field: npt.NDArray[np.bool_], origin: Origin) -> R | None:
        """What evaluation keeps of a sample; None where the sample says nothing about the task."""

    def wants_rivals(self, sample: Sample) -> bool:
        """Whether figures of this sample stand beside those of a network before training."""
        return False

    def beside(self, record: R, truth: Any, field: npt.NDArray[np.bool_], scene: Scene, untrained: P) -> R:
        """The record with what knows nothing beside it.

        Args:
            record: Of one sample that wants it.
            truth: As :meth:`truth` gives it.
            field: (H, W) field of view in original pixels.
            scene: The image as the network saw it.
            untrained: What the network said before its training, restored.
        """
        return record

    def candidates(self, record: R) -> Mapping[str, Mapping[str, Candidates]]:
        """Candidates of lesions in original pixels, by who found them (no name: the network) and by class; for tables."""
        return {}

    @abstractmethod
    def selection(self, records: Sequence[R]) -> dict[str, float]:
        """Validation figures, higher is better; the first one selects the checkpoint. NaN where undefined."""

    @abstractmethod
    def thresholds(self, records: Sequence[R]) -> dict[str, float]:
        """Operating points chosen on these (validation) records, by class."""

    def evidence(self, records: Sequence[R]) -> dict[str, ClassEvidence]:
        """Scores of candidates by class, for the fixed scales of heat maps."""
        return {}

    @abstractmethod
    def findings(self, records: Sequence[R], settings: Settings) -> Findings:
        """All figures of a data set, from the samples that say something about the task."""

    @abstractmethod
    def example_score(self, record: R, settings: Settings) -> float:
        """How well a sample went (higher is better), for choosing the best, median and worst pictures."""

    def sample_row(self, record: R, settings: Settings) -> dict[str, float]:
        """The sample's figures by column, for comparisons between runs (``evaluation/samplewise.py``); NaN = unknown."""
        return {}

    @abstractmethod
    def picture(
        self, image: npt.NDArray[np.uint8], prediction: P, truth: Any, settings: Settings
    ) -> npt.NDArray[np.uint8]:
        """The sample's picture for the report: (H, W, 3)."""

    example_score_name: ClassVar[str] = "score"


AnyTask = Task[Any, Any, Any]
tasks: Registry[type[AnyTask]] = Registry("task type")


def build_task(name: str, block: TaskBlock, *, seed: int = 0) -> AnyTask:
    """Makes a task from its block of the configuration.

    Args:
        name: Its name.
        block: Its block.
        seed: Seed of random sanity rows.

    Raises:
        ConfigError: Unknown type or key, or a value that does not fit.
    """
    task_type = tasks.get(block.type, where=f"tasks.{name}.type")
    task = task_type(name, validate_block(task_type.config_type, block.model_dump(), f"tasks.{name}"))
    task.seed = seed
    return task
