"""hssl.losses: values known in closed form, invariances, gradients, and scikit-learn as an independent judge."""

import math
from functools import partial

import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import log_loss
from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances

from hssl.checks import ArgumentError
from hssl.losses import (
    SIMILARITIES,
    alignment,
    check_weights,
    debiased_info_nce,
    density_ratio,
    info_nce,
    level_sum,
    masked_info_nce,
    neighbour_info_nce,
    similarity_matrix,
    uniformity,
)
from hssl.patches import draw_neighbours, facing


def embeddings(n=6, dim=4, seed=0):
    return torch.randn(2, n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("n", [2, 5, 64])
def test_guessing_gives_log_of_the_batch(similarity, n):
    same = torch.ones(n, 3)
    assert info_nce(same, same, similarity=similarity).item() == pytest.approx(math.log(n), rel=1e-6)


def test_a_perfect_code_gives_nothing():
    far = torch.eye(5) * 100
    assert info_nce(far, far, similarity="euclidean").item() == pytest.approx(0, abs=1e-6)


def test_two_pairs_in_closed_form():
    a = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert info_nce(a, a, similarity="dot", temperature=0.5).item() == pytest.approx(math.log1p(math.exp(-2)), rel=1e-6)


@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
def test_against_scikit_learn(similarity):
    a, b = embeddings()
    scores = {"cosine": cosine_similarity, "euclidean": lambda x, y: -(euclidean_distances(x, y) ** 2)}[similarity](
        a, b
    )
    chances = torch.softmax(torch.tensor(scores) / 0.7, dim=1).numpy()
    wanted = log_loss(range(6), chances, labels=range(6))
    assert info_nce(a, b, similarity=similarity, temperature=0.7).item() == pytest.approx(wanted, rel=1e-9)


def test_symmetric_is_the_mean_of_both_directions():
    a, b = embeddings()
    both = (info_nce(a, b) + info_nce(b, a)) / 2
    torch.testing.assert_close(info_nce(a, b, symmetric=True), both)


def test_invariances():
    a, b = embeddings()
    order = torch.tensor([3, 1, 0, 2, 5, 4])
    rotation = torch.linalg.qr(embeddings(4)[0])[0]
    torch.testing.assert_close(info_nce(a[order], b[order]), info_nce(a, b))
    torch.testing.assert_close(info_nce(a * 3, b * 5), info_nce(a, b))  # the cosine knows no length
    for similarity in SIMILARITIES:
        turned = info_nce(a @ rotation, b @ rotation, similarity=similarity)
        torch.testing.assert_close(turned, info_nce(a, b, similarity=similarity))
    torch.testing.assert_close(info_nce(a + 2, b + 2, similarity="euclidean"), info_nce(a, b, similarity="euclidean"))


def test_gradient_pulls_pairs_together_and_others_apart():
    a, b = embeddings()
    a.requires_grad_()
    info_nce(a, b, similarity="dot", temperature=0.5).backward()
    chances = softmax(a.detach().numpy() @ b.numpy().T / 0.5, axis=1)
    wanted = (torch.tensor(chances) @ b - b) / 0.5 / 6  # towards its partner, away from where it now looks
    torch.testing.assert_close(a.grad, wanted)
    assert torch.autograd.gradcheck(lambda x: info_nce(x, b, similarity="euclidean", symmetric=True), a)


FAR = torch.tensor([[5000.0], [5001.0]])


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_distances_are_right_far_from_the_origin(kind):
    assert info_nce(FAR, FAR, similarity="euclidean").item() == pytest.approx(math.log1p(math.exp(-1)), abs=1e-6)
    two_apart = torch.tensor([[256.0], [258.0]], dtype=kind)  # neighbours in bfloat16
    wanted = math.log1p(math.exp(-4))
    assert info_nce(two_apart, two_apart, similarity="euclidean").item() == pytest.approx(wanted, abs=1e-6)
    got = debiased_info_nce(two_apart, two_apart, similarity="euclidean", positive_rate=0.0)
    assert got.item() == pytest.approx(wanted, abs=1e-6)
    got = masked_info_nce(similarity_matrix(FAR, FAR, "euclidean").to(kind), torch.eye(2) > 0, torch.eye(2) < 1)
    assert got.item() == pytest.approx(math.log1p(math.exp(-1)), abs=1e-6)
    assert uniformity(FAR).item() == pytest.approx(-1) and uniformity(two_apart).item() == pytest.approx(-4)
    assert alignment(FAR[:1], FAR[1:]) == 1 and alignment(two_apart[:1], two_apart[1:]) == 4
    a, b = (300 * torch.eye(2, dtype=kind)).split(1)  # the squares overflow float16
    assert alignment(a, b) == 2 * float(a.max()) ** 2


def test_a_shift_does_not_matter():
    z = torch.randn(32, 5, generator=torch.Generator().manual_seed(0))
    moved = (z + 1000).requires_grad_()
    exact = moved.detach().double().requires_grad_()  # the numbers that float32 holds
    wanted = (-((exact[:, None] - exact) ** 2).sum(2) / 0.5).log_softmax(1).diagonal().neg().mean()
    got = info_nce(moved, moved, similarity="euclidean", temperature=0.5)
    near = info_nce(z, z, similarity="euclidean", temperature=0.5).item()
    assert got.item() == pytest.approx(wanted.item(), abs=1e-6) and got.item() == pytest.approx(near, abs=1e-4)
    got.backward()
    wanted.backward()
    torch.testing.assert_close(moved.grad.double(), exact.grad, atol=1e-6, rtol=1e-4)


def test_two_heaps_far_apart_keep_their_distances():
    z = torch.tensor([[0.0], [1.0], [10_000.0], [10_001.0]])  # no shift brings both near the origin
    assert torch.equal(similarity_matrix(z, z, "euclidean"), -((z[:, None] - z) ** 2).sum(2))


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_half_precision_and_autocast_lose_nothing(similarity):
    a, b = embeddings(64)
    for kind in (torch.float16, torch.bfloat16):
        x, y = a.to(kind).requires_grad_(), b.to(kind)
        got = info_nce(x, y, similarity=similarity, temperature=0.1)
        got.backward()
        wanted = info_nce(x.float(), y.float(), similarity=similarity, temperature=0.1)
        assert got.dtype == torch.float32 and got.item() == wanted.item()
        assert x.grad.dtype == kind and x.grad.isfinite().all()
        with torch.autocast("cpu", dtype=kind):
            assert info_nce(x.float(), y.float(), similarity=similarity, temperature=0.1).item() == wanted.item()
    assert similarity_matrix(a, b, similarity).dtype == torch.float64


def test_gradients_are_finite_where_embeddings_coincide():
    z = torch.ones(6, 3, requires_grad=True)
    (info_nce(z, z, similarity="euclidean") + uniformity(z) + alignment(z, z.detach())).backward()
    torch.testing.assert_close(z.grad, torch.zeros(6, 3))


def test_density_ratio_in_half_precision():
    joint, product = torch.tensor([3.0, -2.0]), torch.tensor([-1.0])
    got = density_ratio(joint.bfloat16(), product.bfloat16())
    assert got.dtype == torch.float32 and got == density_ratio(joint, product)


def test_uniformity_is_a_kernel_density_without_its_constant():
    z = embeddings(40, 3)[0]
    kernel = torch.distributions.MultivariateNormal(torch.zeros(3).double(), torch.eye(3).double() * 0.7 / 2)
    log_density = kernel.log_prob((z[:, None] - z)[~torch.eye(40, dtype=torch.bool)]).logsumexp(0) - math.log(40 * 39)
    constant = -3 / 2 * math.log(math.pi * 0.7)
    assert uniformity(z, temperature=0.7).item() == pytest.approx(log_density.item() - constant)


def test_level_sum_names_what_is_wrong():
    one = torch.tensor(2.0)
    assert level_sum([one, one * torch.inf], [0.5, 0]).item() == 1
    for losses in ([], [torch.ones(2), one], [one, torch.ones(1)]):
        with pytest.raises(ValueError, match="losses: wanted at least one and all scalars"):
            level_sum(losses)
    for weights in ([1], [1, -1], [0, 0], [1, torch.nan], [1, torch.inf]):
        with pytest.raises(ValueError, match="weights: wanted 2 finite numbers"):
            check_weights(weights, 2)
        with pytest.raises(ValueError, match="weights: wanted 2 finite numbers"):
            level_sum([one, one], weights)


def test_alignment_and_uniformity_in_closed_form():
    a = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    assert alignment(a, torch.zeros(2, 2)).item() == 12.5
    assert uniformity(a).item() == pytest.approx(-25)
    assert uniformity(torch.ones(9, 2)).item() == pytest.approx(0, abs=1e-6)


GOOD = torch.zeros(4, 3)


@pytest.mark.parametrize(
    ("a", "b", "settings", "error", "message"),
    [
        (GOOD, torch.zeros(5, 3), {}, ValueError, r"positives: wanted Float.*batch = 4, dim = 3, got f32\[5,3\]"),
        (GOOD[:1], GOOD[:1], {}, ValueError, "anchors: wanted at least 2 rows, got 1"),
        (torch.zeros(0, 3), torch.zeros(0, 3), {}, ValueError, "at least 2"),
        (torch.zeros(4), torch.zeros(4), {}, ValueError, r"anchors: wanted Float\[Tensor, 'batch dim'\], got f32\[4\]"),
        (GOOD.long(), GOOD, {}, TypeError, "anchors: wanted Float.* got i64"),
        (GOOD, GOOD.numpy(), {}, TypeError, "positives: wanted Float.*numpy"),
        (GOOD, GOOD.half(), {}, TypeError, "positives: wanted torch.float32, as anchors, got torch.float16"),
        (GOOD, GOOD / 0, {}, ValueError, "positives: there are values that are not finite"),
        (GOOD + torch.inf, GOOD, {}, ValueError, "anchors: there are values that are not finite"),
        (GOOD, GOOD, {"temperature": torch.inf}, ValueError, "temperature"),
        (GOOD, GOOD, {"temperature": 0.0}, ValueError, "temperature"),
        (GOOD, GOOD, {"temperature": -1.0}, ValueError, "temperature"),
        (GOOD, GOOD, {"temperature": float("nan")}, ValueError, "temperature"),
        (GOOD, GOOD, {"similarity": "manhattan"}, ValueError, "cosine, dot, euclidean"),
    ],
)
def test_bad_input_is_named(a, b, settings, error, message):
    for loss in (info_nce, partial(debiased_info_nce, positive_rate=0.1)):
        with pytest.raises(error, match=message):
            loss(a, b, **settings)


@pytest.mark.parametrize("function", [similarity_matrix, alignment])
@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (GOOD, GOOD[:, :2], r"positives: wanted Float.*dim = 3.*got f32\[4,2\]"),
        (GOOD, GOOD.double(), "positives: wanted torch.float32, as anchors, got torch.float64"),
        (GOOD - torch.inf, GOOD, "anchors: there are values that are not finite"),
        (GOOD, GOOD / 0, "positives: there are values that are not finite"),
    ],
)
def test_bad_members_are_named(function, a, b, message):
    with pytest.raises(ValueError, match=message):
        function(a, b)


