"""hssl.worlds.chains: each window has the law of pairs, the ratio is exact, and no window alone says anything."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp, kstest, multivariate_normal, norm, vonmises
from sklearn.metrics import log_loss, roc_auc_score

from hssl.worlds.chains import Ceiling, Chain, ContourTriplets, dealt_anew, exact, log_likelihood_ratio, sample
from hssl.worlds.contours import Contours, Relations, features, law, sample_pairs

N = 200_000
PERSISTENCE = (0.5, 0.8, 0.95)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def double(chain):
    return Chain(*(Relations(*(field.double() for field in window)) for window in chain))


def folded(angle):
    """An angle known up to π, in [−π/2, π/2)."""
    return (angle + math.pi / 2) % math.pi - math.pi / 2


def mirrored(pairs):
    return pairs._replace(azimuth=-pairs.azimuth, turn=-pairs.turn % math.pi)


@pytest.fixture(scope="module")
def chains():
    return {a: sample(N, a, seeded(i)) for i, a in enumerate((0, *PERSISTENCE))}


# the windows
@pytest.mark.parametrize("a", [0, 0.5, 0.95, 0.999])
def test_either_window_has_the_law_of_pairs(a):
    """Field by field, what is left of the turn, and all that the law's own ratio depends on."""
    wanted, bend = sample_pairs(N, True, seeded(9)), vonmises(8)
    for window in sample(N, a, seeded(10)):
        both = ((*pairs, law.log_likelihood_ratio(pairs)) for pairs in (window, wanted))
        for found in zip(*both, strict=True):
            assert ks_2samp(*found).pvalue > 0.005
        assert kstest(window.azimuth, lambda x: (bend.cdf(x) + bend.cdf(x - math.pi) + 0.5) / 2).pvalue > 0.005
        assert kstest(folded(window.turn - 2 * window.azimuth), vonmises(12).cdf).pvalue > 0.005
        assert np.corrcoef(window.contrast_1, window.contrast_2)[0, 1] == pytest.approx(0.6, abs=4 * 0.64 / N**0.5)


def test_only_bends_persist(chains):
    """Correlations of all that is in the first window with all that is in the second, within 4.5 standard errors."""
    for a, chain in chains.items():
        columns = []
        for w in chain:
            columns += [w.distance, folded(w.azimuth), w.azimuth.cos(), folded(w.turn - 2 * w.azimuth), *w[3:]]
        found = torch.corrcoef(torch.stack(columns).double())[:6, 6:]
        assert found[1, 1].item() == pytest.approx(a, abs=0.02)  # von Mises bends, not normal ones
        found[1, 1] = 0
        assert found.abs().max() < 4.5 / math.sqrt(N)


def test_deviates_of_the_bends_are_jointly_normal(chains):
    """Bends beyond a quarter turn, 1 in 10⁴, are read the wrong way round."""
    for a, chain in chains.items():
        u, v = (norm.ppf(vonmises(8).cdf(folded(window.azimuth).double())) for window in chain)
        s, d = (u + v) / math.sqrt(2 + 2 * a), (u - v) / math.sqrt(2 - 2 * a)
        assert kstest(s, norm.cdf).pvalue > 0.005 and kstest(d, norm.cdf).pvalue > 0.005
        assert abs(np.corrcoef(s, d)[0, 1]) < 4.5 / math.sqrt(N) and abs(np.corrcoef(s**2, d**2)[0, 1]) < 0.01


def test_samples_are_deterministic():
    one, same, other = sample(50, 0.8, seeded(3)), sample(50, 0.8, seeded(3)), sample(50, 0.8, seeded(4))
    for a, b, c in zip(*(chain.first + chain.second for chain in (one, same, other)), strict=True):
        assert torch.equal(a, b) and not torch.equal(a, c) and a.shape == (50,) and a.dtype == torch.float32


