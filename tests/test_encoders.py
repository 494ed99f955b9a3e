"""hssl.encoders: networks against numpy and torch's own layers, their initial weights, modes, and bad input."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from hssl.encoders import MLP, ConvNet, drawn_from, embed, perceptron


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def correlated(n, width, seed=0, dtype=torch.float32):
    """Observations with a mean, and with a covariance that is neither diagonal nor singular."""
    mix = torch.randn(width, width, generator=seeded(seed), dtype=torch.float64)
    x = torch.randn(n, width, generator=seeded(seed + 1), dtype=torch.float64) @ (mix + 2 * torch.eye(width)) + 3
    return x.to(dtype)


# --- the perceptron ---------------------------------------------------------------------------------------


def uniform_layers(widths, generator):
    """Weights and biases, uniform within 1 / √(width below), drawn layer by layer."""
    return [
        [torch.empty(*shape).uniform_(-(a**-0.5), a**-0.5, generator=generator).numpy() for shape in ((b, a), (b,))]
        for a, b in widths
    ]


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("hidden", [(7, 6), (4,), ()])
def test_an_mlp_is_what_numpy_makes_of_its_weights(hidden, skip):
    encoder, generator = MLP(5, 2, hidden, skip=skip, generator=seeded(3)), seeded(3)
    layers = uniform_layers(itertools.pairwise((5, *hidden, 2)), generator)
    (weight, bias) = uniform_layers([(5, 2)], generator)[0] if skip else (np.zeros((2, 5)), np.zeros(2))
    x = correlated(40, 5).numpy()
    h = x
    for number, (w, b) in enumerate(layers):
        h = h @ w.T + b
        h = h if number == len(hidden) else np.where(h > 0, h, h / 100)
    np.testing.assert_allclose(encoder(torch.tensor(x)).detach(), h + x @ weight.T + bias, rtol=1e-4, atol=1e-5)
    assert sum(p.numel() for p in encoder.parameters()) == sum(w.size + b.size for w, b in layers) + skip * 12


def test_initial_weights_are_uniform_within_one_over_the_root_of_the_width_as_in_torch():
    encoder, usual = MLP(400, 300, (300,), generator=seeded()), drawn_from(seeded(), lambda: nn.Linear(400, 300))
    for layer in (encoder.layers[0], encoder.skip, usual):
        for values in (layer.weight, layer.bias):
            assert stats.kstest(20 * values.detach().flatten(), stats.uniform(-1, 2).cdf).pvalue > 1e-3
            assert values.abs().max() <= 1 / 20


def test_widths_of_the_usual_mlp():
    assert [tuple(p.shape) for p in MLP(10, 5).layers.parameters() if p.ndim == 2] == [
        (128, 10),
        (128, 128),
        (128, 128),
        (5, 128),
    ]
    assert MLP(10, 5).skip.weight.shape == (5, 10)
    assert isinstance(MLP(10, 5).output, nn.Identity)


def test_whitened_input_is_white():
    x = correlated(2000, 6, dtype=torch.float64)
    encoder = MLP(6, 2, generator=seeded()).double()
    assert encoder.whiten(x.requires_grad_()) is encoder
    assert not encoder.mean.requires_grad and not encoder.whitening.requires_grad
    x = x.detach()
    white = (x - encoder.mean) @ encoder.whitening
    torch.testing.assert_close(torch.cov(white.T), torch.eye(6, dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(white.mean(0), torch.zeros(6, dtype=torch.float64), atol=1e-9, rtol=0)


def test_both_paths_of_an_mlp_see_whitened_input():
    x = correlated(200, 4, dtype=torch.float64)
    encoder = MLP(4, 2, (8,), generator=seeded()).double()
    white = torch.tensor(np.cov(x.T.numpy()))
    white = (x - x.mean(0)) @ torch.linalg.cholesky(torch.linalg.inv(white))
    before = encoder(white)  # which nothing whitens yet
    torch.testing.assert_close(encoder.whiten(x)(x), before)


def test_a_whitened_mlp_knows_no_scale():
    x, a = correlated(50, 3, dtype=torch.float64), torch.tensor([2.0, 5.0, 0.1], dtype=torch.float64)
    one, other = (MLP(3, 2, (8,), generator=seeded()).double().whiten(seen) for seen in (x, a * x + 7))
    torch.testing.assert_close(one(x), other(a * x + 7))


def test_as_few_observations_as_twice_the_width_whiten():
    MLP(5, 2).whiten(correlated(10, 5))
    with pytest.raises(ValueError, match="observations: wanted at least 10 rows, got 9"):
        MLP(5, 2).whiten(correlated(9, 5))


def test_standardised_outputs():
    encoder, x = MLP(4, 3, (8,), standardise=True, generator=seeded()), correlated(500, 4)
    plain = MLP(4, 3, (8,), generator=seeded())(x).detach()  # the same weights
    z = encoder.train()(x)
    wanted = (plain - plain.mean(0)) / plain.std(0, correction=0)
    torch.testing.assert_close(z, wanted, atol=1e-4, rtol=1e-3)
    assert not list(encoder.output.parameters())  # nothing that could scale them again
    encoder.eval()
    encoder.output.running_mean[:], encoder.output.running_var[:] = torch.tensor([1.0, 2, 3]), torch.tensor([4.0, 9, 1])
    by_running = (plain - torch.tensor([1.0, 2, 3])) / torch.tensor([2.0, 3, 1])
    torch.testing.assert_close(encoder(x), by_running, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    ("observations", "message"),
    [
        (torch.zeros(30, 4), r"observations: wanted Float.* got f32\[30,4\]"),
        (torch.zeros(5), r"observations: wanted Float.* got f32\[5\]"),
        (torch.zeros(30, 5, dtype=torch.int64), r"observations: wanted Float.* got i64\[30,5\]"),
        (np.zeros((30, 5), np.float32), r"observations: wanted Float.* got f32\[30,5\]\(numpy\)"),
        (torch.zeros(30, 5).double(), "observations: wanted torch.float32, the type of the weights, got torch.float64"),
    ],
)
def test_observations_of_another_shape_or_type_are_named(observations, message):
    encoder = MLP(5, 2)
    for call in (encoder, encoder.whiten):
        with pytest.raises(TypeError, match=message):
            call(observations)


@pytest.mark.parametrize(
    ("observations", "message"),
    [
        (torch.full((30, 5), float("nan")), "observations: there are values that are not finite"),
        (torch.cat([correlated(29, 5), torch.full((1, 5), -torch.inf)]), "observations: .* not finite"),
        (correlated(30, 1).expand(30, 5), "observations: their covariance is singular"),
    ],
)
def test_observations_that_cannot_whiten_are_named(observations, message):
    with pytest.raises(ValueError, match=message):
        MLP(5, 2).whiten(observations)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_in": 0}, "n_in: wanted a whole number ≥ 1, got 0"),
        ({"n_out": 0}, "n_out: wanted a whole number ≥ 1, got 0"),
        ({"n_out": 2.0}, "n_out: wanted a whole number ≥ 1, got 2.0"),
        ({"hidden": (8, 0, 8, 8, 8)}, r"hidden: wanted whole numbers ≥ 1, got \(8, 0, 8, 8, 8\)"),
        ({"generator": 0}, "generator: wanted Generator or None, got 0"),
        ({"generator": np.random.default_rng(0)}, "generator: wanted Generator or None"),
    ],
)
def test_bad_settings_of_an_mlp(settings, message):
    with pytest.raises(ValueError, match=message):
        MLP(**{"n_in": 4, "n_out": 2, **settings})


# --- the convolutional network ----------------------------------------------------------------------------


def convolutions(n_in, n_out, widths, side, hidden):
    """torch's own layers, in the order in which they draw their weights; `side` of the last feature map."""
    layers = []
    for a, b in itertools.pairwise((n_in, *widths)):
        layers += [nn.Conv2d(a, b, kernel_size=3, stride=2, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(widths[-1] * side * side, hidden), nn.ReLU(), nn.Linear(hidden, n_out)
    )


@pytest.mark.parametrize(
    ("size", "channels", "side"),
    [(16, (4, 8), 4), (32, (4, 5, 6), 4), (12, (4, 5, 6), 2), (9, (3,), 5), (1, (2, 2), 1)],
)
@pytest.mark.parametrize("mode", [True, False])
def test_a_convnet_is_a_stack_of_torch_layers(size, channels, side, mode):
    encoder = ConvNet(2, 5, size, channels, 10, generator=seeded(4)).train(mode)
    with torch.random.fork_rng():
        torch.manual_seed(int(torch.randint(2**62, (), generator=seeded(4))))
        by_hand = convolutions(2, 5, channels, side, 10).train(mode)
    images = torch.rand(6, 2, size, size, generator=seeded())
    torch.testing.assert_close(encoder(images), by_hand(images - 0.5), rtol=1e-4, atol=1e-5)
    assert len(list(encoder.parameters())) == len(list(by_hand.parameters()))


def test_widths_of_the_usual_convnet():
    shapes = [tuple(p.shape) for p in ConvNet(3, 32).parameters() if p.ndim > 1]
    assert shapes == [(32, 3, 3, 3), (64, 32, 3, 3), (128, 64, 3, 3), (256, 128 * 4 * 4), (32, 256)]


def test_where_things_are_can_be_read_from_the_embedding():
    images = torch.zeros(2, 1, 16, 16)
    images[0, 0, 2:5, 2:5] = images[1, 0, 10:13, 10:13] = 1  # the same thing, eight pixels on
    a, b = ConvNet(1, 8, 16, (4, 8)).eval()(images)
    assert (a - b).norm() > 0.01 * a.norm()


@pytest.mark.parametrize(
    "images", [torch.zeros(2, 3, 32, 32), torch.zeros(2, 1, 16, 16), torch.zeros(3, 16, 16), torch.zeros(2, 3, 16, 8)]
)
def test_images_of_another_shape_are_named(images):
    came = ",".join(map(str, images.shape))
    with pytest.raises(ValueError, match=rf"images: wanted Float.* got f32\[{came}\]"):
        ConvNet(3, 5, 16, (4, 8))(images)


def test_images_of_another_type_are_named():
    encoder, images = ConvNet(3, 5, 16, (4, 8)), torch.zeros(2, 3, 16, 16)
    with pytest.raises(TypeError, match=r"images: wanted torch\.float32, the type of the weights, got torch\.float16"):
        encoder(images.half())
    with pytest.raises(TypeError, match=r"images: wanted Float.* got u8"):
        encoder(images.byte())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_in": 0}, "n_in: wanted a whole number ≥ 1, got 0"),
        ({"n_out": 0}, "n_out"),
        ({"size": 0}, "size"),
        ({"hidden": 0}, "hidden"),
        ({"channels": (4, 0, 4, 4)}, r"channels: wanted whole numbers ≥ 1, got \(4, 0, 4, 4\)"),
        ({"generator": "seed"}, "generator"),
    ],
)
def test_bad_settings_of_a_convnet(settings, message):
    with pytest.raises(ValueError, match=message):
        ConvNet(**{"n_in": 3, "n_out": 3, "size": 16, **settings})


