"""hssl.worlds.contours.contours: samples and ratios against scipy, invariances, and the ideal observer."""

import math

import pytest
import torch
from scipy.stats import gamma, kstest, multivariate_normal, norm, uniform, vonmises
from sklearn.metrics import log_loss, roc_auc_score

from hssl.worlds.contours import Contours, Relations, features, swapped

WORLD = Contours()
N = 200_000
CUES = ("proximity", "azimuth", "cocircular", "luminance")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def double(pairs):
    return Relations(*(field.double() for field in pairs))


@pytest.fixture(scope="module")
def same():
    return double(WORLD.relations(N, True, seeded()))


@pytest.fixture(scope="module")
def background():
    return double(WORLD.relations(N, False, seeded(1)))


# samples: Kolmogorov–Smirnov's p-value is above 0.01, which at n = 200,000 is a distance below 0.0037
def fits(sample, cdf):
    assert kstest(sample.numpy(), cdf).pvalue > 0.01


def folded(angle):
    """An angle known up to π, in [−π/2, π/2)."""
    return (angle + math.pi / 2) % math.pi - math.pi / 2


def test_distances_on_a_contour_are_gamma(same):
    whole = gamma(4, scale=0.4)
    fits(same.distance, lambda d: (whole.cdf(d) - whole.cdf(0.5)) / (whole.cdf(5) - whole.cdf(0.5)))
    share, wanted = (same.distance > 4).double().mean(), whole.sf(4) - whole.sf(5)
    assert share.item() == pytest.approx(wanted, abs=4 * math.sqrt(wanted / N))  # the tail, within 4 standard errors


def test_bends_on_a_contour_are_von_mises(same):
    bend = vonmises(8)
    fits(same.azimuth, lambda x: (bend.cdf(x) + bend.cdf(x - math.pi) + 0.5) / 2)
    turn = vonmises(12)
    below = turn.cdf(-math.pi / 2) + turn.cdf(math.pi / 2)
    fits(folded(same.turn - 2 * same.azimuth), lambda x: turn.cdf(x) + turn.cdf(x + math.pi) - below)


def test_contrasts_on_a_contour_are_correlated(same):
    fits(same.contrast_1, norm.cdf)
    fits((same.contrast_2 - 0.6 * same.contrast_1) / 0.8, norm.cdf)


def test_the_background_is_uniform(background):
    fits(background.distance**2, uniform(0.25, 24.75).cdf)
    fits(background.azimuth, uniform(-math.pi, 2 * math.pi).cdf)
    fits(background.turn, uniform(0, math.pi).cdf)
    fits(background.contrast_1, norm.cdf)
    fits(background.contrast_2, norm.cdf)


def test_what_is_independent_is_uncorrelated(same, background):
    """Within 4.5 standard errors, among distances, bends, turns and contrasts."""
    rest = folded(same.turn - 2 * same.azimuth)
    own = torch.stack([same.distance, folded(same.azimuth), rest, same.contrast_1])
    for columns in (own, torch.stack([*background])):
        assert torch.corrcoef(columns).fill_diagonal_(0).abs().max() < 4.5 / math.sqrt(N)


@pytest.mark.parametrize("same", [True, False, 0.5])
def test_samples_are_in_range_and_deterministic(same):
    pairs = WORLD.relations(N, same, seeded(3))
    assert all(torch.equal(a, b) for a, b in zip(pairs, WORLD.relations(N, same, seeded(3)), strict=True))
    assert all(field.shape == (N,) and field.dtype == torch.float32 for field in pairs)
    assert 0.5 <= pairs.distance.min() < 0.55 and 4.9 < pairs.distance.max() <= 5
    assert -math.pi <= pairs.azimuth.double().min() + 1e-6 and pairs.azimuth.max() < math.pi
    assert pairs.turn.min() >= 0 and pairs.turn.max() < math.pi


def test_booleans_and_a_probability_mix_the_two():
    which = torch.arange(N) % 4 == 0
    ratio = WORLD.log_likelihood_ratio(WORLD.relations(N, which, seeded()))
    assert ratio[which].mean() > 2 and ratio[~which].mean() < -5
    mixed = WORLD.log_likelihood_ratio(WORLD.relations(N, 0.25, seeded()))
    error = (ratio.var() / N).sqrt().item()
    assert mixed.mean().item() == pytest.approx(ratio.mean().item(), abs=6 * error)


