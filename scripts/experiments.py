#!/usr/bin/env python3
"""Writes EXPERIMENTS.md beside each models/*/experiments.jsonl: one table, and what helped and what did not.

    python3 scripts/experiments.py [--check]

A line of experiments.jsonl is one evaluation of one checkpoint, an object whose keys are those of the file's first line; null is what
the record does not say. `finding` is one sentence, which stands above the table: under "What helped" where `helped` is true, under
"What did not" where it is false, else under "What else was seen". With --check nothing is written, and a file that is not what its
lines say ends with status 1."""

import json
import sys
from pathlib import Path

MODELS = Path(__file__).resolve().parent.parent / "models"
SECTIONS = [("What helped", True), ("What did not", False), ("What else was seen", None)]


def read(path):
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        row = json.loads(line)
        if rows and list(row) != list(rows[0]):
            sys.exit(f"{path}:{number}: keys {', '.join(row)}; wanted {', '.join(rows[0])}")
        rows.append(row)
    return rows


def cell(value):
    if value is None:
        return ""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text.replace("|", "\\|")


def page(name, rows):
    lines = [
        f"# {name}: experiments",
        "",
        "Made of `experiments.jsonl` by `scripts/experiments.py`. A row is one evaluation of one checkpoint; rows of one `run` belong together,",
        "`start` is what its training began at, and `settings` are those that the record names beside the recipe, under the names that they had then.",
        "An empty cell is what the record does not say; without a seed it is the recipe's.",
    ]
    for title, helped in SECTIONS:
        findings = [row for row in rows if row.get("finding") and row.get("helped") is helped]
        if findings:
            lines += ["", f"## {title}", ""] + [f"- {row['finding']} (`{row['run']}`)" for row in findings]
    columns = [key for key in rows[0] if key not in ("helped", "finding")]
    numbers = {key for row in rows for key in columns if isinstance(row[key], (int, float))}
    lines += ["", "## All rows", "", f"| {' | '.join(columns)} |"]
    lines.append(f"| {' | '.join('---:' if key in numbers else '---' for key in columns)} |")
    lines += [f"| {' | '.join(cell(row[key]) for key in columns)} |" for row in rows]
    return "\n".join(lines) + "\n"


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    for path in sorted(MODELS.glob("*/experiments.jsonl")):
        written, text = path.with_name("EXPERIMENTS.md"), page(path.parent.name, read(path))
        if not check:
            written.write_text(text, encoding="utf-8")
        elif not written.exists() or written.read_text(encoding="utf-8") != text:
            sys.exit(f"{written}: is not what {path.name} says; run scripts/experiments.py")


main()
