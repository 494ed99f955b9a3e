"""hssl.pairing: three points on a line, collapse, invariances, scikit-learn and scipy as judges, and bad input."""

import copy
import math

import pytest
import torch
from scipy.spatial.distance import pdist, squareform
from sklearn.metrics import confusion_matrix
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestNeighbors
from torch import nn

from hssl.encoders import MLP
from hssl.losses import masked_info_nce, similarity_matrix
from hssl.pairing import (
    EMATeacher,
    Masks,
    adjacent,
    effective_rank,
    false_negative_rate,
    follow,
    mutual_nearest,
    positive_share,
    probable,
    quantile,
    same_image,
    threshold,
    uncentred_variance,
)
from hssl.pairs import Pairs
from hssl.training import fit

LINE = torch.tensor([[0.0], [1.0], [3.0]])
OF_EMBEDDINGS = {
    "threshold": lambda z: threshold(z, 2.0),
    "quantile": lambda z: quantile(z, 0.2),
    "mutual_nearest": lambda z: mutual_nearest(z, 4),
    "probable": lambda z: probable(z @ z.T, 0.7),
}
RULES = OF_EMBEDDINGS | {
    "adjacent": lambda z: adjacent(z[:, :2], (z[:, 2] > 0).long(), 1.5),
    "same_image": lambda z: same_image((2 * z[:, 2]).round().long()),
}


