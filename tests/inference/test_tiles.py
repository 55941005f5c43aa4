"""Maps from tiles: those of the whole image, without seams, in bounded memory."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from medmtl.inference.tiles import AT_ONCE, Evidence, tiled
from medmtl.models import ClassMapHead, SharedEncoderNetwork, build_encoder


def small_field_network(pooling: str = "lse") -> SharedEncoderNetwork:
    """The second level of lite0: stride 4, a receptive field of 23 pixels at most."""
    torch.manual_seed(0)
    encoder = build_encoder("efficientnet-lite0", "imagenet")
    head = ClassMapHead(encoder.channels, 2, 4, pooling)
    torch.nn.init.normal_(head.output.weight, std=0.3)
    if head.attention is not None:
        torch.nn.init.normal_(head.attention.output.weight)
    return SharedEncoderNetwork(encoder, {"les": head}).eval()


def look_with(network: SharedEncoderNetwork):
    def look(image: torch.Tensor) -> Evidence:
        output = network(image, ["les"])["les"]
        return Evidence(output.maps, output.attention)

    return look


def picture(*size: int, batch: int = 1) -> torch.Tensor:
    return torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("blend", ["gaussian", "constant"])
@pytest.mark.parametrize(
    ("size", "tile", "overlap"), [((256, 256), 128, 0.5), ((203, 310), 128, 0.5), ((320, 96), 192, 0.4)]
)
def test_tiles_give_the_map_of_the_whole_image(size, tile, overlap, blend):
    look, image = look_with(small_field_network("attention")), picture(*size, batch=2)
    with torch.no_grad():
        whole, pieces = look(image), tiled(look, image, tile, overlap, blend)
    assert whole.maps.abs().max() > 1
    for one, other in zip(whole, pieces, strict=True):
        assert one.shape == other.shape
        # Beyond the image's border the network pads its features, and tiles see black.
        torch.testing.assert_close(other[..., 4:-4, 4:-4], one[..., 4:-4, 4:-4], atol=1e-4, rtol=0)


def test_without_overlap_the_edges_of_tiles_show_and_so_the_comparison_is_no_accident():
    look, image = look_with(small_field_network()), picture(256, 256)
    with torch.no_grad():
        difference = (tiled(look, image, 128, 0.0).maps - look(image).maps).abs()[..., 4:-4, 4:-4]
    assert difference.max() > 0.05
    assert difference[..., 12:20, 12:20].max() < 1e-4  # but not in the middle of a tile


def test_what_a_network_sees_at_the_edge_of_a_tile_is_dropped():
    def look(image: torch.Tensor) -> Evidence:
        maps = F.avg_pool2d(image[:, :1], 8)
        maps[..., :2, :] += 100
        maps[..., -2:, :] += 100
        maps[..., :2] += 100
        maps[..., -2:] += 100
        return Evidence(maps)

    image = picture(504, 264)
    merged = tiled(look, image, 128, 0.5).maps
    torch.testing.assert_close(merged, F.avg_pool2d(image[:, :1], 8), atol=1e-5, rtol=0)


def test_tiles_that_disagree_as_a_whole_are_blended_without_a_step():
    calls = []

    def look(image: torch.Tensor) -> Evidence:
        levels = torch.arange(len(image)) + len(calls) * AT_ONCE
        calls.append(len(image))
        return Evidence((levels % 2).float()[:, None, None, None].expand(-1, 1, 32, 32))

    smooth = tiled(look, torch.zeros(1, 3, 128, 1024), 256, 0.5).maps
    calls.clear()
    hard = tiled(look, torch.zeros(1, 3, 128, 1024), 256, 0.0).maps
    steps = [maps.diff(dim=-1).abs().max() for maps in (smooth, hard)]
    assert steps[1] == 1
    assert steps[0] < 0.6
    assert smooth.min() >= 0
    assert smooth.max() <= 1


def test_memory_is_bounded_by_the_tiles():
    seen = []

    def look(image: torch.Tensor) -> Evidence:
        seen.append(tuple(image.shape))
        return Evidence(F.avg_pool2d(image[:, :1], 32))

    merged = tiled(look, torch.zeros(2, 3, 900, 1300), 256, 0.25)
    assert merged.maps.shape == (2, 1, 29, 41)
    assert len(seen) > 5
    assert all(count <= AT_ONCE and (height, width) == (256, 256) for count, _, height, width in seen)


@example(height=1, width=97, tile=96, overlap=0.5, blend="gaussian", stride=32)  # the last cell lay in a rim
@settings(max_examples=120, deadline=None)
@given(
    height=st.integers(1, 400),
    width=st.integers(1, 400),
    tile=st.sampled_from([64, 96, 160]),
    overlap=st.floats(0, 0.75),
    blend=st.sampled_from(["gaussian", "constant"]),
    stride=st.sampled_from([4, 8, 16, 32]),
)
def test_every_cell_of_every_size_is_covered_and_in_place(height, width, tile, overlap, blend, stride):
    def look(image: torch.Tensor) -> Evidence:
        return Evidence(F.max_pool2d(image[:, :1], stride, ceil_mode=True))  # a cell sees its own pixels and no other

    image = picture(height, width)
    merged = tiled(look, image, tile, overlap, blend).maps
    torch.testing.assert_close(merged, look(image).maps, atol=1e-5, rtol=0)


def test_an_image_no_larger_than_a_tile_is_looked_at_in_one_piece():
    look, image = look_with(small_field_network()), picture(96, 128)
    with torch.no_grad():
        assert torch.equal(tiled(look, image, 128).maps, look(image).maps)
