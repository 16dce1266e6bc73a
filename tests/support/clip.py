"""A tiny CLIP with random weights."""

import json
from pathlib import Path


def make_clip(folder: Path) -> Path:
    """Two towers and a tokenizer of bytes, as Sentence Transformers saves a CLIP."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    folder.mkdir(parents=True)
    characters = list(bytes_to_unicode().values())
    words = [*characters, *(f"{character}</w>" for character in characters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    text = {**sizes, "vocab_size": len(tokenizer), "max_position_embeddings": 77, **ids}
    torch.manual_seed(0)
    vision = {**sizes, "image_size": 32, "patch_size": 16}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)).eval()
    with torch.no_grad():
        for parameter in model.text_model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(10)  # spread-out embeddings
    model.save_pretrained(folder / "bare")
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32)
    CLIPProcessor(images, tokenizer).save_pretrained(folder / "bare")
    SentenceTransformer(str(folder / "bare"), device="cpu").save_pretrained(str(folder / "saved"))
    return folder / "saved"
