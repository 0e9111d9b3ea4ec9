"""What narrow tables keep of wide ones."""

from __future__ import annotations

import pytest
import torch

from compress.share.narrow import centred_spectrum, narrow_tables, zero_mean_basis


def test_the_norm_keeps_what_the_narrow_tables_say():
    generator = torch.Generator().manual_seed(0)
    tables = [torch.randn(rows, 12, generator=generator) + 0.5 for rows in (40, 9, 2)]
    gain, shift, eps = torch.rand(12, generator=generator) + 0.5, torch.randn(12, generator=generator), 0.1
    narrow, weight = narrow_tables(tables, gain, width=12)
    picked, words = (7, 3, 1), (21, 0, 0)
    for numbers in (picked, words):
        wide = sum(table[n].double() for table, n in zip(tables, numbers))
        thin = sum(table[n].double() for table, n in zip(narrow, numbers))
        expected = torch.nn.functional.layer_norm(wide, (12,), gain.double(), shift.double(), eps)
        found = weight @ torch.nn.functional.layer_norm(thin, (12,), eps=eps) + shift
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_the_error_is_the_tail_of_the_singular_values():
    tables = [torch.randn(rows, 16, generator=torch.manual_seed(1)).double() for rows in (50, 8, 2)]
    values, _ = centred_spectrum(tables)
    rows = torch.cat([table - table.mean(1, keepdim=True) for table in tables])
    torch.testing.assert_close(values, torch.linalg.svdvals(rows), atol=1e-6, rtol=1e-6)
    for width in (3, 9, 16):
        narrow, _ = narrow_tables(tables, torch.ones(16), width=width)
        kept = torch.cat(narrow).square().sum() * 16 / width
        torch.testing.assert_close(rows.square().sum() - kept, values[width - 1 :].square().sum(), atol=1e-6, rtol=1e-6)
        assert torch.cat(narrow).mean(1).abs().max() < 1e-12


@pytest.mark.parametrize("width", [2, 3, 128])
def test_the_basis_is_orthonormal_and_of_mean_zero(width):
    basis = zero_mean_basis(width)
    assert basis.shape == (width, width - 1)
    torch.testing.assert_close(basis.T @ basis, torch.eye(width - 1).double(), atol=1e-12, rtol=0)
    assert basis.mean(0).abs().max() < 1e-12