# the ratio
def by_scipy(pairs):
    d, azimuth, turn, c1, c2 = (field.numpy() for field in pairs)
    whole, bend, rest = gamma(4, scale=0.4), vonmises(8), vonmises(12)
    on = [
        whole.pdf(d) / (whole.cdf(5) - whole.cdf(0.5)),
        (bend.pdf(azimuth) + bend.pdf(azimuth - math.pi)) / 2,
        rest.pdf(turn - 2 * azimuth) + rest.pdf(turn - 2 * azimuth + math.pi),
        multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]]).pdf(torch.stack([pairs[3], pairs[4]], 1).numpy()),
    ]
    off = [2 * d / 24.75, 1 / (2 * math.pi), 1 / math.pi, norm.pdf(c1) * norm.pdf(c2)]
    return {name: torch.tensor(a / b).log() for name, a, b in zip(CUES, on, off, strict=True)}


def test_cues_against_scipy(same, background):
    for pairs in (same, background):
        wanted = by_scipy(pairs)
        for name, cue in WORLD.cues(pairs).items():
            torch.testing.assert_close(cue, wanted[name], atol=1e-9, rtol=1e-9)
        single = WORLD.log_likelihood_ratio(Relations(*(field.float() for field in pairs)))
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), sum(wanted.values()), atol=1e-5, rtol=1e-6)


def test_the_mean_ratio_in_the_background_is_one():
    """Within 4 standard errors: at 2,000,000 pairs below 0.004 for a cue alone, and 0.02 for all."""
    found = WORLD.cues(WORLD.relations(2_000_000, False, seeded(2)))
    for ratio in (*found.values(), sum(found.values())):
        ratio = ratio.double().exp()
        error = (ratio.std() / math.sqrt(len(ratio))).item()
        assert error < 0.01
        assert ratio.mean().item() == pytest.approx(1, abs=4 * error)


def information(ratio, label):
    return 1 - log_loss(label, torch.sigmoid(ratio)) / math.log(2)


def test_the_ideal_observer(same, background):
    """Known figures, from 400,000 other pairs: the tolerance is 4 standard errors, or the last digit given."""
    pairs = Relations(*(torch.cat(fields) for fields in zip(same, background, strict=True)))
    label, ratio = torch.cat([torch.ones(N), torch.zeros(N)]), WORLD.log_likelihood_ratio(pairs)
    assert log_loss(label, torch.sigmoid(ratio)) == pytest.approx(0.180, abs=0.003)
    assert roc_auc_score(label, ratio) == pytest.approx(0.978, abs=0.001)
    found = [information(cue, label) for cue in [*WORLD.cues(pairs).values(), ratio]]
    assert found == pytest.approx([0.388, 0.289, 0.370, 0.084, 0.740], abs=0.004)


# a world of pairs
def test_members_describe_themselves_in_a_common_frame():
    """Whoever relates the two members again gets the distribution of pairs back."""
    pairs = WORLD.sample(N, seeded(7))
    x, y, cos, sin, contrast = pairs.first.double().T
    fits(x, uniform(-4, 8).cdf)
    fits(y, uniform(-4, 8).cdf)
    fits(torch.atan2(sin, cos), uniform(-math.pi, 2 * math.pi).cdf)
    fits(contrast, norm.cdf)
    assert torch.corrcoef(pairs.first.T).fill_diagonal_(0).abs().max() < 4.5 / math.sqrt(N)
    seen = double(WORLD.relate(pairs.first, pairs.second))
    whole, bend, turn = gamma(4, scale=0.4), vonmises(8), vonmises(12)
    fits(seen.distance, lambda d: (whole.cdf(d) - whole.cdf(0.5)) / (whole.cdf(5) - whole.cdf(0.5)))
    fits(seen.azimuth, lambda a: (bend.cdf(a) + bend.cdf(a - math.pi) + 0.5) / 2)
    fits(folded(seen.turn - 2 * seen.azimuth), turn.cdf)
    fits((seen.contrast_2 - 0.6 * seen.contrast_1) / 0.8, norm.cdf)


def test_the_truth_is_the_first_member_s():
    pairs = WORLD.sample(50, seeded(8))
    x, y, cos, sin, contrast = pairs.first.T
    assert torch.equal(pairs.truth["position"], torch.stack([x, y], 1))
    assert torch.equal(pairs.truth["orientation"], torch.stack([sin, cos], 1))
    assert torch.equal(pairs.truth["contrast"], contrast)
    again = WORLD.sample(50, seeded(8))
    assert torch.equal(again.first, pairs.first) and torch.equal(again.second, pairs.second)


def test_relate_is_between_row_by_row():
    pairs = WORLD.sample(50, seeded(9))
    seen = WORLD.relate(pairs.first, pairs.second)
    for i in range(50):
        positions, contrasts = torch.stack([pairs.first[i], pairs.second[i]])[:, [0, 1, 4]].split([2, 1], 1)
        doubled = [torch.atan2(of[i, 3], of[i, 2]) for of in (pairs.first, pairs.second)]
        wanted = WORLD.between(positions, torch.stack(doubled) / 2, contrasts[:, 0])
        for field, other in zip(seen, wanted, strict=True):
            torch.testing.assert_close(field[i], other[0, 1])


