#!/usr/bin/env python3
"""Runs our cases and the peer's in turn and prints the medians and the median of the pairwise ratios.

    run.py OURS PEER_PYTHON OUT.jsonl [GROUP…]
"""
import json
import pathlib
import statistics
import subprocess
import sys
import time

PAIRS = 7
WARM_UP = 2
# Seconds before each run: threads of the other side that wait by spinning must have gone to sleep.
SETTLE = 0.25
# Peak memory is part of the comparison here.
MEMORY = ("attend", "language")


class Process:
    """A case that runs once for every line that it is sent."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def once(self):
        time.sleep(SETTLE)
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def finish(self):
        self.process.stdin.close()
        peak = float(self.process.stdout.readline())
        self.process.wait()
        return peak


def main():
    ours, python, out, *groups = sys.argv[1:]
    peer = [python, str(pathlib.Path(__file__).with_name("peer_torch.py"))]
    version = subprocess.run([*peer, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    names = subprocess.run([ours, "--list"], capture_output=True, text=True, check=True).stdout.split()
    print(f"{'case':<44} {'ours ms':>10} {version + ' ms':>22} {'ratio':>7}")
    with open(out, "a") as lines:
        for name in names:
            group, case = name.split("/", 1)
            if groups and group not in groups:
                continue
            sides = [Process([ours, name]), Process([*peer, name])]
            for side in sides:
                for _ in range(WARM_UP):
                    side.once()
            pairs = [[side.once() for side in sides] for _ in range(PAIRS)]
            peaks = [side.finish() for side in sides]
            mine, theirs = (statistics.median(times) for times in zip(*pairs))
            ratio = statistics.median(theirs / mine for mine, theirs in pairs)
            row = {"group": group, "case": case, "ours_ms": mine, "peer": version, "peer_ms": theirs, "ratio": ratio}
            memory = ""
            if group in MEMORY:
                row |= {"ours_mib": peaks[0], "peer_mib": peaks[1]}
                memory = f"   {peaks[0]:.0f} / {peaks[1]:.0f} MiB"
            print(f"{name:<44} {mine:>10.2f} {theirs:>22.2f} {ratio:>7.2f}{memory}", flush=True)
            lines.write(json.dumps(row) + "\n")
            lines.flush()


main()
