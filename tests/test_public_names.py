from __future__ import annotations

import importlib
import pkgutil

import medmtl


def test_public_names_are_callable_after_every_submodule_was_imported():
    names = [module.name for module in pkgutil.walk_packages(medmtl.__path__, "medmtl.")]
    assert len(names) > 50
    for name in names:
        importlib.import_module(name)
    for name in medmtl.__all__:
        value = getattr(medmtl, name)
        assert callable(value) or name.startswith("__"), name
    assert {"train", "evaluate", "explain", "lesions"} <= set(medmtl.__all__)
