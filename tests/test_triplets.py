"""hssl.worlds.contours.triplets: each window is a pair of `contours`, the ratio is exact, one window is blind."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp, kstest, multivariate_normal, norm, vonmises
from sklearn.metrics import log_loss, roc_auc_score

from hssl.pairs import Pairs
from hssl.worlds.contours import Ceiling, Contours, ContourTriplets, Relations, features

WORLD = Contours()
N = 200_000
PERSISTENCE = (0.5, 0.8, 0.95)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def windows(pairs):
    """Both windows as relations, in double precision, from their features."""
    return tuple(map(relations, (pairs.first.double(), pairs.second.double())))


def relations(window):
    x, y, cos, sin, *contrasts = window.T
    return Relations(torch.hypot(x, y), torch.atan2(y, x), torch.atan2(sin, cos) / 2 % math.pi, *contrasts)


def pairs_of(first, second):
    return Pairs(features(first), features(second))


def double(pairs):
    return Pairs(pairs.first.double(), pairs.second.double())


def ratio_of(pairs, persistence, **settings):
    return ContourTriplets(persistence, **settings).log_likelihood_ratio(pairs)


def folded(angle):
    """An angle known up to π, in [−π/2, π/2)."""
    return (angle + math.pi / 2) % math.pi - math.pi / 2


def mirrored(member):
    return member * member.new_tensor([1, -1, 1, -1, 1, 1])


@pytest.fixture(scope="module")
def triplets():
    return {a: ContourTriplets(a).sample(N, seeded(i)) for i, a in enumerate((0, *PERSISTENCE))}


# the windows
@pytest.mark.parametrize("a", [0, 0.5, 0.95, 0.999])
def test_either_window_is_distributed_as_pairs_are(a):
    """Field by field, what is left of the turn, and all that the pairs' own ratio depends on."""
    wanted, bend = WORLD.relations(N, True, seeded(9)), vonmises(8)
    for window in windows(ContourTriplets(a).sample(N, seeded(10))):
        both = ((*pairs, WORLD.log_likelihood_ratio(pairs)) for pairs in (window, wanted))
        for found in zip(*both, strict=True):
            assert ks_2samp(*found).pvalue > 0.005
        assert kstest(window.azimuth, lambda x: (bend.cdf(x) + bend.cdf(x - math.pi) + 0.5) / 2).pvalue > 0.005
        assert kstest(folded(window.turn - 2 * window.azimuth), vonmises(12).cdf).pvalue > 0.005
        assert np.corrcoef(window.contrast_1, window.contrast_2)[0, 1] == pytest.approx(0.6, abs=4 * 0.64 / N**0.5)


def test_only_bends_persist(triplets):
    """Correlations of all that is in the first window with all that is in the second, within 4.5 standard errors."""
    for a, pairs in triplets.items():
        columns = []
        for w in windows(pairs):
            columns += [w.distance, folded(w.azimuth), w.azimuth.cos(), folded(w.turn - 2 * w.azimuth), *w[3:]]
        found = torch.corrcoef(torch.stack(columns).double())[:6, 6:]
        assert found[1, 1].item() == pytest.approx(a, abs=0.02)  # von Mises bends, not normal ones
        found[1, 1] = 0
        assert found.abs().max() < 4.5 / math.sqrt(N)


def test_deviates_of_the_bends_are_jointly_normal(triplets):
    """Bends beyond a quarter turn, 1 in 10⁴, are read the wrong way round."""
    for a, pairs in triplets.items():
        u, v = (norm.ppf(vonmises(8).cdf(folded(window.azimuth))) for window in windows(pairs))
        s, d = (u + v) / math.sqrt(2 + 2 * a), (u - v) / math.sqrt(2 - 2 * a)
        assert kstest(s, norm.cdf).pvalue > 0.005 and kstest(d, norm.cdf).pvalue > 0.005
        assert abs(np.corrcoef(s, d)[0, 1]) < 4.5 / math.sqrt(N) and abs(np.corrcoef(s**2, d**2)[0, 1]) < 0.01


def test_samples_are_deterministic():
    one, same, other = (ContourTriplets(0.8).sample(50, seeded(seed)) for seed in (3, 3, 4))
    for a, b, c in zip(*((of.first, of.second) for of in (one, same, other)), strict=True):
        assert torch.equal(a, b) and (a != c).all() and a.shape == (50, 6) and a.dtype == torch.float32