# --- random numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [lambda **of: MLP(4, 2, (8,), **of), lambda **of: ConvNet(3, 5, 16, (4, 8), **of)])
def test_weights_come_from_the_generator_and_from_seed_0_without_one(build):
    before = torch.random.get_rng_state()
    none, again, zero, one = (
        torch.cat([p.flatten() for p in encoder.parameters()])
        for encoder in (build(), build(), build(generator=seeded(0)), build(generator=seeded(1)))
    )
    assert torch.equal(none, again)
    assert torch.equal(none, zero)
    assert not torch.equal(zero, one)
    assert torch.equal(before, torch.random.get_rng_state())
    generator = seeded()
    assert not torch.equal(*(next(build(generator=generator).parameters()) for _ in range(2)))  # it moves on


def test_what_is_drawn_from_a_generator_is_what_torch_draws_under_its_seed():
    before = torch.random.get_rng_state()
    found = drawn_from(seeded(2), lambda: nn.Linear(3, 4))
    assert torch.equal(before, torch.random.get_rng_state())
    with torch.random.fork_rng():
        torch.manual_seed(int(torch.randint(2**62, (), generator=seeded(2))))
        wanted = nn.Linear(3, 4)
    assert torch.equal(found.weight, wanted.weight)
    with pytest.raises(TypeError, match="generator: wanted Generator, got 0"):
        drawn_from(0, lambda: nn.Linear(3, 4))


