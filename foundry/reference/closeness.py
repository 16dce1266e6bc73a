"""How close two sets of embeddings are."""

import numpy as np

# From this mean cosine up, two embeddings of a text differ by rounding alone.
SAME_EMBEDDING = 0.9999


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The cosine of each row of `left` (texts, dimensions) with the same row of `right`, in float64.

    A row of zeros has no direction: its cosine is 1 with another row of zeros, and 0 with anything else.
    """
    left, right = left.astype(np.float64), right.astype(np.float64)
    products = (left * right).sum(axis=1)
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    both_zero = (~left.any(axis=1)) & (~right.any(axis=1))
    return np.where(both_zero, 1.0, products / np.where(lengths == 0, 1.0, lengths))


def directions(embeddings: np.ndarray) -> np.ndarray:
    """The rows (texts, dimensions) at length 1, in float64; a row of zeros stays one."""
    rows = embeddings.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: np.ndarray = rows / np.where(lengths == 0, 1.0, lengths)
    return scaled


def similarities(embeddings: np.ndarray) -> np.ndarray:
    """The cosine of every row (texts, dimensions) with every other: (texts, texts), in float64."""
    rows = directions(embeddings)
    matrix: np.ndarray = rows @ rows.T
    return matrix


def recall_of_neighbours(similarity: np.ndarray, reference: np.ndarray, k: int = 10) -> np.ndarray:
    """For each text, the share of its `k` nearest neighbours by `reference` that are also nearest by `similarity`.

    Both are similarity matrices (texts, texts); a text is not its own neighbour.
    """
    k = min(k, len(similarity) - 1)

    def nearest(matrix: np.ndarray) -> np.ndarray:
        others = matrix.copy()
        np.fill_diagonal(others, -np.inf)
        order: np.ndarray = np.argsort(-others, axis=1, kind="stable")[:, :k]
        return order

    pairs = zip(nearest(similarity), nearest(reference), strict=True)
    return np.array([len(set(neighbours) & set(expected)) / k for neighbours, expected in pairs])


def rank_correlation(similarity: np.ndarray, reference: np.ndarray) -> float:
    """Spearman's correlation of two similarity matrices (texts, texts), each pair of texts once."""
    from scipy.stats import spearmanr

    upper = np.triu_indices(len(similarity), k=1)
    return float(spearmanr(similarity[upper], reference[upper]).statistic)


def mean_rank_correlation(similarity: np.ndarray, reference: np.ndarray) -> float:
    """The mean over the rows of two matrices (texts, texts) of Spearman's correlation of a row, without the text
    itself."""
    from scipy.stats import spearmanr

    others = ~np.eye(len(similarity), dtype=bool)
    pairs = zip(similarity, reference, others, strict=True)
    return float(np.mean([spearmanr(row[kept], expected[kept]).statistic for row, expected, kept in pairs]))


def bootstrap_interval(values: np.ndarray, resamples: int = 2000, seed: int = 0) -> tuple[float, float]:
    """The 95% percentile bootstrap interval of the mean (Efron and Tibshirani 1993, section 13.3)."""
    picks = np.random.default_rng(seed).integers(0, len(values), size=(resamples, len(values)))
    low, high = np.percentile(values[picks].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)
