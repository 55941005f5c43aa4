"""Where the processes of a comparison run: on this machine, or wherever Ray puts them."""

from medmtl.comparison.executors.base import EXECUTORS, Executor, Job, Outcome, make_executor

__all__ = ["EXECUTORS", "Executor", "Job", "Outcome", "make_executor"]