def test_too_few_rows_are_named():
    with pytest.raises(ValueError, match="anchors: wanted at least 1 rows, got 0"):
        alignment(GOOD[:0], GOOD[:0])
    with pytest.raises(ValueError, match="embeddings: wanted at least 2 rows, got 1"):
        uniformity(GOOD[:1])
    with pytest.raises(ValueError, match="embeddings: there are values that are not finite"):
        uniformity(GOOD / 0)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_uniformity_wants_a_temperature(temperature):
    with pytest.raises(ValueError, match="temperature"):
        uniformity(GOOD, temperature=temperature)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("n", [2, 6])
def test_debiased_without_false_negatives_is_info_nce(similarity, n):
    a, b = embeddings(n)
    losses, gradients = [], []
    for loss, settings in ((info_nce, {}), (debiased_info_nce, {"positive_rate": 0.0})):
        x = a.clone().requires_grad_()
        losses.append(loss(x, b, temperature=0.3, similarity=similarity, **settings))
        gradients.append(torch.autograd.grad(losses[-1], x)[0])
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*gradients)


def test_debiased_forgets_false_negatives_that_look_like_the_positive():
    a = torch.eye(2, dtype=torch.float64).repeat_interleave(
        2, dim=0
    )  # of 3 others one is false, the 2 true count for 3
    wanted = math.log1p(3 * math.exp(-2))
    assert debiased_info_nce(a, a, temperature=0.5, positive_rate=1 / 3).item() == pytest.approx(wanted, rel=1e-9)