def test_shuffled_members_are_independent():
    pairs = WORLD.sample(N, seeded(10)).shuffled(seeded(11))
    columns = torch.cat([pairs.first.T, pairs.second.T]).double()
    assert torch.corrcoef(columns)[:5, 5:].abs().max() < 4.5 / math.sqrt(N)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WORLD.sample(0, seeded()), "^n: wanted a whole number ≥ 1"),
        (lambda: WORLD.sample(2, 0), "^generator: wanted Generator, got 0"),
        (lambda: WORLD.relations(2, True, None), "^generator: wanted Generator, got None"),
        (lambda: WORLD.relate(torch.zeros(2, 5), torch.zeros(3, 5)), "^second: wanted Float.* where n = 2"),
        (lambda: WORLD.relate(torch.zeros(2, 6), torch.zeros(2, 6)), "^first: wanted Float"),
        (lambda: WORLD.between(torch.zeros(0, 2), torch.zeros(0)), "^positions: wanted at least one element"),
        (lambda: WORLD.cues(Relations(*torch.zeros(5, 0))), "^distance: wanted at least one pair"),
        (lambda: swapped(torch.zeros(3)), "^pairs: wanted Relations"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# what it must not depend on
def elements(m=40, seed=4):
    draws = torch.rand(m, 4, generator=seeded(seed), dtype=torch.float64)
    return 6 * draws[:, :2], 7 * draws[:, 2], 3 * draws[:, 3] - 1.5


def test_mirror_shift_and_rotation_change_nothing():
    positions, orientations, contrasts = elements()
    ratio = WORLD.log_likelihood_ratio(WORLD.between(positions, orientations, contrasts))
    cos, sin = math.cos(1.1), math.sin(1.1)
    rotation = torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float64)
    others = {
        "mirror": (positions * torch.tensor([1.0, -1.0]), -orientations),
        "rotation": (positions @ rotation + 2.0, orientations + 1.1),
        "first half turned by π": (positions, orientations + math.pi * (torch.arange(40) < 20).double()),
    }
    apart = ~torch.eye(40, dtype=torch.bool)
    for moved in others.values():
        torch.testing.assert_close(WORLD.log_likelihood_ratio(WORLD.between(*moved, contrasts))[apart], ratio[apart])


def test_only_the_azimuth_knows_which_element_is_first(same):
    there, back = WORLD.cues(same), WORLD.cues(swapped(same))
    for name in ("proximity", "cocircular", "luminance"):
        torch.testing.assert_close(back[name], there[name])
    bend_of_second = vonmises(8).pdf(same.azimuth - same.turn) + vonmises(8).pdf(same.azimuth - same.turn + math.pi)
    torch.testing.assert_close(back["azimuth"], torch.tensor(bend_of_second * math.pi).log())
    assert (back["azimuth"] - there["azimuth"]).square().mean().sqrt().item() == pytest.approx(0.94, abs=0.02)
    straight = same._replace(turn=2 * same.azimuth % math.pi)  # on a common circle there is no first
    torch.testing.assert_close(WORLD.log_likelihood_ratio(swapped(straight)), WORLD.log_likelihood_ratio(straight))


def test_swapped_is_between_the_other_way_round():
    """But for the azimuth's front and back, which elements do not have."""
    pairs, apart = WORLD.between(*elements()), ~torch.eye(40, dtype=torch.bool)
    for found, wanted in ((swapped(pairs), Relations(*(field.T for field in pairs))), (swapped(swapped(pairs)), pairs)):
        assert folded(found.azimuth - wanted.azimuth)[apart].abs().max() < 1e-12
        for name in ("distance", "turn", "contrast_1", "contrast_2"):
            torch.testing.assert_close(getattr(found, name)[apart], getattr(wanted, name)[apart])


def test_between_gives_back_the_pairs_that_it_was_made_of():
    pairs = double(WORLD.relations(50, 0.5, seeded(5)))
    for i in range(50):
        d, azimuth, turn, c1, c2 = (field[i] for field in pairs)
        positions = torch.stack([torch.zeros(2), d * torch.stack([(azimuth + 0.3).cos(), (azimuth + 0.3).sin()])])
        found = WORLD.between(positions, torch.stack([0.0 * turn, turn]) + 0.3, torch.stack([c1, c2]))
        for field, wanted in zip(found, (d, azimuth, turn, c1, c2), strict=True):
            assert field[0, 1].item() == pytest.approx(wanted.item(), abs=1e-12)


