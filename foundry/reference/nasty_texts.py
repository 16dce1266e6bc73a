"""Texts that tokenizers stumble over, by a seed."""

import random
from collections.abc import Sequence

PIECES = (
    "\x00", "\r\n", "\t", "\u200b", "\ufeff", "\u202e", "\u0301", "\u0e01\u0e47", "\xad", "\u2028", "\xa0", "  ",
    "\u2026", "\u2019", "\u0130", "\xdf", "\ufb01", "\u2167", "\u01c5", "\uff19", "\xbd", "\xaa",
    "\ud55c\uad6d\uc5b4", "\u6771\u4eac", "\u092e\u0930\u093e\u0920\u0940", "\u0645\u0631\u062d\u0628\u0627",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\U0001f3f3\ufe0f\u200d\U0001f308", "\U00010380",
    "\U0001d54f", "\U000e0001", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<s>", "</s>", "<pad>", "##ing",
    "\u2581", "\u0120", "\\n", "don't", "U.S.A.", "a" * 150, "-" * 40, "http://example.org/?q=a%20b#c", "1,234.56",
    "{{x}}", "$$", "e\u0301le\u0300ve", "\xc0\xc9\xce",
)  # fmt: skip


def nasty_texts(count: int, texts: Sequence[str], seed: int = 0) -> list[str]:
    """So many texts: pieces and words of `texts`, with and without blanks, characters at random, and over-long ones."""
    generator = random.Random(seed)
    words = " ".join(texts).split()
    texts = []
    for number in range(count):
        pieces = [generator.choice(PIECES if generator.random() < 0.6 else words) for _ in range(number % 12 + 1)]
        if number % 5 == 1:
            pieces += [chr(generator.choice((generator.randrange(32, 0x2FF), generator.randrange(0x300, 0xD7FF))))
                       for _ in range(10)]  # fmt: skip
        if number % 7 == 2:  # over-long, with something nasty about where it is cut
            pieces = [*generator.choices(words, k=generator.randrange(20, 600)), *pieces, *words[:600]]
        texts.append(generator.choice(("", " ", " ")).join(pieces))
    return texts
