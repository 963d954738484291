#!/usr/bin/env python3
"""Holds whole sentences of SST-2's train.tsv out, and all their parts with them.

    python3 scripts/whole_sentences.py DIR OUT [COUNT]

DIR has GLUE's train.tsv, whose lines are phrases, many of which are parts of others. Of the phrases that are part of no other and have nine
words at least, COUNT (872) are drawn with a fixed seed into OUT/dev.tsv; OUT/train.tsv has the other phrases but for those of three words
or more that stand within a held-out one."""

import random
import sys
from collections import defaultdict
from pathlib import Path


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    source, out, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 872
    lines = source.joinpath("train.tsv").read_text(encoding="utf-8").split("\n")[1:]
    rows = [(text.strip(), label) for text, label in (line.split("\t") for line in lines if "\t" in line)]
    labels = dict(rows)

    # The longest first: what is a part of a phrase finds it under its first five words.
    whole, holders = [], defaultdict(list)
    for text in sorted(labels, key=lambda text: (-len(text), text)):
        words = text.split()
        if len(words) < 5 or any(f" {text} " in f" {holder} " for holder in holders[tuple(words[:5])]):
            continue
        whole.append(text)
        for i in range(len(words) - 4):
            holders[tuple(words[i : i + 5])].append(text)
    held = random.Random(1).sample([text for text in whole if len(text.split()) >= 9], count)

    pairs = defaultdict(list)
    for text in held:
        words = text.split()
        for pair in zip(words, words[1:]):
            pairs[pair].append(f" {text} ")

    def within(text):
        words = text.split()
        return len(words) >= 3 and any(f" {text} " in holder for holder in pairs.get((words[0], words[1]), ()))

    kept = [(text, label) for text, label in rows if not within(text)]
    out.mkdir(parents=True, exist_ok=True)
    for name, part in (("train.tsv", kept), ("dev.tsv", [(text, labels[text]) for text in held])):
        table = "".join(f"{text}\t{label}\n" for text, label in part)
        out.joinpath(name).write_text("sentence\tlabel\n" + table, encoding="utf-8")
    print(f"{len(kept)} phrases to train on, {len(held)} whole sentences held out")


main()
