"""A dilated encoder is the plain one with more cells: those that both have are equal, and see the same pixels."""

from __future__ import annotations

import pytest
import torch

from medmtl.config import parse_config
from medmtl.errors import ConfigError
from medmtl.inference.network import build_network, build_tasks
from medmtl.models import ClassMapHead, SegmentationHead, build_encoder
from medmtl.models.heads import TopDownFusion

NAME = "efficientnet-lite0"


def pair(output_stride: int, weights: str = "imagenet"):
    torch.manual_seed(0)
    plain = build_encoder(NAME, weights).eval()
    dilated = build_encoder(NAME, weights, output_stride=output_stride).eval()
    dilated.load_state_dict(plain.state_dict())  # strictly: not a weight more or less
    return plain, dilated


def image(*size: int, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("size", [(64, 96), (65, 127), (33, 47)])
def test_the_cells_that_both_have_are_equal_and_the_others_lie_between(output_stride, size):
    plain, dilated = pair(output_stride)
    with torch.no_grad():
        coarse, fine = plain(image(*size)), dilated(image(*size))
    assert dilated.strides == tuple(min(stride, output_stride) for stride in (2, 4, 8, 16, 32))
    for level, (one, other) in enumerate(zip(coarse, fine, strict=True)):
        stride = dilated.strides[level]
        assert other.shape == (1, dilated.channels[level], *(-(-side // stride) for side in size))
        step = plain.strides[level] // stride
        torch.testing.assert_close(other[..., ::step, ::step], one, atol=2e-4, rtol=1e-4)
    assert fine[4].shape[-1] > coarse[4].shape[-1]
    between = fine[4][..., 1:2, 1:2]
    assert (between - fine[4][..., :1, :1]).abs().max() > 1e-3


def columns_seen(encoder, level: int, column: int, width: int) -> list[int]:
    """Columns of pixels on which a cell in the middle row depends, by the gradient in double precision."""
    picture = image(32, width).double().requires_grad_()
    cells = encoder.double()(picture, level)[-1]
    cells[..., cells.shape[-2] // 2, column].pow(2).sum().backward()
    return (picture.grad[0].abs() > 0).any(0).any(0).nonzero()[:, 0].tolist()


@pytest.mark.parametrize(("level", "pixels"), [(1, 7), (2, 19), (3, 67), (4, 339), (5, 851)])
def test_receptive_fields_are_those_that_the_documents_name(level, pixels):
    """And those of a dilated network are no other, at the cells that both have."""
    plain, dilated = pair(8, "none")
    width = 32 * (pixels // 32 + 6)
    middle = width // 2 // plain.strides[level - 1]
    seen = columns_seen(plain, level, middle, width)
    assert seen == list(range(seen[0], seen[0] + pixels))
    step = plain.strides[level - 1] // dilated.strides[level - 1]
    assert columns_seen(dilated, level, middle * step, width) == seen
    if step > 1:  # the cell between sees as many pixels, one cell to the right
        assert columns_seen(dilated, level, middle * step + 1, width) == [pixel + 8 for pixel in seen]


@pytest.mark.parametrize("output_stride", [8, 16])
def test_a_cell_moves_with_the_picture(output_stride):
    """One cell of the picture's shift is one cell of the map's, away from the border: gaps are where they belong."""
    _, dilated = pair(output_stride)
    picture = torch.zeros(1, 3, 32, 512)
    picture[..., 8:24, 248:264] = 1.0
    with torch.no_grad():
        before, after = dilated(picture, 4)[3], dilated(picture.roll(-output_stride, 3), 4)[3]
    middle = slice(208 // output_stride, 304 // output_stride)
    torch.testing.assert_close(after[..., middle], before.roll(-1, 3)[..., middle], atol=1e-3, rtol=0)
    assert before[..., middle].std() > 0.1


@pytest.mark.parametrize("fuse", [0, 8])
@pytest.mark.parametrize("level", [None, 3, 4, 5])
def test_class_maps_of_stride_8_from_any_level(fuse, level):
    _, dilated = pair(8, "none")
    head = ClassMapHead(dilated.channels, 2, 8, fuse=fuse, level=level, strides=dilated.strides).eval()
    chosen = level or (3 if fuse else 5)
    assert head.levels == (5 if fuse else chosen)
    features = [f.detach().requires_grad_() for f in dilated(image(72, 60), head.levels)]
    output = head(features, (72, 60))
    assert output.maps.shape == (1, 2, 9, 8)
    output.logits.sum().backward()
    used = [index + 1 for index, f in enumerate(features) if f.grad is not None and bool(f.grad.any())]
    assert used == (list(range(chosen, 6)) if fuse else [chosen])


def test_fusion_adds_levels_of_one_stride_cell_by_cell():
    fusion = TopDownFusion((4, 4, 4, 4, 4), 3, 4, (2, 4, 8, 8, 8)).eval()
    for layer in fusion.lateral:
        torch.nn.init.dirac_(layer.weight)
    features = [torch.rand(1, 4, 5, 7, generator=torch.Generator().manual_seed(n)) for n in range(3)]
    torch.testing.assert_close(fusion([*features[:2], *features]), sum(features), atol=1e-4, rtol=1e-4)


def test_a_segmentation_sees_no_difference():
    """It reads the cells of the plain pyramid, so tasks that want detail and tasks that do not share one encoder."""
    plain, dilated = pair(8)
    torch.manual_seed(1)
    heads = [SegmentationHead(e.channels, 2, strides=e.strides).eval() for e in (plain, dilated)]
    heads[1].load_state_dict(heads[0].state_dict())
    with torch.no_grad():
        one, other = (
            head(encoder(image(70, 90)), (70, 90)) for head, encoder in zip(heads, (plain, dilated), strict=True)
        )
    torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


def run_config(**encoder: object):
    tasks = {
        "les": {"type": "localization", "classes": ["he"], "stride": 8},
        "grade": {"type": "classification", "classes": ["g"]},
        "seg": {"type": "segmentation", "classes": {"disc": {}}},
    }
    return parse_config({"tasks": tasks, "model": {"encoder": {"weights": "none", **encoder}}})


@pytest.mark.parametrize("architecture", ["shared", "cooperative"])
def test_a_network_of_all_tasks_from_the_configuration(architecture):
    config = run_config(output_stride=8)
    config = config.model_copy(update={"model": config.model.model_copy(update={"architecture": architecture})})
    network = build_network(config, build_tasks(config)).eval()
    with torch.no_grad():
        outputs = network(image(64, 96), valid=torch.ones(1, 1, 64, 96))
    assert outputs["les"].maps.shape == (1, 1, 8, 12)
    assert outputs["grade"].shape == (1, 1)
    assert outputs["seg"].shape == (1, 1, 64, 96)
    assert network.levels_of("les") == 5


@pytest.mark.parametrize(
    ("encoder", "task", "said"),
    [
        ({"output_stride": 4}, {}, "model.encoder.output_stride"),
        ({"output_stride": 8, "name": "efficientnet-b0"}, {}, "one output stride only; found 8 for MonaiEfficientNet"),
        ({"output_stride": 8}, {"stride": 16}, "found 16; the encoder has levels of stride 4, 8"),
        ({}, {"stride": 8, "level": 4}, "found level 4; level 3, or leave it out"),
        ({}, {"level": 1}, "tasks.les.level"),
    ],
)
def test_strides_that_do_not_exist_are_refused(encoder, task, said):
    data = run_config().model_dump(mode="json")
    data["tasks"]["les"] |= task
    data["model"]["encoder"] |= encoder
    with pytest.raises(ConfigError) as caught:
        built(data)
    assert said in str(caught.value)


def built(data: dict):
    config = parse_config(data)
    return build_network(config, build_tasks(config))