def test_debiased_comes_near_to_what_labels_would_give():
    # Eight classes, noisy: the others are of the anchor's class at a known rate.
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(400) % 8
    a, b = torch.eye(8)[labels] * 3 + torch.randn(2, 400, 8, generator=generator)
    similarities = similarity_matrix(a, b)
    same, own = labels[:, None] == labels, torch.eye(400, dtype=torch.bool)
    true = similarities.exp().masked_fill(same, 0).sum(1) * 399 / 350  # true negatives only, as if there were 399
    wanted = ((similarities.diagonal().exp() + true).log() - similarities.diagonal()).mean().item()
    rate = (same & ~own).sum().item() / (400 * 399)
    assert debiased_info_nce(a, b, positive_rate=rate).item() == pytest.approx(wanted, abs=0.01)
    assert info_nce(a, b).item() > wanted + 0.05


def test_debiased_holds_the_denominator_at_its_least():
    z = torch.eye(
        4, dtype=torch.float64
    )  # others at a cosine of 0; taking off 3 · e² / 2 would leave less than nothing
    wanted = math.log1p(3 * math.exp(-4))
    assert debiased_info_nce(z, z, temperature=0.5, positive_rate=0.5).item() == pytest.approx(wanted, rel=1e-9)
    wanted = math.log1p(3 * math.exp(-2))  # the dot product has no least value but that of the batch
    assert debiased_info_nce(z, z, temperature=0.5, positive_rate=0.5, similarity="dot").item() == pytest.approx(wanted)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.9])
