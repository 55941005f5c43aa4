"""The lesion experiment: its configurations are valid together, and none of them lets real lesions into training."""

from __future__ import annotations

import re
import subprocess
from itertools import product
from pathlib import Path

import pytest

from medmtl.config import RunConfig, load_config
from medmtl.inference.network import build_tasks

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "lesion_experiment"
FOLDER = ROOT / "configs" / "lesions"
ARMS = ((), ("presence",))
FIRST = (("patches",), ("patches", "messidor2", "messidor2-patches"))
SECOND = (("whole",), ("whole", "messidor2"), ("whole", "setting2"))


def loaded(*names: str) -> RunConfig:
    return load_config([FOLDER / f"{name}.yaml" for name in ("maps", *names)], [])


@pytest.mark.parametrize(("arm", "step"), [*product(ARMS, (*FIRST, *SECOND))])
def test_every_step_of_every_arm_is_valid(arm: tuple[str, ...], step: tuple[str, ...]):
    config = loaded(*arm, *step)
    patches = step[0] == "patches"
    assert (config.views["field"].patch is not None) == patches
    tasks = {task.name: task for task in build_tasks(config)}
    assert tasks["dr"].classes == ("dr",)
    assert tasks["dr"].sees_patches == patches
    assert tasks["lesions"].sees_patches == (patches or not arm)
    assert set(config.tasks) == {"dr", "lesions"}


@pytest.mark.parametrize("step", [*FIRST, *SECOND])
def test_arm_a_reads_the_grade_alone(step: tuple[str, ...]):
    read = {
        column
        for task in build_tasks(loaded(*step))
        for item in task.target.classes  # type: ignore[union-attr]  # both tasks read labels
        for column in item.columns
    }
    assert read == ({"dr_grade", "any_consensus"} if "setting2" in step else {"dr_grade"})


def test_masks_are_learned_from_in_painted_and_synthetic_images_only():
    for arm, step in product(ARMS, (*FIRST, *SECOND)):
        data = loaded(*arm, *step).data
        real = {path.name for path in data.manifests}
        assert real <= {"idrid_lesions.csv", "messidor2.csv", "diaretdb1_labels.csv"}
        assert all(path.parent.name.startswith(("painted_", "synthetic_")) for path in data.training_manifests)


def test_the_script_names_files_that_are_there():
    text = SCRIPT.read_text()
    names = set(re.findall(r"\$C/([\w-]+\.yaml)", text))
    assert {"maps.yaml", "patches.yaml", "whole.yaml", "setting2.yaml"} <= names
    assert all((FOLDER / name).is_file() for name in names)
    assert subprocess.run(["bash", "-n", str(SCRIPT)], check=False).returncode == 0
    asked = subprocess.run(["bash", str(SCRIPT)], check=False, capture_output=True, text=True)
    assert asked.returncode == 2
    assert "lesion_experiment train ARM SEED" in asked.stdout
