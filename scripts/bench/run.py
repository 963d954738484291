#!/usr/bin/env python3
"""Runs our cases and the peer's in turn and prints the medians and the median of the pairwise ratios.

    run.py OURS PROGRAM PEER_PYTHON OUT.jsonl [GROUP…]

OURS is the benchmark's program, PROGRAM is candlewick itself, for the cases that are whole programs (group `end`).
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


class Program:
    """A whole program, started anew each time."""

    def __init__(self, command):
        self.command = command

    def once(self):
        time.sleep(SETTLE)
        start = time.perf_counter()
        if subprocess.run(self.command, stdout=subprocess.DEVNULL).returncode:
            sys.exit(f"{self.command[0]} failed")
        return (time.perf_counter() - start) * 1e3

    def finish(self):
        return None


def programs(ours, program, peer, folder):
    """The two sides of each case that is a whole program."""
    if not (folder / "model" / "config.json").exists():
        subprocess.run([*peer, "--prepare", str(folder)], check=True)
        subprocess.run([ours, "--model", str(folder / "model"), str(folder / "resnet50.safetensors")], check=True)
    weights, photos = str(folder / "resnet50.safetensors"), sorted(map(str, (folder / "photos").glob("*.jpg")))
    for case, count in (("photos200-beam3", 200), ("cold-start", 1)):
        # Fresh values never end a sentence: both sides write twenty words.
        mine = [program, "caption", *photos[:count], "--model", str(folder / "model"), "--encoder-weights", weights]
        yield case, [mine + ["--beam", "3", "--max-words", "20"], [*peer, "--caption", weights, *photos[:count]]]


def main():
    ours, program, python, out, *groups = sys.argv[1:]
    peer = [python, str(pathlib.Path(__file__).with_name("peer_torch.py"))]
    version = subprocess.run([*peer, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    names = subprocess.run([ours, "--list"], capture_output=True, text=True, check=True).stdout.split()
    print(f"{'case':<44} {'ours ms':>10} {version + ' ms':>22} {'ratio':>7}")
    cases = []
    for name in names:
        group, case = name.split("/", 1)
        cases.append((group, case, lambda name=name: [Process([ours, name]), Process([*peer, name])]))
    if not groups or "end" in groups:
        for case, commands in programs(ours, program, peer, pathlib.Path(out).with_name("bench-end")):
            cases.append(("end", case, lambda commands=commands: [Program(command) for command in commands]))
    with open(out, "a") as lines:
        for group, case, start in cases:
            if groups and group not in groups:
                continue
            sides = start()
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
            print(f"{group + '/' + case:<44} {mine:>10.2f} {theirs:>22.2f} {ratio:>7.2f}{memory}", flush=True)
            lines.write(json.dumps(row) + "\n")
            lines.flush()


main()