def test_between_near_itself_and_at_the_ends_of_the_range():
    positions = torch.tensor([[0.0, 0.0], [0.1, 0.0], [-1.0, 0.0]])
    pairs = WORLD.between(positions, torch.tensor([0.0, -1e-9, 1e-9]))
    assert pairs.distance[0, 1] == 0.5 and (pairs.distance.diagonal() == 0.5).all()
    assert (pairs.azimuth.diagonal() == 0).all() and pairs.azimuth[0, 2].item() == pytest.approx(-math.pi)
    assert (pairs.turn >= 0).all() and (pairs.turn < math.pi).all() and not pairs.contrast_1.any()
    assert WORLD.log_likelihood_ratio(pairs).isfinite().all()


def test_features_say_it_all():
    pairs = WORLD.relations(100, 0.5, seeded(6))
    x, y, cos, sin, c1, c2 = features(pairs).T
    torch.testing.assert_close(torch.hypot(x, y), pairs.distance)
    torch.testing.assert_close(torch.atan2(y, x), pairs.azimuth)
    torch.testing.assert_close(torch.atan2(sin, cos) / 2 % math.pi, pairs.turn, atol=1e-5, rtol=0)
    assert torch.equal(c1, pairs.contrast_1) and torch.equal(c2, pairs.contrast_2)
    assert features(WORLD.between(*elements(5))).shape == (5, 5, 6)


def test_another_model_is_as_exact():
    other = Contours(kappa_bend=0.5, kappa_turn=300.0, shape=9.0, mean=2.0, smallest=0.2, largest=3.0, correlation=-0.9)
    assert other.log_likelihood_ratio(other.relations(1000, True, seeded())).mean() > 2
    for ratio in other.cues(other.relations(N, False, seeded())).values():
        ratio = ratio.double().exp()
        assert ratio.mean().item() == pytest.approx(1, abs=4 * ratio.std().item() / math.sqrt(N))
    inside = vonmises(300).cdf(0.05) * 2 - 1
    pairs = other.relations(N, True, seeded())
    assert (folded(pairs.turn - 2 * pairs.azimuth).abs() < 0.05).double().mean().item() == pytest.approx(
        inside, abs=4 * 0.5 / math.sqrt(N)
    )


# bad input
@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"kappa_bend": 0.0}, "kappa_bend"),
        ({"kappa_turn": math.inf}, "kappa_turn"),
        ({"shape": math.nan}, "shape"),
        ({"mean": 0.3}, "smallest, mean, largest"),
        ({"smallest": 0.0}, "smallest, mean, largest"),
        ({"largest": math.inf}, "smallest, mean, largest"),
        ({"correlation": 1.0}, "correlation"),
    ],
)
def test_a_model_out_of_range_is_named(settings, name):
    with pytest.raises(ValueError, match=f"^{name}: wanted"):
        Contours(**settings)


@pytest.mark.parametrize(
    ("n", "same", "error", "message"),
    [
        (0, True, ValueError, "n: wanted a whole number ≥ 1, got 0"),
        (3, 1.5, ValueError, "same: wanted a number from 0 to 1"),
        (3, math.nan, ValueError, "same: wanted a number from 0 to 1"),
        (3, torch.ones(4, dtype=torch.bool), ValueError, r"same: wanted shape \(3,\), got \(4,\)"),
        (3, torch.ones(3), TypeError, "same: wanted a number from 0 to 1 or Bool"),
    ],
)
def test_bad_draws_are_named(n, same, error, message):
    with pytest.raises(error, match=message):
        WORLD.relations(n, same, seeded())


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("distance", torch.zeros(3), ValueError),
        ("distance", [1.0, 1.0, 1.0], TypeError),
        ("azimuth", torch.full((3,), math.nan), ValueError),
        ("turn", torch.zeros(2), ValueError),
        ("contrast_1", torch.zeros(3).int(), TypeError),
        ("contrast_2", torch.full((3,), math.inf), ValueError),
    ],
)
@pytest.mark.parametrize("function", [WORLD.log_likelihood_ratio, features])
def test_bad_pairs_are_named(function, name, value, error):
    with pytest.raises(error, match="distance" if name == "distance" else f"^{name}: "):
        function(WORLD.relations(3, True, seeded())._replace(**{name: value}))


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("positions", torch.zeros(3, 3), ValueError),
        ("orientations", torch.zeros(2), ValueError),
        ("orientations", torch.zeros(3).long(), TypeError),
        ("contrasts", torch.full((3,), math.nan), ValueError),
    ],
)
def test_bad_elements_are_named(name, value, error):
    good = {"positions": torch.randn(3, 2), "orientations": torch.zeros(3), "contrasts": torch.zeros(3)}
    with pytest.raises(error, match=f"^{name}: "):
        WORLD.between(**{**good, name: value})
