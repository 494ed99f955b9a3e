"""hssl.patches: slices as an independent implementation, exact inverses, indices counted by hand, and bad input."""

import math

import pytest
import torch

from hssl.checks import ArgumentError
from hssl.patches import (
    centres,
    colour_histogram,
    constituents,
    cut,
    draw_neighbours,
    facing,
    grid,
    grid_shape,
    have_neighbours,
    neighbours,
    orientations,
)


def pictures(height=12, width=20, n=2, c=3, seed=0):
    return torch.randn(n, c, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("height", "width"), [(12, 20), (13, 7), (9, 9), (5, 31)])
@pytest.mark.parametrize(("size", "stride"), [(4, 4), (5, 1), (3, 2), (2, 5), (1, 1), (5, 3)])
def test_windows_are_slices(height, width, size, stride):
    images = pictures(height, width)
    windows = grid(images, size, stride)
    rows, cols = grid_shape(height, width, size, stride)
    assert windows.shape == (2, rows, cols, 3, size, size)
    for r in range(rows):
        for c in range(cols):
            y, x = r * stride, c * stride
            assert torch.equal(windows[:, r, c], images[:, :, y : y + size, x : x + size])
    assert rows * stride + size > height and cols * stride + size > width  # no further one would fit


def test_windows_are_a_view():
    images = pictures()
    windows = grid(images, 4, 2)
    assert windows.untyped_storage().data_ptr() == images.untyped_storage().data_ptr()
    images[0, 0, 2, 2] = 7.0
    assert windows[0, 1, 1, 0, 0, 0] == 7 and windows[0, 0, 0, 0, 2, 2] == 7


def test_any_dtype_and_the_usual_stride():
    images = torch.arange(2 * 1 * 6 * 6, dtype=torch.int16).view(2, 1, 6, 6)
    assert torch.equal(grid(images, 3), grid(images, 3, 3))


def test_neighbours_by_hand():
    first, second = neighbours(2, 3, (0, 1))
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 1), (1, 2), (3, 4), (4, 5)]
    first, second = neighbours(2, 3, (1, -1))
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [(1, 3), (2, 4)]


@pytest.mark.parametrize("offset", [(0, 1), (1, 0), (1, 1), (-1, 2), (3, -4), (-2, -1)])
def test_neighbours_are_all_pairs_at_the_offset(offset):
    rows, cols = 4, 5
    place = torch.cartesian_prod(torch.arange(rows), torch.arange(cols))
    wanted = (place[None] - place[:, None] == torch.tensor(offset)).all(2).nonzero()
    assert torch.equal(torch.stack(neighbours(rows, cols, offset), 1), wanted)
    back = neighbours(rows, cols, (-offset[0], -offset[1]))
    assert torch.equal(torch.stack(back[::-1], 1), wanted)


@pytest.mark.parametrize(
    ("height", "width", "small", "large"),
    [
        (16, 24, (4, 4), (8, 8)),
        (16, 24, (4, 2), (8, 4)),
        (13, 22, (3, 1), (9, 2)),
        (17, 9, (4, 4), (4, 8)),
        (12, 12, (4, 4), (12, 5)),
        (9, 9, (3, 2), (3, 2)),  # each large window is a small one: strides need not divide
        (4, 4, (2, 2), (4, 1)),  # a single large window: its stride counts for nothing
    ],
)
def test_constituents_make_up_the_large_window(height, width, small, large):
    images = pictures(height, width)
    pieces, whole = grid(images, *small).flatten(1, 2), grid(images, *large).flatten(1, 2)
    index = constituents(height, width, small=small, large=large)
    side = large[0] // small[0]
    assert index.shape == (whole.shape[1], side**2)
    parts = pieces[:, index].unflatten(2, (side, side))  # (n, large windows, side, side, c, size, size)
    assert torch.equal(parts.permute(0, 1, 4, 2, 5, 3, 6).reshape(whole.shape), whole)


