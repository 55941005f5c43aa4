"""`medmtl report`: the page of a run without evaluation, out of its own tables."""

from __future__ import annotations

import pytest

from medmtl.cli import run as run_command
from medmtl.errors import OutputError, RunError
from medmtl.run import RunFolder
from medmtl.workflows.reporting import report

LOG = "step,epoch,split,loss/vessels,weight/vessels\n1,1,train,0.9,1\n2,1,train,0.8,2\n"
PROBE = "step,measure,tasks,layer,statistic,value\n0,update_share,vessels,stem,value,0.75\n"


@pytest.fixture
def folder(tmp_path, small_config):
    run = RunFolder.create(tmp_path / "run", small_config())
    run.log.write_text(LOG)
    run.probe.write_text(PROBE + "0,update_share,lesions,stem,value,0.25\n")
    return run


def test_a_run_that_was_never_evaluated_has_a_page(folder, tmp_path, capsys):
    out = tmp_path / "seen" / "page.html"
    assert run_command(["report", str(folder.path), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"report {out}\n"
    text = out.read_text(encoding="utf-8")
    for words in ("Nothing was evaluated.", "Learning curves", "Who moves what", "Task weights", "Share of lesions"):
        assert words in text
    assert {path.name for path in out.parent.iterdir()} == {"page.html"}


def test_the_run_may_be_going_on(folder, tmp_path):
    folder.log.write_text(LOG + "3,1,tra")
    assert "Task weights" in report(folder.path, tmp_path / "page.html").read_text(encoding="utf-8")
    folder.log.unlink()
    folder.probe.unlink()
    assert "Who moves what" not in report(folder.path, tmp_path / "page.html").read_text(encoding="utf-8")


def test_what_is_wrong_is_one_line(folder, tmp_path):
    with pytest.raises(OutputError, match="one HTML file"):
        report(folder.path, tmp_path)
    with pytest.raises(RunError, match="no such run folder"):
        report(tmp_path / "none", tmp_path / "page.html")
    folder.log.write_text('step,split\n1,"train\n2,3,4,5\n')
    with pytest.raises(RunError, match=r"log\.csv: the table cannot be read"):
        report(folder.path, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
