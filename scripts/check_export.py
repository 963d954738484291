#!/usr/bin/env python3
"""Opens an exported model folder with Hugging Face's tools, and saves it again with them.

    candlewick export runs/flickr8k exported
    python scripts/check_export.py exported [--again FOLDER] [--picture FILE]

Wants transformers, tokenizers, safetensors, numpy and pillow. With --again the folder is copied there and what the tools save is
written over it, so that `candlewick caption --model FOLDER` shows whether it is still read.
"""

import argparse
import json
import pathlib
import shutil

import numpy
from PIL import Image
from safetensors import safe_open
from transformers import AutoImageProcessor, AutoTokenizer, GenerationConfig


def check_words(folder):
    """The tokenizer has its special tokens, and reads back what it wrote."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    special = {"bos": "<start>", "eos": "<end>", "pad": "<pad>", "unk": "<unk>"}
    for name, token in special.items():
        assert getattr(tokenizer, f"{name}_token") == token, (name, getattr(tokenizer, f"{name}_token"))
    ids = [getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos", "unk")]
    assert ids == [0, 1, 2, 3], ids
    word = tokenizer.convert_ids_to_tokens(4)
    encoded = tokenizer(f"{word} xyzzyx {word}")["input_ids"]
    assert encoded == [1, 4, 3, 4, 2], encoded
    assert tokenizer.decode(encoded, skip_special_tokens=True).split() == [word, word]
    padded = tokenizer([word, f"{word} {word}"], padding=True)["input_ids"]
    assert padded == [[1, 4, 2, 0], [1, 4, 4, 2]], padded

    generation = GenerationConfig.from_pretrained(folder)
    assert (generation.pad_token_id, generation.bos_token_id, generation.eos_token_id) == (0, 1, 2), generation
    written = json.loads((folder / "generation_config.json").read_text())
    assert generation.max_new_tokens == written["max_new_tokens"] and generation.num_beams == written["num_beams"]
    return tokenizer, generation


def expected(picture, settings):
    """What preprocessor_config.json says is done to a picture, by pillow and numpy."""
    if settings["do_resize"]:
        size = settings["size"]
        if "shortest_edge" in size:
            width, height = picture.size
            short = size["shortest_edge"]
            size = (short, int(short * height / width)) if width <= height else (int(short * width / height), short)
        else:
            size = (size["width"], size["height"])
        picture = picture.resize(size, settings["resample"])
    values = numpy.asarray(picture, dtype=numpy.float64)
    if settings["do_center_crop"]:
        height, width = settings["crop_size"]["height"], settings["crop_size"]["width"]
        top, left = round((values.shape[0] - height) / 2), round((values.shape[1] - width) / 2)
        values = values[top : top + height, left : left + width]
    values = values * settings["rescale_factor"] if settings["do_rescale"] else values
    values = (values - settings["image_mean"]) / settings["image_std"] if settings["do_normalize"] else values
    return values.transpose(2, 0, 1)


def check_pictures(folder, picture):
    """The image processor does to a picture what the file says."""
    processor = AutoImageProcessor.from_pretrained(folder)
    assert "ImageProcessor" in type(processor).__name__, type(processor)
    values = numpy.asarray(processor(picture, return_tensors="np")["pixel_values"])[0]
    wanted = expected(picture, json.loads((folder / "preprocessor_config.json").read_text()))
    assert values.shape == wanted.shape, (values.shape, wanted.shape)
    difference = abs(values - wanted)
    # Filters of the tools round to bytes in other places.
    assert difference.mean() < 0.01 and difference.max() < 0.1, (difference.mean(), difference.max())
    return processor, difference.max()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--again", type=pathlib.Path)
    parser.add_argument("--picture", type=pathlib.Path)
    arguments = parser.parse_args()
    folder = arguments.folder

    with safe_open(folder / "model.safetensors", "np") as weights:
        assert (weights.metadata() or {}).get("format") == "pt", weights.metadata()
        print(f"model.safetensors: {len(list(weights.keys()))} tensors")
    rows, columns = numpy.mgrid[0:97, 0:131]
    drawn = numpy.stack([rows * 2, columns, (rows * columns) % 256], 2).astype(numpy.uint8)
    picture = Image.open(arguments.picture).convert("RGB") if arguments.picture else Image.fromarray(drawn)
    processor, difference = check_pictures(folder, picture)
    print(f"preprocessor_config.json: {type(processor).__name__}, at most {difference:.4f} from pillow's")
    saved = [processor]
    if (folder / "tokenizer.json").exists():
        tokenizer, generation = check_words(folder)
        print(f"tokenizer.json: {type(tokenizer).__name__} of {len(tokenizer)} words")
        saved += [tokenizer, generation]
    if arguments.again:
        shutil.copytree(folder, arguments.again)
        for tool in saved:
            tool.save_pretrained(arguments.again)
        print(f"{arguments.again}: {', '.join(sorted(path.name for path in arguments.again.iterdir()))}")


if __name__ == "__main__":
    main()