def test_deviates_make_pairs_by_their_quantiles():
    u = torch.linspace(-4, 4, 101)
    pairs = law.on_contour(u.expand(5, -1), torch.arange(101) < 50)
    bend = torch.tensor(vonmises(8).ppf(norm.cdf(u)))
    torch.testing.assert_close(pairs.azimuth[:50].double(), bend[:50], atol=1e-5, rtol=0)
    assert torch.allclose((pairs.azimuth - bend)[50:].abs(), torch.tensor(math.pi).double(), atol=1e-5)
    torch.testing.assert_close(
        folded(pairs.turn - 2 * bend), torch.tensor(vonmises(12).ppf(norm.cdf(u))), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(pairs.contrast_2, 1.4 * u)


# a world of pairs
def test_members_are_the_two_windows_and_the_truth_is_the_first_s():
    pairs, chain = ContourTriplets(0.8).sample(100, seeded(3)), sample(100, 0.8, seeded(3))
    assert torch.equal(pairs.first, features(chain.first)) and torch.equal(pairs.second, features(chain.second))
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


# dealing anew
def test_dealt_anew_nobody_keeps_its_own(chains):
    chain, dealt = chains[0.95], dealt_anew(chains[0.95], seeded(5))
    assert all(torch.equal(a, b) for a, b in zip(chain.first, dealt.first, strict=True))
    before, after = torch.stack([*chain.second]), torch.stack([*dealt.second])  # (5, n)
    assert not (before == after).all(0).any()
    key = torch.tensor([1.0, math.pi, math.e, math.sqrt(2), math.sqrt(3)]).double()
    before, after = (torch.sort(key @ fields.double()).values for fields in (before, after))
    torch.testing.assert_close(before, after, atol=1e-12, rtol=0)  # windows stay whole, and all are used
    assert all(torch.equal(a, b) for a, b in zip(dealt.second, dealt_anew(chain, seeded(5)).second, strict=True))


def test_dealt_anew_nothing_persists(chains):
    dealt, free = dealt_anew(chains[0.95], seeded(5)), chains[0]
    found = np.corrcoef(folded(dealt.first.azimuth), folded(dealt.second.azimuth))[0, 1]
    assert abs(found) < 4 / math.sqrt(N)
    assert ks_2samp(log_likelihood_ratio(dealt, 0.95), log_likelihood_ratio(free, 0.95)).pvalue > 0.005


@pytest.mark.parametrize("n", [2, 3, 7])
def test_every_partner_but_its_own_is_as_likely(n):
    chain, count = sample(n, 0.5, seeded()), torch.zeros(n, n)
    for seed in range(600):
        second = dealt_anew(chain, seeded(seed)).second.distance
        count += (second[:, None] == chain.second.distance).float()
    wanted = 600 * (1 - torch.eye(n)) / (n - 1)
    assert ((count - wanted).abs() <= 4.5 * (wanted * (1 - wanted / 600)).sqrt()).all()


# the ratio
def by_scipy(chain, a, bend):
    """Joint density of two azimuths over the product of their own, all four readings of each."""
    total, angles = [0.0, 0.0], [np.asarray(window.azimuth) for window in chain]
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
    chain = double(sample(2000, a, seeded(6), contours=contours))
    found, wanted = log_likelihood_ratio(chain, a, contours=contours), by_scipy(chain, a, vonmises(concentration))
    torch.testing.assert_close(found, wanted, atol=2e-6, rtol=1e-6)
    single = Chain(*(Relations(*(field.float() for field in window)) for window in chain))
    assert log_likelihood_ratio(single, a, contours=contours).dtype == torch.float32


def test_without_persistence_there_is_nothing_to_tell(chains):
    assert log_likelihood_ratio(double(chains[0.8]), 0).abs().max() < 1e-12


@pytest.mark.parametrize("a", PERSISTENCE)
def test_the_ratio_turns_independent_chains_into_persistent_ones(chains, a):
    """Weighted by it, the mean of anything is that of persistent chains: within 4 standard errors."""
    free, ratio = chains[0], log_likelihood_ratio(double(chains[0]), a).exp()
    for mean in (
        lambda chain: torch.ones(N),
        lambda chain: (2 * chain.first.azimuth).sin() * (2 * chain.second.azimuth).sin(),
        lambda chain: (2 * chain.first.azimuth).cos() * (2 * chain.second.azimuth).cos(),
        lambda chain: (2 * (chain.first.azimuth - chain.second.azimuth)).cos(),
    ):
        weighted, wanted = mean(free).double() * ratio, mean(chains[a]).double()
        error = math.sqrt((weighted.var() + wanted.var()) / N)
        assert error < 0.02
        assert weighted.mean().item() == pytest.approx(wanted.mean().item(), abs=4 * error)


def test_what_the_ratio_must_not_depend_on(chains):
    chain, other = double(chains[0.8]), double(chains[0])
    ratio = log_likelihood_ratio(chain, 0.8)
    back = [w._replace(azimuth=(w.azimuth + 2 * math.pi) % (2 * math.pi) - math.pi) for w in chain]  # turned by π
    alike = {
        "mirror": Chain(*map(mirrored, chain)),
        "second before first": Chain(chain.second, chain.first),
        "front and back of the first": chain._replace(first=back[0]),
        "front and back of both": Chain(*back),
        "all but the azimuths": Chain(*(b._replace(azimuth=a.azimuth) for a, b in zip(chain, other, strict=True))),
    }
    for name, same in alike.items():
        torch.testing.assert_close(log_likelihood_ratio(same, 0.8), ratio, atol=1e-9, rtol=1e-9, msg=name)
    assert log_likelihood_ratio(chain._replace(second=mirrored(chain.second)), 0.8).mean() < -1  # an S is no C


def test_deep_tails_are_finite():
    angles = torch.tensor([0.0, -0.0, 1e-9, math.pi / 2, 3.1415925, -math.pi])
    first, second = torch.cartesian_prod(angles, angles).T
    pairs = Relations(*torch.ones(5, 36))
    for concentration in (0.01, 8.0, 10_000.0):
        chain = Chain(pairs._replace(azimuth=first), pairs._replace(azimuth=second))
        ratio = log_likelihood_ratio(chain, 0.999, contours=Contours(kappa_bend=concentration))
        assert ratio.isfinite().all()
        torch.testing.assert_close(ratio.view(6, 6), ratio.view(6, 6).T)


# blindness, and the best observer
def auc(one, other):
    return roc_auc_score(np.r_[np.ones(len(one)), np.zeros(len(other))], torch.cat([one, other]))


@pytest.mark.parametrize("a", PERSISTENCE)
def test_one_window_alone_is_blind(chains, a):
    """Within 4 standard errors of ½, 1 / √(6 n) each; both windows are not."""
    kinds = {
        "the law's own ratio": law.log_likelihood_ratio,
        "bend": lambda pairs: folded(pairs.azimuth),
        "size of the bend": lambda pairs: folded(pairs.azimuth).abs(),
        "turn": lambda pairs: folded(pairs.turn),
        "off the circle": lambda pairs: folded(pairs.turn - 2 * pairs.azimuth).abs(),
        "distance": lambda pairs: pairs.distance,
        "contrasts": lambda pairs: pairs.contrast_1 * pairs.contrast_2,
    }
    for name, kind in kinds.items():
        for one, other in zip(chains[a], chains[0], strict=True):
            assert auc(kind(one), kind(other)) == pytest.approx(0.5, abs=4 / math.sqrt(6 * N)), name
    product = [folded(chain.first.azimuth) * folded(chain.second.azimuth) for chain in (chains[a], chains[0])]
    assert auc(*product) > 0.58


def test_the_best_observer_by_chance_and_by_quadrature(chains):
    for a in PERSISTENCE:
        ratios = [log_likelihood_ratio(double(chains[b]), a) for b in (a, 0)]
        label, ratio = np.r_[np.ones(N), np.zeros(N)], torch.cat(ratios)
        found = exact(a)
        loss = torch.nn.functional.softplus(torch.where(torch.arange(2 * N) < N, -ratio, ratio))
        assert log_loss(label, torch.sigmoid(ratio)) == pytest.approx(loss.mean().item())
        error = math.sqrt(loss[:N].var() + loss[N:].var()) / 2 / math.sqrt(N)
        assert found.nats == pytest.approx(math.log(2) - loss.mean().item(), abs=4 * error)
        assert found.auc == pytest.approx(auc(*ratios), abs=4 * 0.5 / math.sqrt(N))
        error = ratios[0].std().item() / math.sqrt(N)
        assert found.information == pytest.approx(ratios[0].mean().item(), abs=4 * error)


def test_the_book_s_figures():
    found = torch.tensor([exact(a) for a in PERSISTENCE])
    wanted = [[0.03680, 0.63597, 0.14331], [0.13361, 0.75922, 0.51035], [0.29206, 0.87577, 1.16359]]
    torch.testing.assert_close(found, torch.tensor(wanted), atol=6e-6, rtol=0)


def test_another_law_by_chance_and_by_quadrature():
    """Nearly uniform bends, where all readings count."""
    contours, n = Contours(kappa_bend=0.5), 400_000
    on, off = (
        log_likelihood_ratio(sample(n, a, seeded(7 + i), contours=contours), 0.95, contours=contours).double()
        for i, a in enumerate((0.95, 0))
    )
    found = exact(0.95, contours=contours)
    assert found.auc == pytest.approx(auc(on, off), abs=4 * 0.5 / math.sqrt(n))
    assert found.information == pytest.approx(on.mean().item(), abs=4 * on.std().item() / math.sqrt(n) + 1e-3)
    assert found.information < 0.8 * exact(0.95).information


@pytest.mark.parametrize("a", [0.1, *PERSISTENCE, 0.999])
def test_narrow_bends_hide_nothing(a):
    """Known not up to π but as they are: bends carry −½ log(1 − a²), and the ratio is that of two normal deviates."""
    found = exact(a, contours=Contours(kappa_bend=1000.0))
    assert found.information == pytest.approx(-math.log(1 - a**2) / 2, rel=1e-5)
    u = np.linspace(-7, 7, 2001)
    p, q = (multivariate_normal([0, 0], [[1, r], [r, 1]]).logpdf(np.dstack(np.meshgrid(u, u))) for r in (a, 0))
    lost = (np.exp(p) * np.logaddexp(0, q - p) + np.exp(q) * np.logaddexp(0, p - q)).sum() * (u[1] - u[0]) ** 2 / 2
    assert found.nats == pytest.approx(math.log(2) - lost, abs=1e-5)
    assert -1e-6 < exact(a).information - found.information + 0.006 < 0.006  # the book's law hides a little


def test_more_persistence_is_more_to_find():
    found = [exact(a) for a in (0, 0.01, 0.1, 0.3, *PERSISTENCE, 0.99, 0.999)]
    assert found[0] == pytest.approx(Ceiling(0, 0.5, 0), abs=1e-10)
    for less, more in pairwise(found):
        assert all(a < b for a, b in zip(less, more, strict=True))
    narrow = exact(0.01, contours=Contours(kappa_bend=1000.0))
    assert narrow.nats == pytest.approx(
        0.01**2 / 8, rel=1e-3
    )  # to second order, an eighth of the variance of the ratio
    assert found[-1].nats < math.log(2) and found[-1].auc < 1


# bad input
@pytest.mark.parametrize("a", [-0.1, 1.0, math.nan])
def test_a_persistence_out_of_range_is_named(a):
    for call in (
        lambda: sample(3, a, seeded()),
        lambda: ContourTriplets(a),
        lambda: exact(a),
        lambda: log_likelihood_ratio(sample(3, 0, seeded()), a),
    ):
        with pytest.raises(ValueError, match=r"^persistence: wanted a number in"):
            call()


def test_bad_chains_are_named():
    good = sample(3, 0.5, seeded())
    for call in (lambda: sample(3, 0.5, 0), lambda: ContourTriplets(0.5).sample(3, 0), lambda: dealt_anew(good, 0)):
        with pytest.raises(TypeError, match=r"^generator: wanted Generator, got 0"):
            call()
    with pytest.raises(ValueError, match=r"^n: wanted a whole number ≥ 1, got 0"):
        sample(0, 0.5, seeded())
    with pytest.raises(ValueError, match=r"^n: wanted at least 2 rows to shuffle, got 1"):
        dealt_anew(sample(1, 0.5, seeded()), seeded())
    short = good._replace(second=sample(2, 0.5, seeded()).second)
    nan = good._replace(second=good.second._replace(azimuth=torch.full((3,), math.nan)))
    whole = good._replace(first=good.first._replace(azimuth=torch.zeros(3).int()))
    for call in (lambda chain: dealt_anew(chain, seeded()), lambda chain: log_likelihood_ratio(chain, 0.5)):
        with pytest.raises(ValueError, match=r"^chain: wanted windows of one shape, got \(3,\) and \(2,\)"):
            call(short)
        with pytest.raises(ValueError, match=r"^azimuth: "):
            call(nan)
        with pytest.raises(TypeError, match=r"^azimuth: "):
            call(whole)
