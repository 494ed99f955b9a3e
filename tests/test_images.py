"""hssl.worlds.pictures.images: pairs of the reader's own images, what views may do, and what is empty."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform
from scipy.stats import kstest

from hssl.patches import grid
from hssl.worlds.pictures import Images, affine, inked


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


NUMBERED = torch.arange(20.0).view(20, 1, 1, 1).expand(20, 1, 4, 4)  # each image shows its own number


def world(views=lambda images, generator: images):
    return Images(NUMBERED, views, {"number": NUMBERED[:, 0, 0, 0].long()})


def test_members_are_views_of_one_image_and_truth_is_its_own():
    noisy = world(lambda images, generator: images + 0.1 * torch.rand(images.shape, generator=generator))
    pairs = noisy.sample(20, seeded())
    assert torch.equal(pairs.first.floor(), pairs.second.floor())
    assert torch.equal(pairs.first[:, 0, 0, 0].long(), pairs.truth["number"])
    assert (pairs.first != pairs.second).all()
    again = noisy.sample(20, seeded())
    assert torch.equal(pairs.second, again.second)


def test_images_are_drawn_without_replacement_as_long_as_there_are_enough():
    assert world().sample(20, seeded()).truth["number"].unique().tolist() == list(range(20))
    counts = world().sample(20_000, seeded()).truth["number"].bincount()
    assert counts.min() > 1000 - 5 * math.sqrt(950)
    assert counts.max() < 1000 + 5 * math.sqrt(950)


def test_a_view_that_writes_in_place_changes_no_image():
    images = NUMBERED.clone()
    pairs = Images(images, lambda images, generator: images.add_(1)).sample(20, seeded())
    assert torch.equal(images, NUMBERED)
    assert torch.equal(pairs.first, pairs.second)
    assert pairs.first.max() == 20


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Images(NUMBERED[0], affine), r"images: wanted Float\[Tensor, 'n c h w'\], got f32\[1,4,4\]"),
        (lambda: Images(NUMBERED.int(), affine), "images: wanted Float"),
        (lambda: Images(NUMBERED, "affine"), "views: wanted"),
        (lambda: Images(NUMBERED, affine, {"number": torch.arange(3)}), "number: wanted 20 rows"),
        (lambda: world(lambda images, generator: images[:, :, 1:]).sample(5, seeded()), r"views: .*\(5, 1, 3, 4\)"),
        (lambda: world(lambda images, generator: images[1:]).sample(5, seeded()), r"views: .*\(4, 1, 4, 4\)"),
        (lambda: world(lambda images, generator: None).sample(5, seeded()), "views: .* got None"),
        (lambda: world().sample(0, seeded()), "n: wanted a whole number ≥ 1, got 0"),
        (lambda: world().sample(5, 0), "generator: wanted Generator, got 0"),
        (lambda: affine(NUMBERED[..., :3], seeded()), "images: wanted"),
        (lambda: affine(NUMBERED, seeded(), shift=-1.0), "shift: wanted a finite number ≥ 0"),
        (lambda: affine(NUMBERED, seeded(), scale=1.5), "scale: wanted a number from 0 to 1"),
        (lambda: inked(NUMBERED, 5), "size"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# How affine moves what is in an image, by the moments of a blob.

AT = (torch.arange(64) + 0.5 - 32).double()
STILL = {"rotation": 0.0, "scale": 0.0, "shear": 0.0, "shift": 0.0}


def moments(spread, n=400, **settings):
    """Mean, shape (n, 2), and covariance, shape (n, 2, 2), x before y, of a normal blob after the change."""
    y, x = torch.meshgrid(AT, AT, indexing="ij")
    blob = torch.exp(-(x**2 / spread[0] ** 2 + y**2 / spread[1] ** 2) / 2)
    seen = affine(blob.expand(n, 1, 64, 64), seeded(), **(STILL | settings))[:, 0]
    weights = seen.flatten(1) / seen.sum((1, 2))[:, None]
    points = torch.stack([x.flatten(), y.flatten()], 1)
    mean = weights @ points
    apart = points - mean[:, None]
    return mean, torch.einsum("np,npi,npj->nij", weights, apart, apart)


def is_uniform(values, most):
    return kstest((values.numpy() / most + 1) / 2, "uniform").pvalue > 1e-4


def test_nothing_moves_if_no_amount_is_given():
    mean, covariance = moments((6.0, 3.0), n=3)
    assert mean.abs().max() < 1e-6
    wanted = torch.diag(torch.tensor([36.0, 9.0])).double().expand(3, 2, 2)
    torch.testing.assert_close(covariance, wanted, rtol=1e-4, atol=1e-4)  # the blob's tails are cut off


def test_shifts_are_uniform_pixels_along_both_axes():
    mean, _ = moments((4.0, 4.0), shift=2.0)
    assert mean.abs().max() < 2.01
    assert all(is_uniform(mean[:, axis], 2.0) for axis in (0, 1))
    assert np.corrcoef(mean.T)[0, 1] == pytest.approx(0, abs=0.2)


def test_rotations_are_uniform_degrees():
    _, covariance = moments((8.0, 3.0), rotation=15.0)
    angle = torch.rad2deg(torch.atan2(2 * covariance[:, 0, 1], covariance[:, 0, 0] - covariance[:, 1, 1])) / 2
    assert angle.abs().max() < 15.1
    assert is_uniform(angle, 15.0)


def test_scales_are_uniform_and_differ_between_the_axes():
    _, covariance = moments((5.0, 5.0), scale=0.15)
    a, b = (5 / covariance[:, axis, axis].sqrt() - 1 for axis in (0, 1))
    assert is_uniform(a, 0.15) and is_uniform(b, 0.15)
    assert np.corrcoef(a, b)[0, 1] == pytest.approx(0, abs=0.2)


def test_shears_are_uniform():
    _, covariance = moments((5.0, 5.0), shear=0.2)
    shear = -covariance[:, 0, 1] / covariance[:, 1, 1]
    assert is_uniform(shear, 0.2)


def test_defaults_are_those_that_are_documented():
    images = torch.rand(3, 1, 16, 16, generator=seeded(1))
    said = affine(images, seeded(), rotation=15.0, scale=0.15, shear=0.2, shift=2.0)
    assert torch.equal(affine(images, seeded()), said)


def test_all_at_once_is_the_formula_of_the_docstring():
    image, g = torch.rand(1, 1, 24, 24, generator=seeded(1)), seeded(3)
    t, a, b, h, u, v = (2 * torch.rand(6, generator=g) - 1).tolist()  # of one image, in the order of drawing
    t, a, b, h, u, v = math.radians(15) * t, 1 + 0.15 * a, 1 + 0.15 * b, 0.2 * h, 2 * u, 2 * v
    of_xy = np.array([[a * math.cos(t), h - b * math.sin(t)], [a * math.sin(t), b * math.cos(t)]])
    of_yx, middle = of_xy[::-1, ::-1], np.full(2, 11.5)
    wanted = affine_transform(image[0, 0].numpy(), of_yx, middle - of_yx @ middle + [v, u], order=1)
    inner = slice(5, -5)  # at the rim the two fill in differently
    seen = affine(image, seeded(3))[0, 0]
    np.testing.assert_allclose(seen[inner, inner], wanted[inner, inner], atol=1e-4)


def test_inked_windows_deviate_in_some_channel():
    images = torch.rand(5, 3, 16, 16, generator=seeded()) * torch.logspace(-2, 0, 5).view(5, 1, 1, 1)
    windows = grid(images, 8, 4).numpy()
    wanted = (windows.std((4, 5), ddof=1) > 0.02).any(3)
    assert 0 < wanted.mean() < 1
    assert np.array_equal(inked(images, 8, 4), wanted)
    assert torch.equal(inked(1 - images, 8, 4), inked(images, 8, 4))  # ink on paper, or light on dark


def test_a_window_of_one_colour_holds_no_ink_whatever_the_colour():
    red = torch.tensor([1.0, 0.2, 0.0]).view(1, 3, 1, 1).expand(1, 3, 8, 8).clone()
    assert not inked(red, 8).any()
    red[0, 2, 3, 3] = 0.5
    assert inked(red, 8).all()
    assert not inked(red, 8, least=0.1).any()
