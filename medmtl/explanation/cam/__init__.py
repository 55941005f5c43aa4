"""Class activation maps by every method of pytorch-grad-cam, and MONAI's, on an absolute scale, for any network.

The libraries stretch every map to its own minimum and maximum (jacobgil/pytorch-grad-cam#267; MONAI's also turns it
over): a healthy eye and a network with features near zero look as "hot" as a disease. Here nothing is stretched.
"""

from __future__ import annotations

from medmtl.explanation.cam.eigen import eigen_projection
from medmtl.explanation.cam.mapping import cam_classes, cam_map, cam_maps
from medmtl.explanation.cam.methods import CAM_METHODS, CamMethod, cam_method

__all__ = ["CAM_METHODS", "CamMethod", "cam_classes", "cam_map", "cam_maps", "cam_method", "eigen_projection"]
