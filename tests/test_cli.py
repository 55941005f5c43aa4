"""The command line: help, exit codes, and every command that is cheap on tiny data."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bad_world import World, encoded, make_folder

import medmtl
from medmtl.cli import run

COMMANDS = [
    [],
    ["demo"],
    ["train"],
    ["evaluate"],
    ["explain"],
    ["lesions"],
    ["results"],
    ["methods"],
    ["data"],
    ["data", "list"],
    ["data", "make"],
    ["data", "split"],
    ["data", "synth"],
    ["data", "paint"],
    ["data", "inspect"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(command: list[str], capfd: pytest.CaptureFixture[str]):
    assert run([*command, "--help"]) == 0
    captured = capfd.readouterr()
    assert "Usage: medmtl" in captured.out
    assert captured.err == ""


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("train", ["--set", "--out", "--resume", "--dry-run"]),
        ("evaluate", ["--manifest", "--split", "--out"]),
        ("explain", ["--out"]),
        ("lesions", ["--truth", "--rule", "--out", "--class", "--images", "--extract"]),
    ],
)
def test_stable_names(command: str, options: list[str], capfd: pytest.CaptureFixture[str]):
    run([command, "--help"])
    text = capfd.readouterr().out
    assert all(option in text for option in options)


def test_help_does_not_import_torch():
    code = "import sys; from medmtl.cli import run; run(['--help']); sys.exit(bool({'torch', 'monai', 'numpy', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Train, explain and evaluate" in done.stdout


def test_version(capfd: pytest.CaptureFixture[str]):
    assert run(["--version"]) == 0
    assert capfd.readouterr().out.strip() == f"medmtl {medmtl.__version__}"


def test_no_command_shows_the_help(capfd: pytest.CaptureFixture[str]):
    assert run([]) == 2
    captured = capfd.readouterr()
    assert "train" in captured.out + captured.err
    assert "Traceback" not in captured.err


def test_unknown_errors_are_not_hidden(monkeypatch: pytest.MonkeyPatch):
    """A bug is a traceback, not an 'error:' that a user is asked to mend."""
    from medmtl.workflows import listing

    def broken(name: str | None, **_: object) -> list[str]:
        raise ZeroDivisionError

    monkeypatch.setattr(listing, "method_lines", broken)
    with pytest.raises(ZeroDivisionError):
        run(["methods"])


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (OSError(28, "No space left on device", "x"), 2)]
)
def test_interrupts_and_the_system(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    from medmtl.workflows import listing

    def broken(name: str | None, **_: object) -> list[str]:
        raise error

    monkeypatch.setattr(listing, "method_lines", broken)
    assert run(["methods"]) == code
    said = capfd.readouterr().err.strip()
    assert len(said.splitlines()) <= 1  # some versions of typer swallow ^C and say nothing
    assert said.startswith("error: ") == (code == 2)


def test_a_name_in_another_encoding_is_one_line(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    from medmtl.workflows import listing

    def broken(name: str | None, **_: object) -> list[str]:
        "manifest /data/\udcff.csv".encode()
        return []

    monkeypatch.setattr(listing, "method_lines", broken)
    assert run(["methods"]) == 2
    said = capfd.readouterr().err
    assert (
        said == "error: the name of a file or folder is not UTF-8; found ...manifest /data/\\udcff.csv...; rename it\n"
    )


def test_a_reader_that_goes_away_is_no_error():
    shell = f"{sys.executable} -c \"import sys; from medmtl.cli import run; code = run(['methods'] * 1); sys.exit(code)\" | true"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False, timeout=120)
    assert "Traceback" not in done.stderr


def test_lists(capfd: pytest.CaptureFixture[str]):
    assert run(["methods"]) == run(["methods", "pcgrad"]) == run(["data", "list"]) == 0
    text = capfd.readouterr().out
    for name in ("equal", "uw", "famo", "idrid", "diaretdb1", "hrf_av", "messidor2"):
        assert name in text


def test_every_option_of_a_data_set_is_listed(capfd: pytest.CaptureFixture[str]):
    from medmtl.data.sources import list_sources

    assert run(["data", "list"]) == 0
    text = capfd.readouterr().out
    for source in list_sources():
        for option in source.options:
            assert f"--option {option.name}=" in text
            assert option.help in text
    assert "no_box=unknown|absent" in text
    assert run(["data", "make", "--help"]) == 0
    assert "medmtl data list" in capfd.readouterr().out


def test_every_domain_is_in_the_help(capfd: pytest.CaptureFixture[str]):
    from medmtl.data.synthesis.domain import DOMAINS

    assert run(["data", "synth", "--help"]) == 0
    told = capfd.readouterr().out
    assert [name for name in DOMAINS if name not in told] == []


def test_mask_values_that_the_user_does_not_know_are_problems(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    world = World.make(tmp_path / "w")
    world.write()
    assert run(["data", "inspect", str(world.manifest), "--known", "vessel=0,1,2"]) == 0
    assert run(["data", "inspect", str(world.manifest), "--known", "vessel=0,1"]) == 1
    assert "4 problems" in capfd.readouterr().out.splitlines()[-1]
    for wrong, said in (("vessel", "needs a mask column and its values"), ("vessels=0", "did you mean 'vessel'?")):
        assert run(["data", "inspect", str(world.manifest), "--known", wrong]) == 2
        assert said in capfd.readouterr().err


def test_synth_then_inspect(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    assert run(["data", "synth", "--n", "4", "--size", "64", "--seed", "1", "--out", str(tmp_path / "d")]) == 0
    manifest = Path(capfd.readouterr().out.split()[-1])
    assert manifest.is_file()
    assert run(["data", "inspect", str(manifest), "--out", str(tmp_path / "x.json")]) == 0
    assert "no problems found" in capfd.readouterr().out
    assert json.loads((tmp_path / "x.json").read_text())["samples"] == 4


def test_inspect_gives_1_for_problems_and_2_for_what_it_cannot_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    world = World.make(tmp_path / "w")
    world.write()
    world.put("0.png", b"")
    assert run(["data", "inspect", str(world.manifest)]) == 1
    assert "0 bytes" in capfd.readouterr().out
    assert run(["data", "inspect", str(tmp_path / "none.csv")]) == 2


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_make_then_inspect(tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]):
    world = World.make(tmp_path / "w")
    manifest = tmp_path / f"m.{suffix}"
    assert run(make_folder(world, manifest)) == 0
    assert "8 samples" in capfd.readouterr().out
    assert run(["data", "inspect", str(manifest)]) == 0, capfd.readouterr()


@pytest.mark.parametrize("suffix", [".csv", ".CSV", ".parquet"])
def test_inspect_runs_the_self_tests_of_a_known_set_whatever_the_suffix(
    tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]
):
    """One image of a set of forty: the published counts do not agree, and that is said."""
    import pandas as pd

    from medmtl.data.manifest import write_manifest

    (tmp_path / "21_training.png").write_bytes(encoded("PNG"))
    frame = pd.DataFrame({"image": [str(tmp_path / "21_training.png")], "dataset": ["drive_av"], "split": ["train"]})
    write_manifest(frame, tmp_path / f"m{suffix}")
    assert run(["data", "inspect", str(tmp_path / f"m{suffix}")]) == 1
    text = capfd.readouterr().out
    assert "published count" in text
    assert not text.splitlines()[-1].startswith("0")


def test_dry_run_says_what_would_be_done_and_writes_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    world = World.make(tmp_path / "w")
    assert run(world.train("--dry-run", "--set", "training.epochs=3")) == 0
    text = capfd.readouterr().out
    assert "6 labelled training samples" in text
    assert "in 3 epochs" in text
    assert not world.out.exists()


@pytest.mark.slow
def test_train_evaluate_results(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    world = World.make(tmp_path / "w")
    world.config["evaluation"] = {"bootstrap": 100}
    assert run(world.train()) == 0, capfd.readouterr()
    out = tmp_path / "e"
    command = [
        "evaluate",
        str(world.out),
        "--manifest",
        str(world.manifest),
        "--split",
        "val",
        "--out",
        str(out),
        "--quiet",
    ]
    assert run(command) == 0, capfd.readouterr()
    text = capfd.readouterr().out
    assert "dice" in text.lower()
    assert (out / "report.html").is_file()
    assert json.loads((out / "metrics.json").read_text())
    ledger = (tmp_path / "ledger.csv").read_text().splitlines()
    assert len(ledger) == 2
    assert run(command) == 0
    assert len((tmp_path / "ledger.csv").read_text().splitlines()) == 3
    assert run(["results", str(world.out)]) == 0
    (tmp_path / "ledger.csv").write_bytes(b"\xff\xfe")
    assert run(command) == 2
    assert "ledger" in capfd.readouterr().err
    assert run([*command[:-1], "--split", "trian", "--quiet"]) == 2
    assert "did you mean 'train'" in capfd.readouterr().err