def embeddings(n=20, dim=5, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def pairs(masks):
    return {(i, j) for i, j in masks.positive.nonzero().tolist() if i < j}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_masks_are_symmetric_complete_and_without_the_diagonal(rule):
    masks = rule(embeddings())
    assert torch.equal(masks.positive, masks.positive.T) and torch.equal(masks.negative, masks.negative.T)
    assert torch.equal(masks.positive ^ masks.negative, ~torch.eye(20, dtype=torch.bool))
    assert not (masks.positive & masks.negative).any()
    assert 0 < positive_share(masks) < 1


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_order_of_the_patches_does_not_matter(rule):
    z, order = embeddings(), torch.randperm(20, generator=torch.Generator().manual_seed(1))
    assert torch.equal(rule(z[order]).positive, rule(z).positive[order][:, order])


@pytest.mark.parametrize("rule", OF_EMBEDDINGS.values(), ids=OF_EMBEDDINGS)
def test_rotations_do_not_matter_and_nothing_is_changed_or_tracked(rule):
    z = embeddings().double().requires_grad_()
    before, rotation = z.detach().clone(), torch.linalg.qr(embeddings(5).double())[0]
    masks = rule(z)
    assert torch.equal(masks.positive, rule(z @ rotation).positive)
    assert torch.equal(z.detach(), before) and not masks.positive.requires_grad


def test_three_points_on_a_line():
    assert pairs(threshold(LINE, 0.9)) == set()
    assert pairs(threshold(LINE, 1.0)) == {(0, 1)}
    assert pairs(threshold(LINE, 2.5)) == {(0, 1), (1, 2)}
    assert pairs(threshold(LINE, 3.0)) == {(0, 1), (1, 2), (0, 2)}
    assert pairs(quantile(LINE, 0.3)) == {(0, 1)}
    assert pairs(quantile(LINE, 0.01)) == {(0, 1)}  # at least one
    assert pairs(quantile(LINE, 0.7)) == {(0, 1), (1, 2)}
    assert pairs(mutual_nearest(LINE, 1)) == {(0, 1)}  # the third one's nearest has a nearer one
    assert pairs(mutual_nearest(LINE, 2)) == {(0, 1), (1, 2), (0, 2)}


def test_threshold_is_scipys_distance():
    z = embeddings()
    wanted = torch.tensor(squareform(pdist(z.double().numpy())) <= 2.5).fill_diagonal_(False)
    assert torch.equal(threshold(z, 2.5).positive, wanted)


@pytest.mark.parametrize("share", [0.1, 0.33, 0.9])
def test_quantile_takes_that_share_of_the_nearest(share):
    z = embeddings(40)
    masks = quantile(z, share)
    assert positive_share(masks) == pytest.approx(share, abs=1 / 780)
    distances = torch.tensor(squareform(pdist(z.double().numpy())))
    assert distances[masks.positive].max() < distances[masks.negative].min()


def test_quantile_keeps_its_share_where_the_threshold_dies():
    z = embeddings(40)
    for scale, dead in ((100.0, 0.0), (0.01, 1.0)):
        assert positive_share(threshold(z * scale, 2.0)) == dead
        assert torch.equal(quantile(z * scale, 0.1).positive, quantile(z, 0.1).positive)


def test_mutual_nearest_is_scikit_learns():
    z = embeddings(30)
    near = torch.tensor(NearestNeighbors(n_neighbors=4).fit(z.numpy()).kneighbors_graph().toarray()) > 0
    assert torch.equal(mutual_nearest(z, 4).positive, near & near.T)


def test_a_collapse_makes_every_pair_positive():
    same = torch.full((6, 3), 0.1)
    for masks in (threshold(same, 0.0), quantile(same, 0.1), mutual_nearest(same, 1)):
        assert positive_share(masks) == 1
        assert not masks.negative.any()


def test_adjacent_on_two_grids():
    places = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    positions, images = places.repeat(2, 1), torch.arange(2).repeat_interleave(9)
    four, eight = adjacent(positions, images, 1), adjacent(positions, images, 1.5)
    assert four.positive.sum(1).tolist() == [2, 3, 2, 3, 4, 3, 2, 3, 2] * 2
    assert eight.positive.sum(1).tolist() == [3, 5, 3, 5, 8, 5, 3, 5, 3] * 2
    assert not eight.positive[:9, 9:].any()
    assert torch.equal(adjacent(positions, images, 9).positive, same_image(images).positive)


def test_same_image():
    assert pairs(same_image(torch.tensor([7, 2, 7, 7, 2]))) == {(0, 2), (0, 3), (2, 3), (1, 4)}


def test_probable():
    logits = torch.tensor([[9.0, 1.0, -1.0], [1.5, 9.0, 0.0], [-1.0, 0.5, 9.0]])
    assert pairs(probable(logits, 0.5)) == {(0, 1), (1, 2)}
    assert pairs(probable(logits, 0.77)) == {(0, 1)}  # the mean logit is 1.25, a probability of 0.777
    assert pairs(probable(logits, 0.78)) == set()
    assert pairs(probable(logits, 0.2)) == {(0, 1), (0, 2), (1, 2)}


def test_masks_fit_the_loss():
    z = embeddings().requires_grad_()
    loss = masked_info_nce(z @ z.T, *quantile(z, 0.1), temperature=0.5)
    loss.backward()
    assert loss > 0 and z.grad.isfinite().all()


def test_rates_are_scikit_learns():
    masks = quantile(embeddings(), 0.3)
    truth = same_image((embeddings(seed=1)[:, 0] > 0).long()).positive | torch.eye(20, dtype=torch.bool)
    upper = torch.triu_indices(20, 20, 1)
    _, fp, fn, tp = confusion_matrix(truth[*upper], masks.positive[*upper]).ravel().tolist()
    assert false_negative_rate(masks, truth) == pytest.approx(fn / (fn + tp))
    assert positive_share(masks) == pytest.approx((tp + fp) / 190)


def test_a_rule_that_is_right_has_no_false_negatives():
    masks = same_image(torch.tensor([0, 0, 1, 1]))
    assert false_negative_rate(masks, masks.positive) == 0


def test_uncentred_variance_in_closed_form():
    assert uncentred_variance(torch.full((9, 4), 0.3)) == pytest.approx(0, abs=1e-12)
    assert uncentred_variance(torch.tensor([[2.0, 0.0], [-5.0, 0.0]])) == pytest.approx(1)
    assert uncentred_variance(torch.eye(4)) == pytest.approx(0.75)
    z = embeddings()
    assert uncentred_variance(z) == pytest.approx(1 - cosine_similarity(z.double()).mean())
    lengths = torch.rand(20, 1) + 0.5
    assert uncentred_variance(z * lengths) == pytest.approx(uncentred_variance(z), rel=1e-5)


def test_effective_rank_in_closed_form():
    crystal = torch.cat([torch.eye(6), -torch.eye(6)])
    assert effective_rank(crystal) == pytest.approx(6)
    assert effective_rank(crystal + 5) == pytest.approx(6)
    two = crystal * torch.tensor([3.0, 1.0, 0, 0, 0, 0])  # variances 9 : 1
    assert effective_rank(two) == pytest.approx(math.exp(-0.9 * math.log(0.9) - 0.1 * math.log(0.1)))
    assert effective_rank(embeddings(20_000, 8)) == pytest.approx(8, rel=0.01)


def test_effective_rank_does_not_know_scale_and_rotation():
    z, rotation = embeddings() * torch.tensor([5.0, 2, 1, 1, 0.1]), torch.linalg.qr(embeddings(5))[0]
    for centred in (True, False):
        wanted = effective_rank(z, centred=centred)
        assert effective_rank(z @ rotation * 100, centred=centred) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, -3e4])
def test_constant_embeddings_use_no_dimension(value):
    for n in (30, 999):
        assert effective_rank(torch.full((n, 4), value, dtype=torch.float64)) == 0


def test_only_what_is_not_centred_sees_a_collapse():
    around = torch.tensor([3.0, 0, 0, 0, 0, 0, 0, 0]) + 1e-3 * embeddings(5000, 8)
    assert effective_rank(around) > 7.9
    assert effective_rank(around, centred=False) == pytest.approx(1, abs=1e-4)
    assert uncentred_variance(around) == pytest.approx(7 * 1e-6 / 9, rel=0.05)


