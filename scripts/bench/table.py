#!/usr/bin/env python3
"""Prints what bench.sh measured as the tables of the results folders:

    table.py target/bench.jsonl

Of a case that was measured several times the last counts. A ratio is bold where it reaches what is wanted.
"""
import json
import pathlib
import re
import sys

# The ratio that is wanted of the cases whose GROUP/CASE a pattern matches; the first match counts.
WANTED = (
    (r"recurrent/.*-step$", 5),
    (r"recurrent/lstm-n50", 1.3),
    (r"recurrent/lstm", 1),
    (r"recurrent/gru.*-inference$", 1.8),
    (r"recurrent/gru", 2),
    (r"recurrent/rnn", 1.5),
    (r"attend/p", 4),
    (r"attend/beam5-1$", 2),
    (r"attend/beam5-64$", 5),
    (r"conv/", 1),
    (r"network/.*-inference$", 1.3),
    (r"network/", 1.2),
    (r"language/", 1.3),
    (r"end/photos", 1.5),
    (r"end/cold-start$", 5),
)
# The further columns: their titles, and the peers and what of their rows they show.
COLUMNS = (
    ("candle-nn ÷ ours", r"^candle-nn", "ratio"),
    ("burn ÷ ours", r"^burn", "ratio"),
    ("channels last ÷ ours", r"channels-last$", "ratio"),
    ("ours in bf16 ms", r"bf16$", "ours_ms"),
    ("PyTorch bf16 ÷ ours in bf16", r"bf16$", "ratio"),
)


def number(value, field):
    """A cell: a ratio, or a time."""
    return "" if value is None else f"{value:.2f}" if field == "ratio" else f"{value:,.1f}"


def main():
    cases = {}
    for line in pathlib.Path(sys.argv[1]).read_text().splitlines():
        row = json.loads(line)
        cases.setdefault(f"{row['group']}/{row['case']}", {})[row.get("peer")] = row

    def field(peers, pattern, name):
        return next((row[name] for peer, row in peers.items() if peer and re.search(pattern, peer)), None)

    columns = [column for column in COLUMNS if any(field(peers, *column[1:]) for peers in cases.values())]
    titles = ["group", "case", "ours ms", "PyTorch ms", "ratio", "wanted", *(title for title, *_ in columns)]
    print(f"| {' | '.join(titles)} |\n| --- | --- {'| ---: ' * (len(titles) - 2)}|")
    ahead = reached = compared = 0
    for name, peers in cases.items():
        plain = next((row for peer, row in peers.items() if peer and re.fullmatch(r"PyTorch \S+", peer)), None)
        if not plain:
            continue
        wanted = next(wanted for pattern, wanted in WANTED if re.match(pattern, name))
        ratio = number(plain["ratio"], "ratio")
        enough = float(ratio) >= wanted
        compared, ahead, reached = compared + 1, ahead + (float(ratio) > 1), reached + enough
        cells = [*name.split("/", 1), number(plain["ours_ms"], "ms"), number(plain["peer_ms"], "ms")]
        cells += [f"**{ratio}**" if enough else ratio, str(wanted)]
        cells += [number(field(peers, pattern, which), which) for _, pattern, which in columns]
        print(f"| {' | '.join(cells)} |")
    print(f"\nAhead of PyTorch in {ahead} of {compared} cases, and where it is wanted in {reached}.\n")
    for name, peers in cases.items():
        for peer, row in peers.items():
            if "peer_mib" in row and re.fullmatch(r"PyTorch \S+", peer):
                print(f"Memory of {name}: {row['peer_mib'] / row['ours_mib']:.1f} times ours")
            if peer is None:
                print(f"{name}: {row['ours_ms']:,.0f} ms")


main()