# --- many observations, some at a time --------------------------------------------------------------------


def normalised():
    """A network with three modes to restore: dropout in training, one normalisation frozen, one learning."""
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.BatchNorm1d(4))
    network.train()
    network[1].eval()
    return network


def test_embedding_moves_nothing_and_gives_every_part_its_mode_back():
    network, x = normalised(), torch.randn(12, 3, generator=seeded())
    modes = [module.training for module in network.modules()]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = embed(network, x, batch=5)
    assert modes == [module.training for module in network.modules()] == [True, True, False, True, True]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    torch.testing.assert_close(found, network.eval()(x))  # running statistics, no dropout
    assert not found.requires_grad


def test_modes_come_back_after_an_error_too():
    network = normalised()
    with pytest.raises(RuntimeError):
        embed(network, torch.zeros(5, 7))
    assert [module.training for module in network.modules()] == [True, True, False, True, True]


@pytest.mark.parametrize("batch", [1, 4, 10, 500])
def test_parts_are_put_together_in_order(batch):
    x, sizes = torch.arange(20.0).view(10, 2), []

    class Noting(nn.Module):
        def forward(self, part):
            sizes.append(len(part))
            return [part + 1, part.sum(1)]

    first, second = embed(Noting(), x, batch)
    assert torch.equal(first, x + 1)
    assert torch.equal(second, x.sum(1))
    assert max(sizes) == min(batch, 10)
    assert torch.equal(embed(nn.Identity(), x, batch), x)