def test_debiased_of_a_collapse_is_log_of_the_batch(rate):
    same = torch.ones(7, 3)
    assert debiased_info_nce(same, same, positive_rate=rate).item() == pytest.approx(math.log(7), rel=1e-5)


def test_debiased_survives_a_low_temperature():
    a, b = embeddings()
    x = a.float().requires_grad_()
    loss = debiased_info_nce(x, b.float(), temperature=0.005, positive_rate=0.2)
    loss.backward()
    assert loss.isfinite() and x.grad.isfinite().all()


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_debiased_wants_a_rate(rate):
    with pytest.raises(ValueError, match="positive_rate"):
        debiased_info_nce(GOOD, GOOD, positive_rate=rate)


def test_masked_with_one_positive_each_is_info_nce():
    a, b = embeddings()
    one = torch.eye(6, dtype=torch.bool)
    got = masked_info_nce(similarity_matrix(a, b), one, ~one, temperature=0.3)
    torch.testing.assert_close(got, info_nce(a, b, temperature=0.3))


def test_masked_against_scikit_learn():
    similarities = embeddings(8, 8)[0]
    positive = torch.rand(8, 8, generator=torch.Generator().manual_seed(1)) < 0.3
    negative = ~positive & (torch.rand(8, 8, generator=torch.Generator().manual_seed(2)) < 0.7)
    wanted = []
    for i, j in positive.nonzero().tolist():
        scores = [similarities[i, j].item(), *similarities[i][negative[i]].tolist()]
        chances = softmax([score / 0.7 for score in scores])
        wanted.append(log_loss([0], [chances], labels=range(len(scores))) if len(scores) > 1 else 0.0)
    got = masked_info_nce(similarities, positive, negative, temperature=0.7)
    assert got.item() == pytest.approx(sum(wanted) / len(wanted), rel=1e-9)


