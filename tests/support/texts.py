"""Real sentences, without the network."""


def documents() -> list[str]:
    """Real sentences, from gensim's test data."""
    from foundry.data import sampling, tables
    from foundry.data.settings import PackageTexts

    source = PackageTexts(package="gensim", path="test/test_data/lee.cor", format="text", encoding="latin-1")
    return sampling.clean(tables.texts(source))[0]
