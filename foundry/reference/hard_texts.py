"""The hard texts of a model: scripts and shapes that ordinary text does not have, and lengths around its maximum."""

from foundry.loading.variant import LoadedVariant

REPEATED_WORDS = 10_000
# A tokenizer keeps what it cuts off, of a pair every part of the one with every part of the other: for two texts far
# beyond the maximum the time grows with the square of how far. 10,000 words for 64 tokens took 10 s, 1,000 took 0.05 s.
LENGTHS_OF_A_PAIR = 16
# Texts in scripts and shapes that ordinary text does not have. Those that depend on the tokenizer are made for each
# model.
HARD_TEXTS = {
    "empty": "",
    "one_character": "a",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🤷🏿‍♀️",
    "cjk": "東京は日本の首都です。今天天气很好。한국어 문장입니다.",
    "right_to_left": "مرحبا بالعالم. שלום עולם. \u202bmixed עברית text\u202c",
    "combining_marks": "Z̷̛̦a̴l̸g̵o̶ e\u0301le\u0300ve n\u0303 ก็ ที่นี่",
    "control_characters": "tab\there\u0000null\u0007bell\u200bzero\u200dwidth\ufeffmark\r\nline",
    "unknown_tokens": "𐎀𐎁𐎂 𓀀𓀁 𒀀𒀁",
}


def make_hard_texts(variant: LoadedVariant) -> dict[str, str]:
    """The hard texts by name: the fixed ones, and those whose length depends on tokenizer and maximum length."""
    word = "the"
    tokens_of_one, tokens_of_two = (len(ids) for ids in variant.token_ids([word, f"{word} {word}"]))
    tokens_per_word = max(tokens_of_two - tokens_of_one, 1)
    max_length = variant.max_seq_length
    repeated = REPEATED_WORDS
    if variant.kind == "CrossEncoder" and max_length is not None:
        repeated = min(repeated, LENGTHS_OF_A_PAIR * max_length)
    texts = {"one_token": word, "repeated_words": " ".join([word] * repeated)}
    if max_length is not None and max_length * tokens_per_word <= REPEATED_WORDS:
        special_tokens = tokens_of_one - tokens_per_word
        words = (max_length - special_tokens) // tokens_per_word
        texts |= {
            "exactly_max_length": " ".join([word] * words),
            "beyond_max_length": " ".join([word] * (words - 1) + ["different", "words", "at", "the", "end"] * 20),
        }
    return HARD_TEXTS | texts