def test_constituents_by_hand():
    got = constituents(8, 12, small=(2, 2), large=(4, 4))
    assert got[:2].tolist() == [[0, 1, 6, 7], [2, 3, 8, 9]]
    assert got.shape == (6, 4)
    assert constituents(8, 12, small=(4, 4), large=(4, 4)).tolist() == [[k] for k in range(6)]


def test_centres():
    assert centres(4, 6, 2).tolist() == [[0.5, 0.5], [0.5, 2.5], [0.5, 4.5], [2.5, 0.5], [2.5, 2.5], [2.5, 4.5]]
    assert centres(3, 3, 3).tolist() == [[1, 1]]
    y, x = torch.meshgrid(torch.arange(11.0), torch.arange(14.0), indexing="ij")
    of_pixels = grid(torch.stack([y, x])[None], 5, 3).mean((-2, -1)).flatten(1, 2)[0]
    torch.testing.assert_close(centres(11, 14, 5, 3), of_pixels)


IMAGES, GENERATOR = torch.zeros(2, 3, 8, 8), torch.Generator()


VALID = torch.ones(3, 2, 2, dtype=torch.bool)
BLOCKS, AT, NEXT = torch.zeros(4, 1, 2, 8), torch.zeros(4, dtype=torch.int64), torch.ones(4, dtype=torch.int64)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: grid(IMAGES[0], 2), r"images: wanted Float.* got f32\[3,8,8\]"),
        (lambda: grid(IMAGES.numpy(), 2), r"images: wanted Float.* got f32\[2,3,8,8\]\(numpy\)"),
        (lambda: grid(IMAGES[:0], 2), r"images: wanted at least one on every axis, got shape \(0, 3, 8, 8\)"),
        (lambda: grid(IMAGES, 9), "size: wanted at most 8 for a 8×8 image, got 9"),
        (lambda: grid(IMAGES[:, :, :4], 6), "size: wanted at most 4 for a 4×8 image, got 6"),
        (lambda: grid(IMAGES[..., :4], 6), "size: wanted at most 4 for a 8×4 image, got 6"),
        (lambda: grid(IMAGES, 0), "size: wanted a whole number ≥ 1, got 0"),
        (lambda: grid(IMAGES, 2.0), "size: wanted a whole number ≥ 1, got 2.0"),
        (lambda: grid(IMAGES, 2, 0), "stride: wanted a whole number ≥ 1 or None, got 0"),
        (lambda: grid_shape(0, 8, 2), "height: wanted a whole number ≥ 1, got 0"),
        (lambda: neighbours(3, 4, (0, 0)), r"offset: wanted another window of a 3×4 grid, got \(0, 0\)"),
        (lambda: neighbours(3, 4, (-3, 0)), "offset: wanted another window"),
        (lambda: neighbours(3, 4, (0, 4)), "offset: wanted another window"),
        (lambda: neighbours(3, 4, (0, -4)), "offset: wanted another window"),
        (lambda: neighbours(3, 4, (0, 1, 1)), "offset: wanted"),
        (lambda: neighbours(0, 4, (0, 1)), "rows: wanted a whole number ≥ 1, got 0"),
        (lambda: neighbours(4, 0, (0, 1)), "cols: wanted a whole number ≥ 1, got 0"),
        (lambda: constituents(8, 8, small=(3, 1), large=(8, 8)), "large: wanted a size .* multiple of 3"),
        (lambda: constituents(9, 9, small=(3, 2), large=(6, 2)), "small: wanted a stride that divides"),
        (lambda: constituents(8, 8, small=(2, 2), large=(4, 1)), "large: wanted a stride .* of 2"),
        (lambda: constituents(4, 8, small=(2, 2), large=(4, 1)), "large: wanted a stride .* of 2"),  # a single row
        (lambda: constituents(8, 8, small=(2, 2), large=(16, 2)), "size: wanted at most 8"),
        (lambda: constituents(8, 8, small=(2, 0), large=(4, 2)), "stride: wanted a whole number ≥ 1"),
        (lambda: constituents(8, 8, small=2, large=(4, 2)), "small: wanted tuple"),
        (lambda: centres(8, 8, 9), "size: wanted at most 8"),
        (lambda: centres(8, 8, 2, 0), "stride: wanted"),
        (lambda: draw_neighbours(VALID.float(), GENERATOR), r"valid: wanted Bool.* got f32\[3,2,2\]"),
        (lambda: draw_neighbours(VALID[0], GENERATOR), r"valid: wanted Bool.* got bool\[2,2\]"),
        (lambda: draw_neighbours(VALID[:, :1, :1], GENERATOR), "valid: wanted at least two windows per image"),
        (lambda: draw_neighbours(VALID[:0], GENERATOR), "valid: wanted at least one on every axis"),
        (lambda: draw_neighbours(VALID, 0), "generator: wanted Generator, got 0"),
        (lambda: facing(BLOCKS[..., :6], AT, NEXT), r"embeddings: wanted shape \(n, rows, cols, 4 · dim\), got"),
        (lambda: facing(BLOCKS[..., :0], AT, NEXT), r"embeddings: wanted shape \(n, rows, cols, 4 · dim\), got"),
        (lambda: facing(BLOCKS[0], AT, NEXT), "embeddings: wanted Float"),
        (lambda: facing(BLOCKS, AT[:1], NEXT), r"first: wanted Int\[Tensor, 'n'\] where n = 4.* got i64\[1\]"),
        (lambda: facing(BLOCKS, AT, NEXT[:1]), r"second: wanted Int.* n = 4.* got i64\[1\]"),
        (lambda: facing(BLOCKS, AT[:1], NEXT[:1]), r"first: wanted Int.* n = 4.* got i64\[1\]"),
        (lambda: facing(BLOCKS, AT.float(), NEXT), "first: wanted Int"),
        (lambda: facing(BLOCKS, AT - 16, NEXT - 16), "first: wanted 0 to 1, got -16 to -16"),
        (lambda: facing(BLOCKS, AT - 1, AT), "first: wanted 0 to 1, got -1 to -1"),
        (lambda: facing(BLOCKS, NEXT, NEXT + 1), "second: wanted 0 to 1, got 2 to 2"),
        (lambda: facing(BLOCKS, AT, NEXT, -1), "others: wanted Int.* or None.* got -1$"),
        (lambda: facing(BLOCKS, AT, NEXT, AT - 1), "others: wanted 0 to 3, got -1 to -1"),
        (lambda: facing(BLOCKS, AT, NEXT, AT + 4), "others: wanted 0 to 3, got 4 to 4"),
        (lambda: facing(BLOCKS, AT, NEXT, AT[:3]), "others: wanted Int"),
        (lambda: facing(BLOCKS, AT, AT), "first, second: some of these windows are no neighbours"),
        (lambda: facing(BLOCKS, NEXT, AT), "first, second: some of these windows are no neighbours"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert isinstance(caught.value, TypeError)


def test_a_window_at_the_end_of_a_row_is_no_neighbour_of_the_next_rows_first():
    z, across = torch.zeros(1, 2, 3, 4), [(0, 1), (1, 2), (3, 4), (4, 5)]
    for first, second in [(a, b) for a in range(6) for b in range(6)]:
        pair = torch.tensor([first]), torch.tensor([second])
        if (first, second) in across or second == first + 3:
            facing(z, *pair)
        else:
            with pytest.raises(ValueError, match="no neighbours"):
                facing(z, *pair)


def test_facing_blocks_by_hand():
    z = torch.arange(2 * 2 * 3 * 8.0).view(2, 2, 3, 8)  # two images, 2 × 3 windows, four blocks of two
    first, second = torch.tensor([0, 1]), torch.tensor([1, 4])  # to the right in one, below in the other
    a, b = facing(z, first, second)
    assert torch.equal(a, torch.stack([z[0, 0, 0, 0:2], z[1, 0, 1, 2:4]]))
    assert torch.equal(b, torch.stack([z[0, 0, 1, 4:6], z[1, 1, 1, 6:8]]))
    same, other = facing(z, first, second, torch.tensor([1, 0]))
    assert torch.equal(same, a)
    assert torch.equal(other, torch.stack([z[1, 0, 1, 4:6], z[0, 1, 1, 6:8]]))  # at the same positions
    column = z[:, :, :1]
    assert torch.equal(facing(column, first * 0, first * 0 + 1)[0], column[:, 0, 0, 2:4])  # one column: below


def test_neighbours_are_drawn_alike_among_the_valid():
    valid = torch.zeros(4000, 2, 3, dtype=torch.bool)
    valid[:, 0] = valid[:, 1, 2] = True  # pairs: (0, 1), (1, 2) across and (2, 5) down
    first, second = draw_neighbours(valid, torch.Generator().manual_seed(0))
    pairs, counts = torch.stack([first, second], 1).unique(dim=0, return_counts=True)
    assert pairs.tolist() == [[0, 1], [1, 2], [2, 5]]
    assert (counts / 4000 - 1 / 3).abs().max() < 0.04
    again = draw_neighbours(valid, torch.Generator().manual_seed(0))
    assert torch.equal(first, again[0]) and torch.equal(second, again[1])
    valid[7] = False
    with pytest.raises(ValueError, match="valid: 1 of 4000 images have no two valid windows"):
        draw_neighbours(valid, torch.Generator())


@pytest.mark.parametrize(("rows", "cols"), [(1, 3), (3, 1), (2, 2)])
def test_all_neighbours_are_drawn_and_no_others(rows, cols):
    first, second = draw_neighbours(torch.ones(2000, rows, cols, dtype=torch.bool), torch.Generator().manual_seed(0))
    at = [(r, c) for r in range(rows) for c in range(cols)]
    wanted = {
        (i, j) for i, a in enumerate(at) for j, b in enumerate(at) if (b[0] - a[0], b[1] - a[1]) in ((0, 1), (1, 0))
    }
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == wanted


def test_cut_windows_are_those_of_the_grid():
    images = torch.rand(3, 2, 12, 20, generator=torch.Generator().manual_seed(0))
    windows = grid(images, 4, 2)
    rows, down, right = torch.tensor([2, 0, 1]), torch.tensor([0, 4, 1]), torch.tensor([8, 0, 3])
    found = cut(images, rows, torch.stack([2 * down, 2 * right], 1), 4)
    assert torch.equal(found, windows[rows, down, right])


@pytest.mark.parametrize(
    ("rows", "corners", "size", "word"),
    [
        ([0], [[0, 0]], 13, "size"),
        ([3], [[0, 0]], 4, "rows"),
        ([0], [[9, 0]], 4, "corners"),
        ([0], [[0, -1]], 4, "corners"),
        ([0], [[0, 17]], 4, "corners"),
        ([-1], [[0, 0]], 4, "rows: wanted 0 to 2, got -1"),
        ([0], [[0, 0], [1, 1]], 4, r"corners: wanted Int.* m = 1, got i64\[2,2\]"),
        ([0], [[0, 0, 0]], 4, "corners"),
        ([0], [[0.0, 0.0]], 4, "corners: wanted Int"),
        ([[0]], [[0, 0]], 4, "rows: wanted Int"),
        ([], [[]], 4, "corners"),
    ],
)
def test_windows_that_are_not_there_are_named(rows, corners, size, word):
    with pytest.raises(ValueError, match=word):
        cut(torch.zeros(3, 1, 12, 20), torch.tensor(rows, dtype=torch.long), torch.tensor(corners), size)
    with pytest.raises(ValueError, match="rows: wanted at least one"):
        cut(torch.zeros(3, 1, 12, 20), torch.zeros(0).long(), torch.zeros(0, 2).long(), 4)


def test_the_last_window_of_an_image_can_be_cut():
    images = torch.arange(3 * 12 * 20).view(3, 1, 12, 20)
    last = cut(images, torch.tensor([2]), torch.tensor([[8, 16]]), 4)
    assert torch.equal(last, images[2:, :, 8:, 16:])
    last.zero_()
    assert images[2, 0, 11, 19] == 719  # a copy


def test_images_that_have_neighbours_are_those_that_neighbours_are_drawn_from(g):
    grids = [torch.rand(60, 3, 3, generator=g) < 0.3, torch.rand(60, 1, 4, generator=g) < 0.6]

    def drawn(valid):
        try:
            return len(draw_neighbours(valid, g)) == 2
        except ArgumentError:
            return False

    each = [[drawn(valid[i : i + 1]) for i in range(60)] for valid in grids]
    assert 5 < sum(each[0]) < 55 and 5 < sum(each[1]) < 55
    with pytest.raises(ArgumentError, match="valid: wanted at least one grid"):
        have_neighbours()
    assert have_neighbours(grids[0]).tolist() == each[0]
    assert have_neighbours(*grids).tolist() == [a and b for a, b in zip(*each, strict=True)]


@pytest.mark.parametrize("edge", [False, True])
def test_orientations_are_those_of_lines_and_edges(edge):
    theta = torch.linspace(0, math.pi, 13)[:-1]
    at = torch.arange(16) - 7.5
    beside = at[:, None] * theta.cos()[:, None, None] - at * theta.sin()[:, None, None]  # rows are y
    ink = (0.5 + beside if edge else 3 - beside.abs()).clamp(0, 1)[:, None]
    found = orientations(ink)
    assert ((2 * (found - theta)).cos() > 0.985).all()  # to 5 degrees: pixels are coarse
    assert ((found >= 0) & (found < math.pi)).all()
    turned = orientations(ink.rot90(1, (2, 3)))  # a quarter turn of the patch turns the line
    assert ((2 * (turned - found)).cos() < -0.99).all()
    assert ((2 * (orientations(1 - ink) - found)).cos() > 0.999).all()


def test_what_lies_far_from_the_middle_counts_little():
    patch = torch.zeros(1, 1, 32, 32)
    patch[..., 15:17, :] = 1
    patch[..., :, 26:] = torch.tensor([1.0, 1, 0, 0, 1, 1])
    patch[..., :, :6] = torch.tensor([1.0, 1, 0, 0, 1, 1])
    assert (2 * orientations(patch)).cos() > 0.99
    assert (2 * orientations(patch, spread=100.0)).cos() < 0.9


def test_orientations_name_what_is_wrong():
    for patches, spread, message in (
        (torch.zeros(2, 3, 8, 8), 3.0, "patches: wanted"),
        (torch.zeros(0, 1, 8, 8), 3.0, "patches: wanted at least one"),
        (torch.zeros(1, 1, 8, 8), 0.0, "spread: wanted"),
    ):
        with pytest.raises(ArgumentError, match=message):
            orientations(patches, spread)


def test_a_colour_histogram_is_numpys():
    import numpy as np

    windows = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = colour_histogram(windows, bins=3) ** 2
    for window, one in zip(windows, found, strict=True):
        pixels = window.flatten(1).T.double().numpy()
        wanted, _ = np.histogramdd(pixels, bins=3, range=[(0, 1)] * 3)
        np.testing.assert_allclose(one.view(3, 3, 3), wanted / 64, atol=1e-6)
    assert torch.allclose(colour_histogram(torch.ones(2, 3, 4, 4)).norm(dim=1), torch.ones(2))  # white counts
    with pytest.raises(ArgumentError, match="windows"):
        colour_histogram(windows[:, :1])
