"""Every benchmark that needs no real data, one after the other: `make bench` (about ten minutes)."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def run(name: str, *arguments: str) -> None:
    """Runs one program and shows what it prints."""
    print(f"== {name}", flush=True)
    subprocess.run([sys.executable, str(HERE / name), *arguments], check=True)


def main() -> None:
    """Runs them; the heat maps are timed on a demo run made for the purpose."""
    run("startup.py")
    run("synthetic_speed.py")
    run("lesion_evaluation.py")
    run("loading.py")
    run("step.py")
    run("cam.py")
    run("cam.py", "--stride", "4", "--fuse", "32")
    run("balancing.py", "--quick")
    with tempfile.TemporaryDirectory() as folder:
        run("mao_toy.py", "--out", str(Path(folder) / "mao_toy.png"))
        run("scale_invariance.py", "--out", str(Path(folder) / "scale_invariance.png"))
    with tempfile.TemporaryDirectory() as folder:
        demo = Path(folder) / "demo"
        subprocess.run([sys.executable, "-m", "medmtl", "demo", "--out", str(demo), "--quiet"], check=True)
        run("explain.py", str(demo / "run"), str(demo / "data" / "images"))


if __name__ == "__main__":
    main()
