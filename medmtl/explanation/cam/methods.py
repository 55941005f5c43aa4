"""The table of methods: what each needs, what its values mean, what it costs, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from medmtl.explanation.cam import monai_maps
from medmtl.explanation.cam.eigen import eigen_projection, extreme_projection, kernel_projection
from medmtl.explanation.cam.layered import Maps, each_class, geometric_mean, layered
from medmtl.explanation.cam.weighting import (
    ablated,
    finer_score,
    library,
    plus_plus,
    projected,
    random,
    scored,
    shapley,
)
from medmtl.explanation.cam.whole import enhanced, full_gradient
from medmtl.registry import Registry

Unit = Literal["logit", "logit × feature", "feature", "kernel", "logit × odds", "none"]
ONE = "one forward and one backward pass to the layer"
FORWARD = "one forward pass"
CHANNELS = "a forward pass for each feature channel"


@dataclass(frozen=True)
class CamMethod:
    """One method of class activation mapping.

    Attributes:
        title: As the field writes it.
        source: Where it is defined.
        unit: What a value means: ``logit`` values can be compared with the head's own maps and their scale.
        maps: Makes the maps.
        by_class: Whether it knows the class; else it shows the strongest pattern, whatever it is of.
        cost: What it takes, an image.
        normalized: What of the method is normalized by its definition; empty for nothing.
        windows: Whether it looks at windows of the image, which the image's field of view says nothing of.
    """

    title: str
    source: str
    unit: Unit
    maps: Maps
    by_class: bool = True
    cost: str = ONE
    normalized: str = ""
    windows: bool = False


CAM_METHODS: Registry[CamMethod] = Registry("class activation method")
_MASKS = "each feature channel is stretched to 0 to 1 to mask the image, and weights are a softmax over channels"
_WINDOWS = "a window's weight is its probability relative to the image's highest; the result is blurred"
_GRAD_CAM = layered(library("GradCAM"))
_TABLE = {
    "gradcam": CamMethod("Grad-CAM", "Selvaraju et al. 2017, arXiv 1610.02391", "logit", _GRAD_CAM),
    "hirescam": CamMethod(
        "HiResCAM", "Draelos and Carin 2020, arXiv 2011.08891", "logit", layered(library("HiResCAM"))
    ),
    "gradcam++": CamMethod("Grad-CAM++", "Chattopadhay et al. 2018, arXiv 1710.11063", "logit", layered(plus_plus)),
    "xgradcam": CamMethod("XGrad-CAM", "Fu et al. 2020, arXiv 2008.02312", "logit", layered(library("XGradCAM"))),
    "layercam": CamMethod("LayerCAM", "Jiang et al. 2021, IEEE TIP 30", "logit", layered(library("LayerCAM"))),
    "gradcamelementwise": CamMethod(
        "Grad-CAM, element by element", "pytorch-grad-cam", "logit", layered(library("GradCAMElementWise"))
    ),
    "shapleycam": CamMethod(
        "ShapleyCAM",
        "arXiv 2501.06261",
        "logit",
        layered(shapley, "curvature"),
        cost="one forward pass, and two backward passes to the layer",
    ),
    "finercam": CamMethod("FinerCAM", "pytorch-grad-cam", "logit", layered(library("GradCAM"), score=finer_score)),
    "fullgrad": CamMethod(
        "FullGrad",
        "Srinivas and Fleuret 2019, arXiv 1905.00780",
        "logit",
        each_class(full_gradient),
        cost="one forward and one backward pass",
    ),
    "refinecam": CamMethod("RefineCAM", "arXiv 2605.14641", "logit", layered(plus_plus, fuse=geometric_mean)),
    "sess": CamMethod(
        "SESS of Grad-CAM",
        "arXiv 2207.01769",
        "logit",
        enhanced(_GRAD_CAM),
        cost="about a hundred forward and backward passes",
        normalized=_WINDOWS,
        windows=True,
    ),
    "eigengradcam": CamMethod(
        "EigenGradCAM", "pytorch-grad-cam", "logit", layered(projected(eigen_projection, by_gradient="signed"))
    ),
    "segeigencam": CamMethod(
        "Seg-Eigen-CAM",
        "Chung and Ying 2025, Applied Sciences 15(13) 7562",
        "logit",
        layered(projected(extreme_projection, by_gradient="absolute")),
    ),
    "ablationcam": CamMethod(
        "Ablation-CAM",
        "Desai and Ramaswamy 2020, WACV",
        "logit × feature",
        layered(ablated, "features"),
        cost=CHANNELS,
    ),
    "scorecam": CamMethod(
        "Score-CAM",
        "Wang et al. 2020, arXiv 1910.01279",
        "feature",
        layered(scored, "features"),
        cost=CHANNELS,
        normalized=_MASKS,
    ),
    "eigencam": CamMethod(
        "Eigen-CAM",
        "Muhammad and Yeasin 2020, arXiv 2008.00299",
        "feature",
        layered(projected(eigen_projection), "features"),
        by_class=False,
        cost=FORWARD,
    ),
    "kpcacam": CamMethod(
        "KPCA-CAM",
        "pytorch-grad-cam",
        "kernel",
        layered(projected(kernel_projection), "features"),
        by_class=False,
        cost=FORWARD,
        normalized="features pass a sigmoid kernel",
    ),
    "fem": CamMethod(
        "FEM",
        "Fuad et al. 2020, IPTA",
        "feature",
        layered(library("FEM"), "features"),
        by_class=False,
        cost=FORWARD,
        normalized="a channel's weight is the share of its cells beyond two standard deviations",
    ),
    "randomcam": CamMethod("RandomCAM, a control", "pytorch-grad-cam", "none", layered(random), by_class=False),
}
_MONAI = "MONAI"
_TABLE |= {
    "monai-gradcam": CamMethod(
        "Grad-CAM of MONAI",
        _MONAI,
        "logit",
        monai_maps.visualizer(monai_maps.gradcam),
        cost="one forward and one backward pass",
    ),
    "monai-gradcam++": CamMethod(
        "Grad-CAM++ of MONAI",
        _MONAI,
        "logit × odds",
        monai_maps.visualizer(monai_maps.gradcam_plus_plus),
        cost="one forward and one backward pass",
    ),
    "monai-cam": CamMethod(
        "CAM of MONAI",
        "Zhou et al. 2016, arXiv 1512.04150",
        "logit",
        monai_maps.visualizer(monai_maps.cam),
        cost=FORWARD,
    ),
    "monai-occlusion": CamMethod(
        "occlusion sensitivity of MONAI",
        _MONAI,
        "logit",
        monai_maps.visualizer(monai_maps.occlusion),
        cost="about a thousand forward passes",
    ),
}
for _name, _method in _TABLE.items():
    CAM_METHODS.register(_name)(_method)


def cam_method(name: str, *, where: object = None) -> CamMethod:
    """A method by its name, in any of the ways in which the library writes it (``KPCA_CAM``, ``GradCAMPlusPlus``).

    Args:
        name: The name.
        where: The place to name in the error.

    Raises:
        ConfigError: The name is not known.
    """
    if name.lower() in CAM_METHODS:
        return CAM_METHODS.get(name.lower())
    plain = name.strip().lower().replace("_", "").replace("-", "").replace("plusplus", "++")
    return CAM_METHODS.get(plain if plain in CAM_METHODS else name, where=where)
