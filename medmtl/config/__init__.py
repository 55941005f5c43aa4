"""The typed schema of a run: YAML files that compose, ``--set`` on top; data only, nothing in it is evaluated."""

from medmtl.blocks import Block, validate_block
from medmtl.config.data import AugmentConfig, DataConfig, ViewConfig
from medmtl.config.loading import load_config, opened_config, parse_config, resolved_config, with_overrides
from medmtl.config.run import CooperationConfig, EncoderConfig, MethodBlock, ModelConfig, RunConfig, TaskBlock
from medmtl.config.training import EvaluationConfig, TrainingConfig
from medmtl.yamlfile import merge, parse_override, read_yaml

__all__ = [
    "AugmentConfig", "Block", "CooperationConfig", "DataConfig", "EncoderConfig", "EvaluationConfig", "MethodBlock",
    "ModelConfig", "RunConfig", "TaskBlock", "TrainingConfig", "ViewConfig", "load_config", "merge", "opened_config",
    "parse_config", "parse_override", "read_yaml", "resolved_config", "validate_block", "with_overrides",
]  # fmt: skip
