"""Every aggregation method against TorchJD's own aggregator on the stacked matrix."""

from __future__ import annotations

import importlib.util
import inspect
import warnings

import pytest
import torch
import torchjd.aggregation as jd
from aggregation_toys import ON_PARAMETERS, follow, names, random_rows

from medmtl.errors import DependencyError
from medmtl.optim import make_method, methods
from medmtl.optim.aggregation import NonNegativeProjector


def gramian_weighted(weighting: jd.Weighting) -> jd.GramianWeightedAggregator:
    return jd.GramianWeightedAggregator(weighting)


LIBRARY = {
    "aligned_mtl": ({}, jd.AlignedMTL),
    "cagrad": ({"solver": "clarabel"}, lambda: jd.CAGrad(0.5)),
    "config": ({}, jd.ConFIG),
    "crmogm": ({"inner": "imtl_g"}, lambda: gramian_weighted(jd.CRMOGMWeighting(jd.IMTLGWeighting()))),
    "dual_proj": ({}, lambda: jd.DualProj(projector=NonNegativeProjector())),
    "excess_mtl": ({"robust_step_size": 0.01}, lambda: jd.ExcessMTL(0.01)),
    "fairgrad": ({}, lambda: jd.FairGrad(1.0)),
    "graddrop": ({}, jd.GradDrop),
    "gradvac": ({}, jd.GradVac),
    "imtl_g": ({}, jd.IMTLG),
    "krum": ({}, lambda: jd.Krum(0)),
    "mean": ({}, jd.Mean),
    "mgda": ({"solver": "frank_wolfe"}, jd.MGDA),
    "modo": ({}, lambda: gramian_weighted(jd.MoDoWeighting())),
    "pcd": ({}, jd.PCD),
    "pcgrad": ({}, jd.PCGrad),
    "random": ({}, jd.Random),
    "sdmgrad": ({}, lambda: gramian_weighted(jd.SDMGradWeighting())),
    "trimmed_mean": ({}, lambda: jd.TrimmedMean(1)),
    "upgrad": ({}, lambda: jd.UPGrad(projector=NonNegativeProjector())),
}
MORE = [
    ("aligned_mtl", {"scale_mode": "median"}, lambda: jd.AlignedMTL(scale_mode="median")),
    ("aligned_mtl", {"scale_mode": "rmse"}, lambda: jd.AlignedMTL(scale_mode="rmse")),
    ("aligned_mtl", {"preference": {"t0": 2.0}}, lambda: jd.AlignedMTL(torch.tensor([0.5, 0.25, 0.25]).double())),
    ("config", {"preference": {"t1": 2.0}}, lambda: jd.ConFIG(torch.tensor([1.0, 2, 1]).double())),
    ("upgrad", {"preference": {"t2": 3.0}}, lambda: jd.UPGrad(torch.tensor([0.2, 0.2, 0.6]).double(), PROJECTOR)),
    ("dual_proj", {"preference": {"t2": 3.0}}, lambda: jd.DualProj(torch.tensor([0.2, 0.2, 0.6]).double(), PROJECTOR)),
    ("cagrad", {"solver": "clarabel", "c": 0.2}, lambda: jd.CAGrad(0.2)),
    ("excess_mtl", {"n_warmup_steps": 2}, lambda: jd.ExcessMTL(n_warmup_steps=2)),
    ("fairgrad", {"alpha": 2.0}, lambda: jd.FairGrad(2.0)),
    ("graddrop", {"leak": {"t1": 0.5}}, lambda: jd.GradDrop(leak=torch.tensor([0, 0.5, 0]).double())),
    ("graddrop", {"leak": 0.25}, lambda: jd.GradDrop(leak=torch.full((3,), 0.25).double())),
    ("gradvac", {"beta": 0.1}, lambda: jd.GradVac(0.1)),
    ("krum", {"n_selected": 2}, lambda: jd.Krum(0, 2)),
    ("modo", {"gamma": 0.01, "rho": 0.5}, lambda: gramian_weighted(jd.MoDoWeighting(0.01, 0.5))),
    ("pcd", {"tau": 0.3, "beta": 0.5}, lambda: jd.PCD(0.3, 0.5)),
    ("sdmgrad", {"lambda_": 0.0, "n_iter": 3}, lambda: gramian_weighted(jd.SDMGradWeighting(lambda_=0.0, n_iter=3))),
    ("trimmed_mean", {"trim_number": 0}, lambda: jd.TrimmedMean(0)),
]
PROJECTOR = NonNegativeProjector()
CASES = [(name, *LIBRARY[name]) for name in LIBRARY] + MORE


