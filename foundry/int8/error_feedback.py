"""Rounding a weight so that the error of one channel is made up for by those after it (GPTQ)."""

import numpy as np

DAMPING = 0.1  # added to the Hessian's diagonal, as a share of its mean
CHANNELS_PER_BLOCK = 128


def round_with_feedback(
    weight: np.ndarray, scales: np.ndarray, limits: np.ndarray, tokens: np.ndarray, importance: np.ndarray
) -> np.ndarray:
    """A weight (outputs, channels) as int8 with the given scale of each row (outputs,). The channels after a channel
    make up for its rounding error, as far as they correlate with it in the tokens (tokens, channels).

    No integer is larger than its row's limit (outputs,). `importance` (tokens,) weighs the tokens. GPTQ, Frantar et al.
    2023, algorithm 1.
    """
    from scipy.linalg import cholesky
    from scipy.linalg.lapack import dtrtri

    hessian = ((tokens * importance[:, None]).T @ tokens).astype(np.float64)
    hessian[np.diag_indices_from(hessian)] += DAMPING * np.diag(hessian).mean() + 1e-12
    # The upper Cholesky factor of the inverse: row j says how an error in channel j is spread over those after it.
    # Computed as the inverse of the lower factor with the channels in reverse order, it takes a quarter of the time.
    factor, _ = dtrtri(cholesky(hessian[::-1, ::-1], lower=True, check_finite=False), lower=1)
    spread = factor[::-1, ::-1].astype(np.float32)
    remaining = np.ascontiguousarray((weight / scales[:, None]).T)  # (channels, outputs)
    integers = np.zeros(remaining.shape, np.int8)
    for start in range(0, len(remaining), CHANNELS_PER_BLOCK):
        end = min(start + CHANNELS_PER_BLOCK, len(remaining))
        errors = np.zeros((end - start, remaining.shape[1]), np.float32)
        for channel in range(start, end):
            rounded = np.clip(np.round(remaining[channel]), -limits, limits)
            integers[channel] = rounded
            error = (remaining[channel] - rounded) / spread[channel, channel]
            remaining[channel:end] -= np.outer(spread[channel, channel:end], error)
            errors[channel - start] = error
        remaining[end:] -= spread[start:end, end:].T @ errors
    return np.ascontiguousarray(integers.T)
