"""Networks: encoders chosen by name, heads for each kind of task, and the two ways to join them."""

from __future__ import annotations

from medmtl.models.bagnet import BagNetEncoder
from medmtl.models.buffers import evaluation_mode, frozen_buffers, set_batch_norm_momentum
from medmtl.models.cooperative import CooperativeNetwork
from medmtl.models.decoders import SegmentationHead
from medmtl.models.efficientnet import MonaiEfficientNet
from medmtl.models.efficientnet_lite import LiteEncoder
from medmtl.models.encoders import STRIDES, Encoder, build_encoder
from medmtl.models.heads import ClassificationHead, ClassMapHead, ClassMaps, Head
from medmtl.models.normalization import ImageNetNormalization
from medmtl.models.pooling import build_pooling, cells_inside
from medmtl.models.shared import SharedEncoderNetwork
from medmtl.models.taskview import TaskView, image_logits
from medmtl.models.weights import load_parts

__all__ = [
    "STRIDES",
    "BagNetEncoder",
    "ClassMapHead",
    "ClassMaps",
    "ClassificationHead",
    "CooperativeNetwork",
    "Encoder",
    "Head",
    "ImageNetNormalization",
    "LiteEncoder",
    "MonaiEfficientNet",
    "SegmentationHead",
    "SharedEncoderNetwork",
    "TaskView",
    "build_encoder",
    "build_pooling",
    "cells_inside",
    "evaluation_mode",
    "frozen_buffers",
    "image_logits",
    "load_parts",
    "set_batch_norm_momentum",
]
