"""hssl.patches: slices as an independent implementation, exact inverses, indices counted by hand, and bad input."""

import pytest
import torch

from hssl.patches import assemble, centres, constituents, cut, grid, grid_shape, neighbours


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
    images = torch.arange(2 * 1 * 6 * 6, dtype=torch.uint8).view(2, 1, 6, 6)
    assert torch.equal(grid(images, 3), grid(images, 3, 3))


@pytest.mark.parametrize(("height", "width", "size"), [(12, 20, 4), (9, 15, 3), (7, 7, 7), (5, 11, 1)])
def test_side_by_side_the_inverse_is_exact(height, width, size):
    images = pictures(height, width)
    assert torch.equal(assemble(grid(images, size)), images)
    windows = torch.randn(2, height // size, width // size, 3, size, size)
    assert torch.equal(grid(assemble(windows), size), windows)


@pytest.mark.parametrize(("height", "width", "size", "stride"), [(12, 20, 4, 2), (13, 8, 5, 1), (11, 17, 5, 3)])
def test_overlapping_windows_give_the_picture_back(height, width, size, stride):
    images = pictures(height, width).double()
    torch.testing.assert_close(assemble(grid(images, size, stride), stride), images, rtol=0, atol=1e-14)


def test_what_no_window_reaches_is_left_out():
    images = pictures(13, 22)
    assert torch.equal(assemble(grid(images, 4)), images[:, :, :12, :20])


def test_overlaps_are_averaged():
    windows = torch.zeros(1, 1, 2, 1, 2, 2)
    windows[0, 0, 1] = 1
    assert assemble(windows, 1).tolist() == [[[[0, 0.5, 1], [0, 0.5, 1]]]]


def test_gradients_go_through():
    images = pictures(6, 6).double().requires_grad_()
    assemble(grid(images, 3, 1), 1).sum().backward()
    torch.testing.assert_close(images.grad, torch.ones_like(images))


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
    ],
)
def test_constituents_make_up_the_large_window(height, width, small, large):
    images = pictures(height, width)
    pieces, whole = grid(images, *small).flatten(1, 2), grid(images, *large).flatten(1, 2)
    index = constituents(height, width, small=small, large=large)
    side = large[0] // small[0]
    assert index.shape == (whole.shape[1], side**2)
    parts = pieces[:, index].unflatten(2, (side, side))  # (n, large windows, side, side, c, size, size)
    assert torch.equal(assemble(parts.flatten(0, 1)), whole.flatten(0, 1))


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


IMAGES = torch.zeros(2, 3, 8, 8)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: grid(IMAGES[0], 2), ValueError, r"images: wanted shape \(n, c, height, width\)"),
        (lambda: grid(IMAGES[:0], 2), ValueError, "images: wanted"),
        (lambda: grid(IMAGES, 9), ValueError, "size: wanted at most 8 for a 8×8 picture, got 9"),
        (lambda: grid(IMAGES, 0), ValueError, "size, stride: wanted at least 1"),
        (lambda: grid(IMAGES, 2, 0), ValueError, "size, stride: wanted at least 1"),
        (lambda: assemble(IMAGES), ValueError, r"patches: wanted shape \(n, rows"),
        (lambda: assemble(torch.zeros(1, 1, 1, 1, 2, 3)), ValueError, r"patches: wanted shape \(n, rows"),
        (lambda: assemble(torch.zeros(1, 1, 0, 1, 2, 2)), ValueError, r"patches: wanted shape \(n, rows"),
        (lambda: assemble(torch.zeros(1, 1, 1, 1, 2, 2).int()), TypeError, "patches: wanted floating-point"),
        (lambda: assemble(grid(IMAGES, 2), 3), ValueError, "stride: wanted 1 to 2"),
        (lambda: assemble(grid(IMAGES, 2), 0), ValueError, "stride: wanted 1 to 2"),
        (lambda: neighbours(3, 4, (0, 0)), ValueError, r"offset: wanted another window of a 3×4 grid, got \(0, 0\)"),
        (lambda: neighbours(3, 4, (-3, 0)), ValueError, "offset"),
        (lambda: neighbours(3, 4, (0, 4)), ValueError, "offset"),
        (lambda: neighbours(0, 4, (0, 1)), ValueError, "rows, cols"),
        (lambda: constituents(8, 8, small=(3, 1), large=(8, 8)), ValueError, "large: wanted a size .* multiple of 3"),
        (lambda: constituents(9, 9, small=(3, 2), large=(6, 2)), ValueError, "small: wanted a stride that divides"),
        (lambda: constituents(8, 8, small=(2, 2), large=(4, 1)), ValueError, "large: wanted a stride .* of 2"),
        (lambda: constituents(8, 8, small=(2, 2), large=(16, 2)), ValueError, "size: wanted at most 8"),
        (lambda: centres(8, 8, 9), ValueError, "size"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


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
        ([], [], 4, "rows"),
    ],
)
def test_windows_that_are_not_there_are_named(rows, corners, size, word):
    with pytest.raises(ValueError, match=word):
        cut(torch.zeros(3, 1, 12, 20), torch.tensor(rows, dtype=torch.long), torch.tensor(corners), size)
