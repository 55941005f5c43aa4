"""Remove and predict, and the network that forgot: signs, controls, and generators that stay as they were."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from medmtl.explanation.cam.faithfulness import forgotten, road


class Bright(nn.Module):
    """The logit is the sum of what is brighter than one half."""

    def forward(self, x):
        return torch.relu(x - 0.5).sum((1, 2, 3)).reshape(-1, 1)


@pytest.fixture
def image():
    picture = torch.full((3, 24, 24), 0.2)
    picture[:, 5:9, 12:16] = 1.0
    return picture


def test_a_true_map_is_above_a_random_one_and_an_upside_down_one_is_below(image):
    field = np.ones((24, 24), bool)
    true = image[0].numpy()
    drawn = [road(Bright(), image, np.random.default_rng(n).random((24, 24)), field, channel=0) for n in range(5)]
    value = road(Bright(), image, true, field, channel=0)
    assert value > max(map(abs, drawn))
    assert road(Bright(), image, -true, field, channel=0) == pytest.approx(-value, rel=0.05)


def test_removing_the_whole_lesion_is_half_of_its_logit(image):
    """Closed form: 16 pixels of 576; without them the surrounding fills the place, and nothing is left."""
    value = road(Bright(), image, image[0].numpy(), np.ones((24, 24), bool), channel=0, shares=[16 / 576])
    assert value == pytest.approx(0.5 * 3 * 16 / 2, rel=0.02)


def test_a_blank_map_is_a_random_one_and_does_not_remove_the_image(image):
    field = np.ones((24, 24), bool)
    blank = [road(Bright(), image, np.zeros((24, 24)), field, channel=0, seed=seed) for seed in range(6)]
    true = road(Bright(), image, image[0].numpy(), field, channel=0)
    assert abs(np.mean(blank)) < 0.2 * true
    assert len(set(blank)) == 6


def test_the_black_around_the_field_is_never_what_is_removed(image):
    field = np.zeros((24, 24), bool)
    field[4:20, 4:20] = True
    inside = road(Bright(), image, image[0].numpy(), field, channel=0)
    outside = image.clone()
    outside[:, 0] = 9.0  # would move the logit if it were touched
    assert road(Bright(), outside, image[0].numpy(), field, channel=0) == pytest.approx(inside, abs=1e-3)


def test_it_is_reproducible_and_the_generator_stays(image):
    layer = nn.Conv2d(3, 2, 1)
    state = torch.get_rng_state()
    values = [road(Bright(), image, image[0].numpy(), np.ones((24, 24), bool), channel=0) for _ in range(2)]
    fresh = [forgotten(layer).weight for _ in range(2)]
    assert values[0] == values[1]
    assert torch.equal(fresh[0], fresh[1])
    assert torch.equal(torch.get_rng_state(), state)


def test_a_forgotten_network_has_new_weights_everywhere_and_the_old_one_stays():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))
    nn.init.constant_(net[1].weight, 5.0)
    net[1].running_mean += 3
    before = {name: value.clone() for name, value in net.state_dict().items()}
    fresh = forgotten(net)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    changed = fresh.state_dict()
    for name in ("0.weight", "1.weight", "1.running_mean", "4.weight", "4.bias"):
        assert not torch.equal(changed[name], before[name]), name
