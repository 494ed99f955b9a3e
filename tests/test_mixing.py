"""hssl.worlds.latents: well-conditioned, inverted exactly, not linear, and nothing changed in place."""

import pytest
import torch

from hssl.worlds.latents import draw_layers, mix, unmix


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_layers_are_well_conditioned_with_unit_columns():
    layers = draw_layers(10, seeded())
    assert layers.shape == (3, 10, 10)
    torch.testing.assert_close(layers.norm(dim=1), torch.ones(3, 10))
    assert (torch.linalg.cond(layers) < 6).all()  # about 5.1 bounds the 25 lowest of 25,000


@pytest.mark.parametrize("n", [1, 2, 7])
def test_unmixing_undoes_mixing(n):
    layers, z = draw_layers(n, seeded()), torch.randn(50, n, generator=seeded(1))
    kept = z.clone()
    torch.testing.assert_close(unmix(mix(z, layers), layers), z, atol=1e-4, rtol=1e-4)
    assert torch.equal(z, kept)


def test_one_identity_layer_changes_nothing_and_two_bend():
    z = torch.tensor([[1.0, -1.0]])
    assert torch.equal(mix(z, torch.eye(2)[None]), z)
    assert mix(z, torch.eye(2).repeat(2, 1, 1)).tolist() == [[1.0, pytest.approx(-0.2)]]