def network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def test_a_teacher_follows():
    teacher, student = network(0), network(1)
    student(torch.randn(50, 3) * 3 + 1)  # moves its buffers
    before, fast = copy.deepcopy(teacher.state_dict()), copy.deepcopy(student.state_dict())
    follow(teacher, student, 0.9)
    for name, value in teacher.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.9 * before[name] + 0.1 * fast[name])
        assert torch.equal(student.state_dict()[name], fast[name])
    assert teacher[1].num_batches_tracked == 1
    assert not torch.equal(teacher[1].running_mean, before["1.running_mean"])
    follow(teacher, student, 0.0)
    assert all(torch.equal(value, fast[name]) for name, value in teacher.state_dict().items())


def test_a_teacher_gets_there_at_the_known_pace():
    teacher, student = network(0), network(1)
    distance = (teacher[0].weight - student[0].weight).norm().item()
    for _ in range(20):
        follow(teacher, student, 0.9)
    assert (teacher[0].weight - student[0].weight).norm().item() == pytest.approx(distance * 0.9**20, rel=1e-4)


def test_an_ema_teacher_moves_then_embeds():
    student = network(0)
    teacher, x = EMATeacher(student, 0.9), torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    by_hand = copy.deepcopy(student)
    for seed in (1, 2, 3):
        student.load_state_dict(network(seed).state_dict())
        follow(by_hand, student, 0.9)
        h = teacher(x.requires_grad_())
        torch.testing.assert_close(h, by_hand(x))
        assert not h.requires_grad
    assert all(torch.equal(a, b) for a, b in zip(student.parameters(), network(3).parameters(), strict=True))
    assert len(list(teacher.parameters())) == len(list(student.parameters()))  # the student is no part of it
    assert not any(p.requires_grad for p in teacher.parameters()) and all(p.requires_grad for p in student.parameters())
    teacher.eval()
    assert student.training and not teacher.encoder[1].training
    torch.testing.assert_close(teacher(x)[:5], teacher(x)[:5], rtol=0.1, atol=0.1)


def test_a_frozen_teacher_gives_what_it_gave():
    student = network(0).eval()
    teacher, x = EMATeacher(student, 1.0), embeddings(6, 3)
    before = student(x).detach()
    student.load_state_dict(network(1).state_dict())
    torch.testing.assert_close(teacher(x), before)
    teacher.momentum = 0.0
    torch.testing.assert_close(teacher(x), student(x).detach())