def test_deviates_make_pairs_by_their_quantiles():
    u = torch.linspace(-4, 4, 101)
    pairs = WORLD.on_contour(u.expand(5, -1), torch.arange(101) < 50)
    bend = torch.tensor(vonmises(8).ppf(norm.cdf(u)))
    torch.testing.assert_close(pairs.azimuth[:50].double(), bend[:50], atol=1e-5, rtol=0)
    assert torch.allclose((pairs.azimuth - bend)[50:].abs(), torch.tensor(math.pi).double(), atol=1e-5)
    torch.testing.assert_close(
        folded(pairs.turn - 2 * bend), torch.tensor(vonmises(12).ppf(norm.cdf(u))), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(pairs.contrast_2, 1.4 * u)


# a world of pairs
def test_the_truth_is_the_first_s():
    pairs = ContourTriplets(0.8).sample(100, seeded(3))
    x, y = pairs.first[:, 0], pairs.first[:, 1]
    distance = torch.hypot(x, y)
    torch.testing.assert_close(pairs.truth["distance"], distance)
    twice = torch.stack([2 * x * y, x**2 - y**2], 1) / distance[:, None] ** 2  # sine and cosine of the doubled angle
    torch.testing.assert_close(pairs.truth["bend"], twice)


def bends_correlate(pairs):
    bends = torch.stack([torch.atan(of[:, 1] / of[:, 0]) for of in (pairs.first, pairs.second)])
    return torch.corrcoef(bends)[0, 1].item()


def test_bends_of_a_pair_persist_until_pairs_are_shuffled():
    pairs = ContourTriplets(0.8, contours=Contours(kappa_bend=20.0)).sample(N, seeded(4))
    assert bends_correlate(pairs) == pytest.approx(0.8, abs=0.01)
    assert abs(bends_correlate(pairs.shuffled(seeded(5)))) < 4.5 / math.sqrt(N)


# shuffling
def test_in_shuffled_pairs_nothing_persists(triplets):
    shuffled, free = triplets[0.95].shuffled(seeded(5)), triplets[0]
    first, second = windows(shuffled)
    assert abs(np.corrcoef(folded(first.azimuth), folded(second.azimuth))[0, 1]) < 4 / math.sqrt(N)
    assert ks_2samp(ratio_of(shuffled, 0.95), ratio_of(free, 0.95)).pvalue > 0.005


# the ratio
def by_scipy(pairs, a, bend):
    """Joint density of two azimuths over the product of their own, all four readings of each."""
    total, angles = [0.0, 0.0], [np.asarray(window.azimuth) for window in windows(pairs)]
    for i in (0, 1):
        for j in (0, 1):
            b, c = ((x + k * np.pi + np.pi) % (2 * np.pi) - np.pi for x, k in zip(angles, (i, j), strict=True))
            apart = bend.pdf(b) * bend.pdf(c)
            u, v = (norm.ppf(bend.cdf(-abs(x))) * -np.sign(x) for x in (b, c))
            joint = multivariate_normal([0, 0], [[1, a], [a, 1]]).pdf(np.stack([u, v], 1))
            total = [total[0] + apart * joint / (norm.pdf(u) * norm.pdf(v)), total[1] + apart]
    return torch.tensor(np.log(total[0] / total[1]))


@pytest.mark.parametrize("concentration", [1.0, 8.0])
@pytest.mark.parametrize("a", PERSISTENCE)
def test_the_ratio_against_scipy(a, concentration):
    contours = Contours(kappa_bend=concentration)
    single = ContourTriplets(a, contours=contours).sample(2000, seeded(6))
    found = ratio_of(double(single), a, contours=contours)
    torch.testing.assert_close(found, by_scipy(single, a, vonmises(concentration)), atol=2e-6, rtol=1e-6)
    assert ratio_of(single, a, contours=contours).dtype == torch.float32


def test_without_persistence_the_ratio_is_one(triplets):
    assert ratio_of(double(triplets[0.8]), 0).abs().max() < 1e-12


@pytest.mark.parametrize("a", PERSISTENCE)
def test_the_ratio_turns_independent_windows_into_persistent_ones(triplets, a):
    """Weighted by it, the mean of anything is that of persistent triplets: within 4 standard errors."""
    free, ratio = windows(triplets[0]), ratio_of(double(triplets[0]), a).exp()
    for mean in (
        lambda first, second: torch.ones(N),
        lambda first, second: (2 * first.azimuth).sin() * (2 * second.azimuth).sin(),
        lambda first, second: (2 * first.azimuth).cos() * (2 * second.azimuth).cos(),
        lambda first, second: (2 * (first.azimuth - second.azimuth)).cos(),
    ):
        weighted, wanted = mean(*free).double() * ratio, mean(*windows(triplets[a])).double()
        error = math.sqrt((weighted.var() + wanted.var()) / N)
        assert error < 0.02
        assert weighted.mean().item() == pytest.approx(wanted.mean().item(), abs=4 * error)


def test_what_the_ratio_must_not_depend_on(triplets):
    pairs, other = double(triplets[0.8]), double(triplets[0])
    ratio = ratio_of(pairs, 0.8)
    back = [member * torch.tensor([-1, -1, 1, 1, 1, 1]) for member in (pairs.first, pairs.second)]  # turned by π
    moved = [
        torch.cat([a[:, :2] / 2, b[:, 2:]], 1) for a, b in ((pairs.first, other.first), (pairs.second, other.second))
    ]
    alike = {
        "mirror": Pairs(mirrored(pairs.first), mirrored(pairs.second)),
        "second before first": Pairs(pairs.second, pairs.first),
        "front and back of the first": Pairs(back[0], pairs.second),
        "front and back of both": Pairs(*back),
        "all but the azimuths": Pairs(*moved),
    }
    for name, same in alike.items():
        torch.testing.assert_close(ratio_of(same, 0.8), ratio, atol=1e-9, rtol=1e-9, msg=name)
    assert ratio_of(Pairs(pairs.first, mirrored(pairs.second)), 0.8).mean() < -1  # an S is no C


def test_deep_tails_are_finite():
    angles = torch.tensor([0.0, -0.0, 1e-9, math.pi / 2, 3.1415925, -math.pi])
    first, second = torch.cartesian_prod(angles, angles).T
    field = Relations(*torch.ones(5, 36))
    pairs = pairs_of(field._replace(azimuth=first), field._replace(azimuth=second))
    for concentration in (0.01, 8.0, 10_000.0):
        ratio = ratio_of(pairs, 0.999, contours=Contours(kappa_bend=concentration))
        assert ratio.isfinite().all()
        torch.testing.assert_close(ratio.view(6, 6), ratio.view(6, 6).T)


# blindness, and the best observer
def auc(one, other):
    return roc_auc_score(np.r_[np.ones(len(one)), np.zeros(len(other))], torch.cat([one, other]))


@pytest.mark.parametrize("a", PERSISTENCE)
def test_one_window_alone_is_blind(triplets, a):
    """Within 4 standard errors of ½, 1 / √(6 n) each; both windows are not."""
    kinds = {
        "the ratio of pairs": WORLD.log_likelihood_ratio,
        "bend": lambda pairs: folded(pairs.azimuth),
        "size of the bend": lambda pairs: folded(pairs.azimuth).abs(),
        "turn": lambda pairs: folded(pairs.turn),
        "off the circle": lambda pairs: folded(pairs.turn - 2 * pairs.azimuth).abs(),
        "distance": lambda pairs: pairs.distance,
        "contrasts": lambda pairs: pairs.contrast_1 * pairs.contrast_2,
    }
    for name, kind in kinds.items():
        for one, other in zip(windows(triplets[a]), windows(triplets[0]), strict=True):
            assert auc(kind(one), kind(other)) == pytest.approx(0.5, abs=4 / math.sqrt(6 * N)), name
    both = [windows(triplets[b]) for b in (a, 0)]
    product = [folded(first.azimuth) * folded(second.azimuth) for first, second in both]
    assert auc(*product) > 0.58


def test_the_best_observer_by_chance_and_by_quadrature(triplets):
    for a in PERSISTENCE:
        ratios = [ratio_of(double(triplets[b]), a) for b in (a, 0)]
        label, ratio = np.r_[np.ones(N), np.zeros(N)], torch.cat(ratios)
        found = ContourTriplets(a).ceiling()
        loss = torch.nn.functional.softplus(torch.where(torch.arange(2 * N) < N, -ratio, ratio))
        assert log_loss(label, torch.sigmoid(ratio)) == pytest.approx(loss.mean().item())
        error = math.sqrt(loss[:N].var() + loss[N:].var()) / 2 / math.sqrt(N)
        assert found.nats == pytest.approx(math.log(2) - loss.mean().item(), abs=4 * error)
        assert found.auc == pytest.approx(auc(*ratios), abs=4 * 0.5 / math.sqrt(N))
        error = ratios[0].std().item() / math.sqrt(N)
        assert found.information == pytest.approx(ratios[0].mean().item(), abs=4 * error)


def test_the_book_s_figures():
    found = torch.tensor([ContourTriplets(a).ceiling() for a in PERSISTENCE])
    wanted = [[0.03680, 0.63597, 0.14331], [0.13361, 0.75922, 0.51035], [0.29206, 0.87577, 1.16359]]
    torch.testing.assert_close(found, torch.tensor(wanted), atol=6e-6, rtol=0)


def test_another_model_by_chance_and_by_quadrature():
    """Nearly uniform bends, where all readings count."""
    contours, n = Contours(kappa_bend=0.5), 400_000
    on, off = (
        ratio_of(ContourTriplets(a, contours=contours).sample(n, seeded(7 + i)), 0.95, contours=contours).double()
        for i, a in enumerate((0.95, 0))
    )
    found = ContourTriplets(0.95, contours=contours).ceiling()
    assert found.auc == pytest.approx(auc(on, off), abs=4 * 0.5 / math.sqrt(n))
    assert found.information == pytest.approx(on.mean().item(), abs=4 * on.std().item() / math.sqrt(n) + 1e-3)
    assert found.information < 0.8 * ContourTriplets(0.95).ceiling().information


@pytest.mark.parametrize("a", [0.1, *PERSISTENCE, 0.999])
def test_narrow_bends_hide_nothing(a):
    """Known not up to π but as they are: bends carry −½ log(1 − a²), and the ratio is that of two normal deviates."""
    found = ContourTriplets(a, contours=Contours(kappa_bend=1000.0)).ceiling()
    assert found.information == pytest.approx(-math.log(1 - a**2) / 2, rel=1e-5)
    u = np.linspace(-7, 7, 2001)
    p, q = (multivariate_normal([0, 0], [[1, r], [r, 1]]).logpdf(np.dstack(np.meshgrid(u, u))) for r in (a, 0))
    lost = (np.exp(p) * np.logaddexp(0, q - p) + np.exp(q) * np.logaddexp(0, p - q)).sum() * (u[1] - u[0]) ** 2 / 2
    assert found.nats == pytest.approx(math.log(2) - lost, abs=1e-5)
    assert (
        -1e-6 < ContourTriplets(a).ceiling().information - found.information + 0.006 < 0.006
    )  # the book's model hides a little


def test_more_persistence_is_more_to_find():
    found = [ContourTriplets(a).ceiling() for a in (0, 0.01, 0.1, 0.3, *PERSISTENCE, 0.99, 0.999)]
    assert found[0] == pytest.approx(Ceiling(0, 0.5, 0), abs=1e-10)
    for less, more in pairwise(found):
        assert all(a < b for a, b in zip(less, more, strict=True))
    narrow = ContourTriplets(0.01, contours=Contours(kappa_bend=1000.0)).ceiling()
    assert narrow.nats == pytest.approx(
        0.01**2 / 8, rel=1e-3
    )  # to second order, an eighth of the variance of the ratio
    assert found[-1].nats < math.log(2) and found[-1].auc < 1


# bad input
@pytest.mark.parametrize("a", [-0.1, 1.0, math.nan])
def test_a_persistence_out_of_range_is_named(a):
    with pytest.raises(ValueError, match=r"^persistence: wanted a number in"):
        ContourTriplets(a)


def test_bad_pairs_are_named():
    world = ContourTriplets(0.5)
    good = world.sample(3, seeded())
    with pytest.raises(TypeError, match=r"^generator: wanted Generator, got 0"):
        world.sample(3, 0)
    with pytest.raises(ValueError, match=r"^n: wanted a whole number ≥ 1, got 0"):
        world.sample(0, seeded())
    with pytest.raises(ValueError, match=r"^second: there are values that are not finite"):
        world.log_likelihood_ratio(Pairs(good.first, good.second * math.nan))
    for bad in (good.first[:, :5], good.first.int()):
        with pytest.raises(TypeError, match=r"^first: wanted Float"):
            world.log_likelihood_ratio(Pairs(bad, bad))
