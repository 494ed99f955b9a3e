"""hssl.losses: values known in closed form, invariances, gradients, and scikit-learn as an independent judge."""

import math

import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import log_loss
from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances

from hssl.losses import SIMILARITIES, alignment, info_nce, uniformity


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


def test_alignment_and_uniformity_in_closed_form():
    a = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    assert alignment(a, torch.zeros(2, 2)).item() == 12.5
    assert uniformity(a).item() == pytest.approx(-25)
    assert uniformity(torch.ones(9, 2)).item() == pytest.approx(0, abs=1e-6)


GOOD = torch.zeros(4, 3)


@pytest.mark.parametrize(
    ("a", "b", "settings", "error", "message"),
    [
        (GOOD, torch.zeros(5, 3), {}, ValueError, "positives: wanted the anchors' shape"),
        (GOOD[:1], GOOD[:1], {}, ValueError, "at least 2"),
        (torch.zeros(0, 3), torch.zeros(0, 3), {}, ValueError, "at least 2"),
        (torch.zeros(4), torch.zeros(4), {}, ValueError, r"wanted shape \(batch, dim\)"),
        (GOOD.long(), GOOD, {}, TypeError, "anchors: wanted a floating-point tensor"),
        (GOOD, GOOD.numpy(), {}, TypeError, "positives: wanted a floating-point tensor"),
        (GOOD, GOOD / 0, {}, ValueError, "NaN"),
        (GOOD, GOOD, {"temperature": 0.0}, ValueError, "temperature"),
        (GOOD, GOOD, {"temperature": -1.0}, ValueError, "temperature"),
        (GOOD, GOOD, {"temperature": float("nan")}, ValueError, "temperature"),
        (GOOD, GOOD, {"similarity": "manhattan"}, ValueError, "cosine, dot, euclidean"),
    ],
)
def test_bad_input_is_named(a, b, settings, error, message):
    with pytest.raises(error, match=message):
        info_nce(a, b, **settings)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_uniformity_wants_a_temperature(temperature):
    with pytest.raises(ValueError, match="temperature"):
        uniformity(GOOD, temperature=temperature)