def test_masked_leaves_out_what_is_in_neither_mask():
    similarities = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    positive, negative = torch.zeros(2, 3, 3, dtype=torch.bool)
    positive[0, 1] = positive[1, 0] = negative[0, 2] = True  # the second anchor has no negative, the third nothing
    loss = masked_info_nce(similarities, positive, negative)
    assert loss.item() == pytest.approx(math.log(2) / 2)
    loss.backward()
    wanted = torch.tensor([[0, -0.25, 0.25], [0, 0, 0], [0, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(similarities.grad, wanted)


def test_masked_without_positives_neither_moves_nor_breaks_the_run():
    similarities = torch.randn(4, 4, requires_grad=True)
    none = torch.zeros(4, 4, dtype=torch.bool)
    loss = masked_info_nce(similarities, none, ~none)
    loss.backward()
    assert loss.item() == 0 and not similarities.grad.any()


BOTH = torch.ones(3, 3, dtype=torch.bool)


@pytest.mark.parametrize(
    ("similarities", "positive", "negative", "error", "message"),
    [
        (torch.zeros(3, 3), BOTH, BOTH, ValueError, "in both masks"),
        (torch.zeros(3, 3), BOTH[:2], ~BOTH, ValueError, r"positive: wanted Bool.*n = 3, m = 3, got bool\[2,3\]"),
        (torch.zeros(3, 3), BOTH, BOTH.float(), TypeError, "negative: wanted Bool.* got f32"),
        (torch.zeros(3), BOTH, ~BOTH, ValueError, "similarities: wanted Float"),
        (torch.zeros(3, 3).long(), BOTH, ~BOTH, TypeError, "similarities: wanted Float.* got i64"),
        (torch.full((3, 3), torch.nan), BOTH, ~BOTH, ValueError, "similarities: there are values that are not finite"),
        (torch.full((3, 3), torch.inf), BOTH, ~BOTH, ValueError, "similarities: there are values that are not finite"),
    ],
)
def test_bad_masks_are_named(similarities, positive, negative, error, message):
    with pytest.raises(error, match=message):
        masked_info_nce(similarities, positive, negative)


def test_density_ratio_of_a_guess_is_log_2():
    assert density_ratio(torch.zeros(5), torch.zeros(3)).item() == pytest.approx(math.log(2))


def test_density_ratio_is_balanced_cross_entropy():
    joint, product = embeddings(5, 3)[0, :, 0], embeddings(5, 3)[1, :3, 0]
    chances = torch.sigmoid(torch.cat([joint, product])).numpy()
    weights = [1 / 5] * 5 + [1 / 3] * 3
    wanted = log_loss([1] * 5 + [0] * 3, chances, sample_weight=weights)
    assert density_ratio(joint, product).item() == pytest.approx(wanted, rel=1e-9)


def test_density_ratio_is_least_at_the_log_of_the_ratio():
    counts = torch.tensor([[6, 1, 2], [1, 4, 2], [3, 0, 5]])
    n = counts.sum().item()
    independent = counts.sum(1, keepdim=True) * counts.sum(0)  # sums to n²
    ratio = (counts * n / independent).double()
    critic = ratio.clamp(min=1e-9).log().requires_grad_()  # one entry per kind of pair
    joint = critic.flatten().repeat_interleave(counts.flatten())
    product = critic.flatten().repeat_interleave(independent.flatten())
    loss = density_ratio(joint, product)
    torch.testing.assert_close(torch.autograd.grad(loss, critic)[0], torch.zeros_like(critic), atol=1e-8, rtol=0)
    assert loss.item() < math.log(2)
    assert (independent / n**2 * critic.exp()).sum().item() == pytest.approx(1)


@pytest.mark.parametrize(
    ("joint", "product", "error", "message"),
    [
        (torch.zeros(0), torch.zeros(3), ValueError, "joint: wanted at least 1 rows, got 0"),
        (torch.zeros(3), torch.zeros(0), ValueError, "product: wanted at least 1 rows, got 0"),
        (torch.zeros(3), torch.zeros(3, 2), ValueError, r"product: wanted .* got f32\[3,2\]"),
        (torch.zeros(3), torch.zeros(3).long(), TypeError, "product: wanted Float.* got i64"),
        (torch.zeros(3), torch.zeros(3).half(), TypeError, "product: wanted torch.float32, as joint"),
        (torch.zeros(3), torch.zeros(3) - torch.inf, ValueError, "product: there are values that are not finite"),
        (torch.zeros(3) / 0, torch.zeros(3), ValueError, "joint: there are values that are not finite"),
    ],
)
def test_bad_critics_are_named(joint, product, error, message):
    with pytest.raises(error, match=message):
        density_ratio(joint, product)


def test_the_loss_of_a_level_is_info_nce_of_neighbouring_windows(g):
    z, both = torch.randn(20, 2, 3, 12, generator=g), [torch.ones(20, 4, 6).bool(), torch.ones(20, 2, 3).bool()]
    loss = neighbour_info_nce(z, *both, level=1, generator=torch.Generator().manual_seed(5), each=3, temperature=0.2)
    again = torch.Generator().manual_seed(5)
    drawn = [torch.stack(draw_neighbours(both[1], again)) for _ in range(3)]
    blocks = [facing(z, *pair) for pair in drawn]
    first, second = (torch.cat([block[i] for block in blocks]) for i in (0, 1))
    assert len(first) == 60
    forth, back = info_nce(first, second, temperature=0.2), info_nce(second, first, temperature=0.2)
    assert torch.allclose(loss, (forth + back) / 2)
    for bad in ({"level": 2}, {"level": -1}, {"each": 0}, {"temperature": 0.0}):
        with pytest.raises(ArgumentError, match=f"{next(iter(bad))}: wanted"):
            neighbour_info_nce(z, *both, **{"level": 1, "generator": g, **bad})


def test_a_critic_may_give_a_column(g):
    joint, product = torch.randn(7, generator=g), torch.randn(9, generator=g)
    assert density_ratio(joint[:, None], product[:, None]) == density_ratio(joint, product)
    with pytest.raises(ArgumentError, match="joint"):
        density_ratio(joint.view(1, 7).expand(2, 7), product)
