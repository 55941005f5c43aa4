from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

APPS = Path(__file__).parents[2] / "apps"


@pytest.fixture
def program(monkeypatch):
    """Loads a program of apps/ as Python does when it is run: its folder first on the path."""

    def load(name):
        monkeypatch.syspath_prepend(str(APPS))
        monkeypatch.delitem(sys.modules, name, raising=False)
        module = importlib.import_module(name)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return module

    return load