def test_every_method_has_its_oracle() -> None:
    assert set(LIBRARY) | {"nash_mtl"} == set(ON_PARAMETERS)


@pytest.mark.parametrize(("name", "arguments", "make"), CASES, ids=lambda v: v if isinstance(v, str) else "")
@pytest.mark.parametrize("size", [4, 7])
def test_equals_the_library_over_several_steps(name: str, arguments: dict, make, size: int) -> None:
    """With states and draws: the library's global generator is seeded as the method's own."""
    steps = [random_rows(3, size, seed) / 3 for seed in range(6)]
    found, _ = follow(name, [dict(zip(names(3), rows, strict=True)) for rows in steps], **arguments)
    aggregator = make()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        expected = [aggregator(rows) for rows in steps]
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("tasks", [2, 4, 5])
@pytest.mark.parametrize("name", [name for name in LIBRARY if name not in ("krum", "trimmed_mean")])
def test_equals_the_library_for_other_numbers_of_tasks(name: str, tasks: int) -> None:
    arguments, make = LIBRARY[name]
    rows = random_rows(tasks, 6, tasks) / 3
    found, _ = follow(name, [dict(zip(names(tasks), rows, strict=True))], **arguments)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        expected = make()(rows)
    torch.testing.assert_close(found[0], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.skipif(importlib.util.find_spec("ecos") is None, reason="ecos is under the GPL and is not installed")
def test_nash_mtl_equals_the_library_with_its_solver() -> None:
    steps = [random_rows(3, 6, seed) for seed in range(3)]
    aggregator = jd.NashMTL(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, _ = follow("nash_mtl", [dict(zip(names(3), rows, strict=True)) for rows in steps], solver="ecos")
        expected = [aggregator(rows) for rows in steps]
    exact, _ = follow("nash_mtl", [dict(zip(names(3), rows, strict=True)) for rows in steps])
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(exact, expected, rtol=0, atol=0.01)


@pytest.mark.parametrize(
    ("name", "solver", "package", "extra"),
    [("nash_mtl", "ecos", "ecos", "nash"), ("cagrad", "clarabel", "cvxpy", "cagrad")],
)
def test_a_missing_solver_gives_the_install_command(monkeypatch, name, solver, package, extra) -> None:
    true = importlib.util.find_spec
    monkeypatch.setattr("torchjd._mixins.find_spec", lambda asked: None if asked == package else true(asked))
    with pytest.raises(DependencyError, match=rf"{name}\.solver.*pip install 'medmtl\[{extra}\]'"):
        make_method(name, solver=solver)


SIGNATURES = {
    "aligned_mtl": jd.AlignedMTLWeighting,
    "cagrad": jd.CAGradWeighting,
    "config": jd.ConFIG,
    "crmogm": jd.CRMOGMWeighting,
    "dual_proj": jd.DualProjWeighting,
    "excess_mtl": jd.ExcessMTLWeighting,
    "fairgrad": jd.FairGradWeighting,
    "graddrop": jd.GradDrop,
    "gradvac": jd.GradVacWeighting,
    "imtl_g": jd.IMTLGWeighting,
    "krum": jd.KrumWeighting,
    "mean": jd.MeanWeighting,
    "mgda": jd.MGDAWeighting,
    "modo": jd.MoDoWeighting,
    "nash_mtl": jd.NashMTL,
    "pcd": jd.PCDWeighting,
    "pcgrad": jd.PCGradWeighting,
    "random": jd.RandomWeighting,
    "sdmgrad": jd.SDMGradWeighting,
    "trimmed_mean": jd.TrimmedMean,
    "upgrad": jd.UPGradWeighting,
}
RENAMED = {"pref_vector": "preference", "weighting": "inner"}
OWN = {"projector", "f", "n_tasks", "initial_weights"}  # ours, not a configuration value, or found by the method
FREE = {"leak": 0.0}  # what stands for the library's None


@pytest.mark.parametrize("name", ON_PARAMETERS)
def test_arguments_and_defaults_are_the_library_s(name: str) -> None:
    ours = inspect.signature(methods.get(name)).parameters
    for parameter in inspect.signature(SIGNATURES[name]).parameters.values():
        if parameter.name in OWN:
            continue
        mine = ours[RENAMED.get(parameter.name, parameter.name)]
        if parameter.default is not inspect.Parameter.empty:
            assert mine.default == FREE.get(mine.name, parameter.default)
