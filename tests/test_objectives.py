"""hssl.objectives: values known in closed form, invariances, gradients, and the same formulas written otherwise."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from hssl.checks import ArgumentError
from hssl.objectives import barlow_twins, epps_pulley, lejepa, sigreg, vicreg

EVERY = (vicreg, barlow_twins, lejepa)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def embeddings(n=40, dim=4):
    a, noise = torch.randn(2, n, dim, generator=seeded(), dtype=torch.float64)
    return a, 0.8 * a + 0.6 * noise


def test_vicreg_against_numpy_covariances():
    a, b = embeddings()
    wanted = 25 * np.mean(np.linalg.norm(a - b, axis=1) ** 2)
    for z in (a.numpy(), b.numpy()):
        wanted += 25 * np.mean([max(0, 1 - math.sqrt(np.var(column, ddof=1) + 1e-4)) for column in z.T])
        cov = np.cov(z, rowvar=False)
        wanted += (np.linalg.norm(cov) ** 2 - (np.diag(cov) ** 2).sum()) / 4
    assert vicreg(a, b).item() == pytest.approx(wanted)


def test_the_three_terms_of_vicreg_alone():
    same, spread = torch.ones(5, 2), torch.tensor([[2.0, 2.0], [2.0, -2.0], [-2.0, 2.0], [-2.0, -2.0]])
    assert vicreg(same, same).item() == pytest.approx(2 * 25 * 0.99)  # √ε = .01
    assert vicreg(spread, spread) == 0  # any standard deviation above 1 will do
    moved = partial(vicreg, spread, spread + torch.tensor([3.0, 4.0]))
    assert moved(invariance=1.0) == 25 and moved(invariance=0.0) == 0  # the mean does not matter
    twice = spread[:, :1].expand(-1, 2)  # two outputs alike: covariance 16/3
    assert vicreg(twice, twice).item() == pytest.approx(2 * (16 / 3) ** 2, rel=1e-5)


def test_barlow_twins_against_numpy_correlations():
    a, b = embeddings()
    c = np.corrcoef(a, b, rowvar=False)[:4, 4:]
    off = ~np.eye(4, dtype=bool)
    wanted = ((1 - np.diag(c)) ** 2).sum() + 0.3 * (c[off] ** 2).sum()
    assert barlow_twins(a, b, off_diagonal=0.3).item() == pytest.approx(wanted, rel=1e-4)


def test_barlow_twins_does_not_see_scale_or_mean():
    a, b = embeddings()
    moved = barlow_twins(a * torch.tensor([1.0, 5.0, 0.1, 3.0]) + 7, b - 2)
    torch.testing.assert_close(moved, barlow_twins(a, b), rtol=1e-4, atol=0)


def test_epps_pulley_against_an_integral():
    x = torch.randn(60, 1, generator=seeded(1), dtype=torch.float64) * 1.3 + 0.2

    def integrand(t):
        distance = abs(np.exp(1j * t * x.numpy()).mean() - math.exp(-(t**2) / 2)) ** 2
        return distance * math.exp(-(t**2) / 2)

    assert epps_pulley(x).item() == pytest.approx(60 * quad(integrand, -8, 8)[0], rel=0.02)  # 17 points


def test_epps_pulley_in_closed_form():
    """Of a point at 0: ∫ (1 − e^(−t²/2))² e^(−t²/2) = √2π (1 − 2/√2 + 1/√3). Of normal samples: √2π (1 − 1/√3)."""
    root = math.sqrt(2 * math.pi)
    at_zero = root * (1 - math.sqrt(2) + 1 / math.sqrt(3))
    assert epps_pulley(torch.zeros(7, 2)).tolist() == pytest.approx([7 * at_zero] * 2, rel=1e-3)
    for n in (20, 500):
        drawn = torch.randn(n, 2000, generator=seeded())
        assert epps_pulley(drawn).mean().item() == pytest.approx(root * (1 - 1 / math.sqrt(3)), rel=0.05)


def test_sigreg_wants_more_than_no_correlation():
    """x and x² have no correlation, but are no Gaussian in the plane."""
    x = torch.randn(1000, 2, generator=seeded())
    curve = torch.stack([x[:, 0], (x[:, 0] ** 2 - 1) / math.sqrt(2)], dim=1)
    assert abs(np.corrcoef(curve.T)[0, 1]) < 0.15
    normal, bent = (sigreg(z, directions=200, generator=seeded(1)) for z in (x, curve))
    assert bent > 5 * normal
    assert vicreg(curve, curve) < 1


def test_sigreg_does_not_prefer_a_direction():
    x = torch.randn(300, 3, generator=seeded(), dtype=torch.float64) * torch.tensor([1.0, 2.0, 0.5])
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=seeded(2), dtype=torch.float64))[0]
    one, other = (sigreg(z, directions=4000, generator=seeded(3)).item() for z in (x, x @ rotation))
    assert one == pytest.approx(other, rel=0.05)
    assert sigreg(x, generator=seeded(3)) == sigreg(x, generator=seeded(3)) != sigreg(x, generator=seeded(4))


def test_lejepa_is_a_weighted_mean():
    a, b = embeddings()
    pull, spread = (lejepa(a, b, weight=w, generator=seeded()).item() for w in (0, 1))
    middle = (a + b) / 2
    wanted = (((a - middle) ** 2).mean() + ((b - middle) ** 2).mean()) / 2
    assert pull == pytest.approx(wanted.item())
    both = lejepa(a, b, weight=0.2, generator=seeded()).item()
    assert both == pytest.approx(0.8 * pull + 0.2 * spread)


def of(objective):
    """The objective with the same directions at every call."""
    return lambda a, b: objective(a, b, **({"generator": seeded(), "directions": 3} if objective is lejepa else {}))


@pytest.mark.parametrize("objective", [of(each) for each in EVERY], ids=lambda _: "")
def test_invariances_and_gradients(objective):
    a, b = embeddings(12, 3)
    order = torch.randperm(12, generator=seeded(1))
    torch.testing.assert_close(objective(a[order], b[order]), objective(a, b))
    torch.testing.assert_close(objective(b, a), objective(a, b), rtol=0.3, atol=0)  # directions differ
    assert torch.autograd.gradcheck(objective, (a.requires_grad_(), b.requires_grad_()))


@pytest.mark.parametrize("objective", [vicreg, barlow_twins])
def test_the_order_of_outputs_does_not_matter(objective):
    a, b = embeddings()
    torch.testing.assert_close(objective(a.flip(1), b.flip(1)), objective(a, b))


@pytest.mark.parametrize("objective", EVERY)
def test_half_precision_is_computed_in_single(objective):
    a, b = embeddings()
    settings = {"generator": seeded()} if objective is lejepa else {}
    value = objective(a.half(), b.half(), **settings)
    assert value.dtype == torch.float32 and value.isfinite()


@pytest.mark.parametrize("objective", EVERY)
def test_embeddings_that_are_all_alike_give_finite_gradients(objective):
    z = torch.ones(6, 3, requires_grad=True)
    objective(z, z.detach()).backward()
    assert z.grad.isfinite().all()


GOOD = torch.zeros(4, 3)


@pytest.mark.parametrize("objective", EVERY)
@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (GOOD, torch.zeros(5, 3), "positives: wanted Float"),
        (GOOD[:1], GOOD[:1], "anchors: wanted at least 2 rows, got 1"),
        (GOOD[0], GOOD[0], "anchors: wanted Float"),
        (GOOD.long(), GOOD, "anchors: wanted Float"),
        (GOOD, GOOD.double(), "positives: wanted torch.float32, as anchors, got torch.float64"),
        (GOOD, GOOD / 0, "positives: there are values that are not finite"),
    ],
)
def test_bad_input_is_named(objective, a, b, message):
    with pytest.raises(ValueError, match=message):
        objective(a, b)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: vicreg(GOOD, GOOD, variance=-1.0), "variance: wanted a finite number ≥ 0"),
        (lambda: barlow_twins(GOOD, GOOD, off_diagonal=-1.0), "off_diagonal: wanted a finite number ≥ 0"),
        (lambda: lejepa(GOOD, GOOD, weight=1.5), "weight: wanted a number from 0 to 1"),
        (lambda: sigreg(GOOD, directions=0), "directions: wanted a whole number ≥ 1"),
        (lambda: epps_pulley(GOOD[:0]), "samples: wanted at least 1 rows"),
    ],
)
def test_bad_settings_are_named(call, message):
    with pytest.raises(ArgumentError if "rows" not in message else ValueError, match=message):
        call()