def test_rules_pair_in_fit():
    x = embeddings(64, 4)

    def loss(h, positive, negative):
        seen.append(positive)
        return masked_info_nce(similarity_matrix(h, h), positive, negative, temperature=0.5)

    for rule, share in (("self", 0.1), ("teacher", 0.1), ("pixels", 0.2)):
        encoder, seen = MLP(4, 2, (8,), generator=torch.Generator().manual_seed(0)), []
        teacher = EMATeacher(encoder, 0.99)
        rules = {
            "self": lambda h, x: quantile(h, 0.1),
            "teacher": lambda h, x, teacher=teacher: quantile(teacher(x), 0.1),
            "pixels": lambda h, x: quantile(x, 0.2),
        }
        history = fit(
            encoder, Pairs(x, x + 0.01), loss=loss, steps=8, batch=16, pairing=rules[rule],
            generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
        assert len(history.loss) == len(seen) == 8
        for positive in seen:
            assert positive.shape == (32, 32) and positive.sum() / (32 * 31) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_distances_in_half_precision_and_far_from_the_origin(kind):
    near = torch.tensor([[0.0], [2.0], [6.0]])
    far = (near + 256).to(kind)  # 2 is the step of bfloat16 here
    for rule in (lambda z: threshold(z, 2.0), lambda z: quantile(z, 0.3), lambda z: mutual_nearest(z, 1)):
        assert pairs(rule(far)) == pairs(rule(near)) == pairs(rule(near + 10_000)) == {(0, 1)}
        with torch.autocast("cpu", dtype=kind):
            assert pairs(rule(near + 10_000)) == {(0, 1)}
    positions = torch.stack([far[:, 0], far[:, 0] * 0], 1)
    assert pairs(adjacent(positions, torch.zeros(3).long(), 2.0)) == {(0, 1)}
    huge = 2**26 + torch.tensor([[0, 0], [1, 0], [3, 0]])  # float32 has no odd numbers here
    assert pairs(adjacent(huge, torch.zeros(3).long(), 1.0)) == {(0, 1)}
    assert pairs(probable(torch.full((2, 2), 60_000.0, dtype=kind), 0.9)) == {(0, 1)}  # the sum overflows float16
    assert effective_rank(far) == pytest.approx(1) and uncentred_variance(far) == pytest.approx(0, abs=1e-12)


Z, TRUTH, STUDENT = embeddings(4), torch.ones(4, 4, dtype=torch.bool), network(0)
MASKS = Masks(~torch.eye(4, dtype=torch.bool), torch.zeros(4, 4, dtype=torch.bool))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: threshold(Z, -1.0), ValueError, "distance"),
        (lambda: threshold(Z, float("nan")), ValueError, "distance"),
        (lambda: threshold(Z, math.inf), ValueError, "distance"),
        (lambda: threshold(Z[:1], 1.0), ValueError, "embeddings: wanted at least 2 rows, got 1"),
        (lambda: threshold(Z[0], 1.0), ValueError, r"embeddings: wanted Float.* got f32\[5\]"),
        (lambda: threshold(Z / 0, 1.0), ValueError, "embeddings: there are values that are not finite"),
        (lambda: quantile(Z * torch.nan, 0.5), ValueError, "embeddings: there are values that are not finite"),
        (lambda: threshold(Z.long(), 1.0), TypeError, r"embeddings: wanted Float.* got i64"),
        (lambda: threshold(Z.numpy(), 1.0), TypeError, r"embeddings: wanted Float.* got f32\[4,5\]\(numpy\)"),
        (lambda: quantile(Z, 0.0), ValueError, "share: wanted a number between 0 and 1, neither of them"),
        (lambda: quantile(Z, 1.0), ValueError, "share: wanted a number between 0 and 1, neither of them"),
        (lambda: mutual_nearest(Z, 0), ValueError, "k: wanted a whole number ≥ 1, got 0"),
        (lambda: mutual_nearest(Z, 4), ValueError, "k: wanted at most 3"),
        (lambda: adjacent(Z, torch.arange(4), 1), ValueError, r"positions: wanted Real.* got f32\[4,5\]"),
        (lambda: adjacent(Z[:, :2], torch.arange(3), 1), ValueError, r"images: wanted Integer.* n = 4, got i64\[3\]"),
        (lambda: adjacent(Z[:1, :2], torch.arange(1), 1), ValueError, "positions: wanted at least 2 rows"),
        (lambda: adjacent(Z[:, :2] / 0, torch.arange(4), 1), ValueError, "positions: there are values that are not"),
        (lambda: adjacent(Z[:, :2], torch.arange(4), 0), ValueError, "reach"),
        (lambda: adjacent(Z[:, :2], torch.zeros(4), 1), TypeError, "images: wanted Integer.* got f32"),
        (lambda: same_image(torch.zeros(4)), TypeError, "images: wanted Integer.* got f32"),
        (lambda: same_image(torch.zeros(4) > 0), TypeError, "images: wanted Integer.* got bool"),
        (lambda: same_image(torch.zeros(1).long()), ValueError, "images: wanted at least 2 rows, got 1"),
        (lambda: probable(Z), ValueError, r"logits: wanted Float\[Tensor, 'n n'\].* got f32\[4,5\]"),
        (lambda: probable(Z @ Z.T / 0), ValueError, "logits: there are values that are not finite"),
        (lambda: probable(torch.ones(1, 1)), ValueError, "logits: wanted at least 2 rows"),
        (lambda: probable(Z @ Z.T, 0.0), ValueError, "at_least"),
        (lambda: probable(Z @ Z.T, 1.0), ValueError, "at_least"),
        (lambda: false_negative_rate(MASKS, TRUTH[:3]), ValueError, r"truth: wanted Bool.* got bool\[3,4\]"),
        (lambda: false_negative_rate(MASKS, TRUTH[:3, :3]), ValueError, r"truth: wanted shape \(4, 4\).* got \(3, 3\)"),
        (lambda: false_negative_rate(MASKS, TRUTH.float()), TypeError, "truth: wanted Bool"),
        (lambda: positive_share(TRUTH), TypeError, "masks: wanted Masks"),
        (lambda: false_negative_rate(MASKS, ~TRUTH), ValueError, "truth: no pair belongs together"),
        (lambda: uncentred_variance(Z[0]), ValueError, "embeddings"),
        (lambda: effective_rank(Z * torch.nan), ValueError, "embeddings"),
        (lambda: effective_rank(Z[:1]), ValueError, "embeddings: wanted at least 2 rows"),
        (lambda: follow(network(0), network(1), -0.1), ValueError, "momentum"),
        (lambda: EMATeacher(STUDENT, 1.1), ValueError, "momentum: wanted a number from 0 to 1"),
        (lambda: follow(network(0), network(1), 1.1), ValueError, "momentum"),
        (lambda: follow(network(0), nn.Linear(3, 4), 0.9), ValueError, "teacher, student: wanted parameters"),
        (lambda: follow(STUDENT, STUDENT, 0.9), ValueError, "teacher: wanted a copy"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
