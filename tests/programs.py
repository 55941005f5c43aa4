"""Programs outside of the package, as modules: scripts, benchmarks, examples."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]


def program(path: str) -> ModuleType:
    """Loads a program by its path from the root; it finds the files beside it, as when it is run."""
    file = ROOT / path
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    specification = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(specification)
    sys.modules[file.stem] = module  # where dataclasses look for it
    specification.loader.exec_module(module)
    return module