def test_five_hundred_at_a_time():
    sizes = []
    network = nn.Identity()
    network.register_forward_hook(lambda _, seen, __: sizes.append(len(seen[0])))
    embed(network, torch.zeros(1200, 1))
    assert sizes == [500, 500, 200]


@pytest.mark.parametrize(
    ("observations", "batch", "message"),
    [
        (torch.zeros(0, 3), 5, r"observations: wanted at least one, got shape \(0, 3\)"),
        (torch.tensor(1.0), 5, "observations: wanted"),
        (np.zeros((5, 3)), 5, "observations: wanted"),
        (torch.zeros(5, 3), 0, "batch: wanted a whole number ≥ 1, got 0"),
    ],
)
def test_nothing_to_embed_is_named(observations, batch, message):
    with pytest.raises(ValueError, match=message):
        embed(nn.Linear(3, 2), observations, batch)
    with pytest.raises(TypeError, match="encoder: wanted Module"):
        embed(torch.sin, torch.zeros(2, 3))


def test_a_perceptron_is_linear_layers_with_gelu_between():
    network = perceptron(3, 5, 4, 1, generator=seeded(3))
    assert [type(part).__name__ for part in network] == ["Linear", "GELU", "Linear", "GELU", "Linear"]
    assert [tuple(part.weight.shape) for part in network[::2]] == [(5, 3), (4, 5), (1, 4)]
    again = perceptron(3, 5, 4, 1, generator=seeded(3))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
    assert isinstance(perceptron(3, 2)[0], nn.Linear) and len(perceptron(3, 2)) == 1


@pytest.mark.parametrize("widths", [(), (3,), (3, 0)])
def test_a_perceptron_without_widths_is_named(widths):
    with pytest.raises(ValueError, match="widths: wanted"):
        perceptron(*widths)
