"""The primitives that are calls of NumPy in compiled programs: all of their samples, or some."""

from __future__ import annotations

CALLS = {
    "linear algebra by LAPACK": """
        adjugate cholesky det eig eigh eigvals eigvalsh inv leading_minors lu lu_info matrix_exp
        matrix_rank pinv qr slogdet solve solve_triangular svd svdvals zero_pivot
    """,
    "Fourier transforms": "fft irfft rfft",
    "complex numbers": """
        angle astype complex complex_sign imag isreal real view_as_complex view_as_real
    """,
    "functions without vector mathematics": """
        bessel_j0 bessel_j1 bessel_y0 bessel_y1 erfinv frexp gammainc gammaincc gcd i0 i0e i1
        i1e lcm log_ndtr logaddexp2 modified_bessel_k0 modified_bessel_k1 ndtri nextafter
        polygamma scaled_modified_bessel_k0 scaled_modified_bessel_k1 zeta
    """,
    "one entry after the other": "lstm_step",
    "sorting and searching": """
        argsort median_all median_index mode_index nanmedian_all rank_index searchsorted topk_index
    """,
    "index arrays": "exchange scatter_extreme scatter_prod softmax_nll",
    "moved entries": "as_strided as_strided_transpose",
    "convolutions, windows and pooling": """
        channel_affine channel_sum col2im conv_transpose conv_weight convolution im2col max_pool
        pool_pick pool_positions pool_spread unfold unfold_transpose window_spread window_sum
    """,
    "random numbers": "bernoulli_draw normal_draw poisson_draw",
    "user code": "module_boundary",
    "not written as formulas": """
        binary_cross_entropy binary_cross_entropy_with_logits cross huber
    """,
}
# What keeps some samples of primitives that are compiled from being so.
PARTLY = {
    "argmax": "the place among the entries of several axes",
    "argmin": "the place among the entries of several axes",
    "bmm": "an array without entries",
    "conj": "complex128",
    "contract_pair": "complex128",
    "diagonal": "an array without entries",
    "diagonal_transpose": "an array without entries",
    "dot": "complex128",
    "linear": "complex128",
    "linear_each": "complex128",
    "mm": "an array without entries|complex128",
    "mv": "an array without entries",
    "embedding_rows": "several tables with a padding row each",
    "vector_norm": "scaled against overflow",
}
