#!/usr/bin/env python3
"""How many brackets of C and environments of LaTeX are closed rightly in what a language model wrote.

    candlewick sample --model runs/linux --prime '/*' --temperature 0.5 --length 2000 --count 20 --json | python3 scripts/closed.py c
    candlewick sample --model runs/latex --temperature 0.5 --length 2000 --count 20 --json | python3 scripts/closed.py latex

A closing that fits the innermost open one is right. One that fits one further out leaves all between unclosed, one that fits none closes
nothing: those are wrong. What is still open where a text ends is not counted, since it could go on. Comments, strings and characters of C
are passed over.
"""
import json
import re
import sys

PAIRS = {")": "(", "}": "{", "]": "["}
PASSED_OVER = re.compile(r"/\*.*?(?:\*/|$)|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'", re.DOTALL)
ENVIRONMENT = re.compile(r"\\(begin|end)\{([^{}\n]*)\}")


def count(events):
    """Of (is opening, kind) in their order, how many closings are right, and how many are wrong or skipped."""
    open_ones, right, wrong = [], 0, 0
    for opening, kind in events:
        if opening:
            open_ones.append(kind)
        elif open_ones and open_ones[-1] == kind:
            open_ones.pop()
            right += 1
        elif kind in open_ones:
            while open_ones.pop() != kind:
                wrong += 1
            right += 1
        else:
            wrong += 1
    return right, wrong


def brackets(text, kinds):
    """The brackets of a text, of these opening kinds."""
    for letter in text:
        if letter in kinds:
            yield True, letter
        elif PAIRS.get(letter) in kinds:
            yield False, PAIRS[letter]


def main():
    language = sys.argv[1]
    texts = [json.loads(line) for line in sys.stdin if line.strip()]
    totals = {}
    for sample in texts:
        text = sample["prime"] + sample["text"]
        if language == "c":
            found = {"brackets": count(brackets(PASSED_OVER.sub(" ", text), ("(", "{")))}
        else:
            environments = ((kind == "begin", name) for kind, name in ENVIRONMENT.findall(text))
            escaped = re.sub(r"\\[{}()]", " ", text)
            found = {"environments": count(environments), "braces": count(brackets(escaped, ("{",)))}
        for name, (right, wrong) in found.items():
            before = totals.get(name, (0, 0))
            totals[name] = (before[0] + right, before[1] + wrong)
    for name, (right, wrong) in totals.items():
        print(f"{name:<13} {right} of {right + wrong} closed rightly, {100 * right / max(1, right + wrong):.1f} %")


if __name__ == "__main__":
    main()
