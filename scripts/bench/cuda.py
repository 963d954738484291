#!/usr/bin/env python3
"""Ours against PyTorch on a CUDA device, alternating: `cuda.py OURS OUT.jsonl`; what matters most comes first.

A ratio over 1 means that we are faster. Each group has its own share of the time; a case that fails or comes too late is told, left out,
and makes the exit status 1.
"""
import json
import pathlib
import signal
import statistics
import sys
import time

from run import Process

PAIRS = 3
LAYERS = [f"{cell}-n64t64h{h}-train" for h in (512, 1024) for cell in ("lstm", "gru")]
LONG = ["lstm-n64t256h512-train", "lstm-n64t256h1024-train"]
F32, TF32 = ([], []), (["--medium"], ["--tf32"])
BF16, F16 = (["--bf16"], ["--bf16"]), (["--f16"], ["--fp16"])
# A sequence in one launch.
WHOLE = (["--bf16", "--whole"], ["--bf16"])
# Group, seconds for all of it, its cases, and each pair of ways, ours and PyTorch's, in which they are measured.
GROUPS = [
    ("attend", 80, ["p49-train", "p196-train"], [F32, TF32, BF16, (["--medium"], ["--tf32", "--compile"])]),
    ("recurrent", 80, LAYERS, [TF32, BF16]),
    ("recurrent", 20, LAYERS[:2], [F16]),
    ("recurrent", 20, LAYERS[::2], [WHOLE]),
    ("network", 45, ["resnet50-n64-train"], [TF32, (["--bf16"], ["--channels-last-bf16"])]),
    ("recurrent", 40, LONG, [BF16, WHOLE]),
    ("attend", 25, ["beam5-64"], [TF32]),
    ("language", 15, ["lstm-h512-n50t50-train"], [TF32]),
]


class Late(Exception):
    """The time of a case is over."""


def late(*_):
    raise Late


def compare(name, ours, peer):
    """The medians of both sides, and of their ratios."""
    sides = [Process(command) for command in (ours, peer)]
    try:
        for side in sides:
            side.once()
        rounds = [[side.once() for side in sides] for _ in range(PAIRS)]
        for side in sides:
            side.finish()
    finally:
        for side in sides:
            side.process.kill()
    mine, theirs = (statistics.median(times) for times in zip(*rounds))
    return {"case": name, "ours_ms": mine, "peer_ms": theirs, "ratio": statistics.median(b / a for a, b in rounds)}


def main():
    ours, out = sys.argv[1:]
    script = [sys.executable, str(pathlib.Path(__file__).with_name("peer_torch.py")), "--cuda"]
    signal.signal(signal.SIGALRM, late)
    failed = False
    with open(out, "a") as lines:
        for group, seconds, cases, ways in GROUPS:
            end = time.monotonic() + seconds
            pairs = [(case, *way) for way in ways for case in cases]
            for at, (case, own, peer) in enumerate(pairs):
                name, left = f"{group}/{case}", end - time.monotonic()
                words = [" ".join(part.removeprefix("--") for part in way) or "float32" for way in (own, peer)]
                label = f"{words[0]} / {words[1]}"
                # The slow cases may have what the quick ones leave.
                signal.alarm(max(1, int(left - (len(pairs) - at - 1) * seconds / len(pairs) / 2)))
                try:
                    row = compare(name, [ours, "--cuda", *own, name], [*script, *peer, name])
                except (Late, ValueError, OSError) as fault:
                    print(f"{name:<36} {label:<28} no figure: {type(fault).__name__} {fault}", flush=True)
                    failed = True
                    continue
                finally:
                    signal.alarm(0)
                lines.write(json.dumps(row | {"ours": words[0], "peer": words[1]}) + "\n")
                lines.flush()
                print(f"{name:<36} {label:<28} {row['ours_ms']:>9.3f} ms {row['peer_ms']:>9.3f} ms {row['ratio']:>6.2f}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
