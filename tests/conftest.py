"""What the tests of several packages share: a small synthetic data set and a small run of three tasks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

from medmtl.config import RunConfig, merge, parse_config
from medmtl.data.synthetic import write_dataset
from medmtl.progress import Progress

settings.register_profile(
    "medmtl", deadline=None
)  # how long an example takes says nothing of the code on a busy machine
settings.load_profile("medmtl")


@pytest.fixture(autouse=True, scope="session")
def _few_threads() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def small_manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 synthetic images of 72 px with all labels."""
    return write_dataset(24, 3, tmp_path_factory.mktemp("small") / "data", size=72)


@pytest.fixture(scope="session")
def small_config(small_manifest: Path) -> Callable[..., RunConfig]:
    """Makes the configuration of a small run on that data set; keyword arguments lie over it block by block."""

    def make(**over: Any) -> RunConfig:
        base: dict[str, Any] = {
            "name": "small",
            "seed": 5,
            "data": {"manifests": [str(small_manifest)], "workers": 0},
            "views": {"field": {"size": 64, "batch_size": 4}},
            "model": {"encoder": {"name": "efficientnet-lite0", "weights": "none"}},
            "tasks": {
                "vessels": {
                    "type": "segmentation",
                    "classes": {"vessel": {"column": "vessels"}},
                    "decoder_channels": [16, 8, 8, 8, 8],
                },
                "referable": {"type": "classification"},
                "lesions": {"type": "localization", "classes": ["hard_exudates", "haemorrhages"]},
            },
            "training": {"epochs": 2, "channels_last": False, "device": "cpu"},
            "evaluation": {"bootstrap": 100},
        }
        return parse_config(merge(base, over))

    return make


@pytest.fixture(scope="session")
def small_run(small_config: Callable[..., RunConfig], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of that configuration, trained for one epoch; tests must not write into it."""
    from medmtl.workflows.training import train

    config = small_config(training={"epochs": 1})
    return train(config, tmp_path_factory.mktemp("run") / "run", progress=Progress(quiet=True)).run
