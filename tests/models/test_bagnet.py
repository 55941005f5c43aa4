"""BagNet: a cell sees exactly the square that the name says, and the features are those of the published structure."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from medmtl.config import parse_config
from medmtl.errors import CheckpointError, ConfigError
from medmtl.inference.network import build_network, build_tasks
from medmtl.models import BagNetEncoder, build_encoder

SMALL = ((1, 1, 1, 1), 8)
LEVELS = {9: (5, 9, 9, 9), 17: (5, 9, 17, 17), 33: (5, 9, 17, 33)}


def image(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(seed))


def awake(pixels: int, blocks=SMALL[0], width: int = SMALL[1]) -> BagNetEncoder:
    """With running statistics that are not those of nothing, as after training."""
    torch.manual_seed(pixels)
    encoder = BagNetEncoder(pixels, blocks, width)
    for layer in encoder.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(layer.running_mean, std=0.1)
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
            torch.nn.init.normal_(layer.bias, std=0.2)
    return encoder.eval()


@pytest.mark.parametrize("pixels", [9, 17, 33])
@pytest.mark.parametrize("blocks", [(1, 1, 1, 1), (2, 3, 2, 2)], ids=["shallow", "deep"])
@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_a_cell_sees_exactly_its_square_and_the_cell_is_in_its_middle(pixels, blocks, level):
    encoder = awake(pixels, blocks).double()
    picture = image(96, 104).double().requires_grad_()
    cells = encoder(picture, level)[-1]
    stride = encoder.strides[level - 1]
    row, column = 48 // stride, 56 // stride
    cells[..., row, column].pow(2).sum().backward()
    seen = (picture.grad[0] != 0).any(0)
    rows, columns = (seen.any(axis).nonzero()[:, 0] for axis in (1, 0))
    side = LEVELS[pixels][level - 1]
    assert (len(rows), len(columns), int(seen.sum())) == (side, side, side * side)
    for place, found in ((row, rows), (column, columns)):
        assert found.tolist() == list(range(int(found[0]), int(found[0]) + side))
        assert abs(found.double().mean().item() - (place * stride + (stride - 1) / 2)) <= 2


@pytest.mark.parametrize("pixels", [9, 17, 33])
@pytest.mark.parametrize("size", [(64, 96), (61, 77), (9, 1)])
def test_shapes_and_levels(pixels, size):
    encoder = awake(pixels)
    with torch.no_grad():
        features = encoder(image(*size))
    assert encoder.channels == (32, 64, 128, 256)
    expected = [(1, c, *(-(-side // s) for side in size)) for c, s in zip(encoder.channels, (2, 4, 8, 8), strict=True)]
    assert [tuple(f.shape) for f in features] == expected
    outputs = []
    for modules in encoder.stages():
        modules[-1].register_forward_hook(lambda _m, _i, output: outputs.append(output))
    with torch.no_grad():
        again = encoder(image(*size))
    assert all(a is b for a, b in zip(outputs, again, strict=True))


def published(encoder: BagNetEncoder, x: torch.Tensor) -> torch.Tensor:
    """The authors' procedure, said anew: nothing is padded, and what runs beside a kernel loses its right and lower end."""
    network = encoder.network
    x = F.relu(network.bn1(F.conv2d(network.conv1(x), network.conv2.weight)))
    for level in range(1, 5):
        for block in getattr(network, f"layer{level}"):
            inner = F.relu(block.bn2(block.conv2(F.relu(block.bn1(block.conv1(x))))))
            inner = block.bn3(block.conv3(inner))
            beside = x if block.downsample is None else block.downsample(x)
            x = F.relu(inner + beside[..., : inner.shape[-2], : inner.shape[-1]])
    return x


@pytest.mark.parametrize(("pixels", "first"), [(33, 13), (17, 5), (9, 1)])
def test_away_from_the_border_features_are_those_of_the_published_structure(pixels, first):
    """The authors' cell k begins at pixel 8 k, ours ``first`` pixels earlier: their picture is cut by as much."""
    encoder, picture = awake(pixels, (2, 2, 2, 2)), image(112, 120)
    begin = -first % 8
    with torch.no_grad():
        ours, theirs = encoder(picture)[-1], published(encoder, picture[..., begin:, begin:])
    skipped = (begin + first) // 8
    height, width = theirs.shape[-2] - 1, theirs.shape[-1] - 1
    mine = ours[..., skipped : skipped + height, skipped : skipped + width]
    assert mine.std() > 0.1
    torch.testing.assert_close(mine, theirs[..., :height, :width], atol=1e-4, rtol=1e-4)


def test_names_of_parameters_and_their_number_are_those_published():
    encoder = BagNetEncoder(33)
    state = encoder.network.state_dict()
    assert {"conv2.weight", "bn1.running_var", "layer1.0.downsample.1.weight", "layer3.5.conv3.weight"} <= set(state)
    assert encoder.channels == (256, 512, 1024, 2048)
    assert state["layer4.0.conv2.weight"].shape == (512, 512, 3, 3)
    assert state["layer4.1.conv2.weight"].shape == (512, 512, 1, 1)


def test_weights_from_a_published_file_with_its_classifier(tmp_path):
    source = build_encoder("bagnet17-small", "none")
    state = {**source.network.state_dict(), "fc.weight": torch.zeros(10, 4), "fc.bias": torch.zeros(10)}
    torch.save({key: value for key, value in state.items() if "num_batches" not in key}, tmp_path / "b.pth.tar")
    loaded = build_encoder("bagnet17-small", str(tmp_path / "b.pth.tar"))
    assert all(
        torch.equal(a, b) for a, b in zip(source.state_dict().values(), loaded.state_dict().values(), strict=True)
    )
    with pytest.raises(CheckpointError, match="do not fit this encoder"):
        build_encoder("bagnet33-small", str(tmp_path / "b.pth.tar"))


def test_that_there_are_no_weights_is_said():
    with pytest.raises(CheckpointError, match=r"no weights of bagnet33 come with medmtl.*'none'"):
        build_encoder("bagnet33")
    with pytest.raises(ConfigError, match="did you mean 'bagnet33"):
        build_encoder("bagnet34")


@pytest.mark.parametrize("architecture", ["shared", "cooperative"])
def test_all_tasks_on_a_bagnet(architecture):
    tasks = {
        "les": {"type": "localization", "classes": ["he"], "stride": 8, "pooling": "topk"},
        "fine": {"type": "localization", "classes": ["he"], "stride": 4, "fuse": 8},
        "grade": {"type": "classification", "classes": ["g"]},
        "seg": {"type": "segmentation", "classes": {"disc": {}}, "decoder_channels": [8, 8, 8, 8, 8]},
    }
    encoder = {"name": "bagnet33-small", "weights": "none"}
    config = parse_config({"tasks": tasks, "model": {"encoder": encoder, "architecture": architecture}})
    network = build_network(config, build_tasks(config)).eval()
    with torch.no_grad():
        outputs = network(image(44, 52).sigmoid(), valid=torch.ones(1, 1, 44, 52))
    assert outputs["les"].maps.shape == (1, 1, 6, 7)
    assert outputs["fine"].maps.shape == (1, 1, 11, 13)
    assert outputs["grade"].shape == (1, 1)
    assert outputs["seg"].shape == (1, 1, 44, 52)
