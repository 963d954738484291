#!/usr/bin/env python3
"""PyTorch's side of scripts/bench.sh: the cases of crates/candlewick/benches/cases.rs, in the same words."""
import sys
import time

import torch
from torch import nn

# Seconds that a case runs each time.
TURN = 0.4

SEQUENCES = {
    "n32t64h512": (32, 64, 512, 512, 1, False),
    "n64t20h512": (64, 20, 512, 512, 1, False),
    "n32t64h512-two-layers": (32, 64, 512, 512, 2, False),
    "n32t64h512-bidirectional": (32, 64, 512, 512, 1, True),
    "n50t50h128": (50, 50, 128, 128, 1, False),
}
CONVOLUTIONS = {
    "3x3-64-64-56": (64, 64, 3, 1, 56),
    "3x3-256-256-14": (256, 256, 3, 1, 14),
    "7x7s2-3-64-224": (3, 64, 7, 2, 224),
    "1x1-256-64-56": (256, 64, 1, 1, 56),
    "3x3s2-128-128-56": (128, 128, 3, 2, 56),
}
CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


def recurrent(case):
    cell, rest = case.split("-", 1)
    if rest.endswith("-step"):
        model = CELLS[cell](512, 512, num_layers=2, batch_first=True)
        xs = torch.randn(1, 1, 512)
        state = None

        @torch.inference_mode()
        def step():
            nonlocal state
            for _ in range(100):
                _, state = model(xs, state)

        return step
    name = rest.removesuffix("-train").removesuffix("-inference").removesuffix("-lengths")
    n, t, d, h, layers, both = SEQUENCES[name]
    model = CELLS[cell](d, h, num_layers=layers, bidirectional=both, batch_first=True)
    xs = torch.randn(n, t, d, requires_grad=True)
    lengths = [t - i * t // (2 * n) for i in range(n)] if "lengths" in rest else None

    def forward():
        if lengths is None:
            return model(xs)[0]
        packed = nn.utils.rnn.pack_padded_sequence(xs, lengths, batch_first=True)
        return nn.utils.rnn.pad_packed_sequence(model(packed)[0], batch_first=True)[0]

    if rest.endswith("-inference"):
        return torch.inference_mode()(forward)

    def train():
        model.zero_grad(set_to_none=True)
        xs.grad = None
        forward().sum().backward()

    return train


class Decoder(nn.Module):
    """Show, Attend and Tell as PyTorch users write it: a loop over nn.LSTMCell."""

    def __init__(self, c=2048, a=512, e=512, h=512, v=2500):
        super().__init__()
        self.keys, self.query, self.v = nn.Linear(c, a), nn.Linear(h, a), nn.Linear(a, 1)
        self.embedding, self.cell = nn.Embedding(v, e), nn.LSTMCell(e + c, h)
        self.init_h, self.init_c, self.gate = nn.Linear(c, h), nn.Linear(c, h), nn.Linear(h, c)
        self.of_hidden, self.of_context, self.fc = nn.Linear(h, e), nn.Linear(c, e, bias=False), nn.Linear(e, v)
        self.dropout = nn.Dropout(0.5)

    def forward(self, annotations, words):
        keys, mean = self.keys(annotations), annotations.mean(1)
        h, c = torch.tanh(self.init_h(mean)), torch.tanh(self.init_c(mean))
        embedded = self.dropout(self.embedding(words))
        logits, alphas = [], []
        for t in range(words.shape[1]):
            energies = self.v(torch.tanh(keys + self.query(h).unsqueeze(1))).squeeze(2)
            alpha = energies.softmax(1)
            context = torch.sigmoid(self.gate(h)) * (annotations * alpha.unsqueeze(2)).sum(1)
            h, c = self.cell(torch.cat([embedded[:, t], context], 1), (h, c))
            told = torch.tanh(embedded[:, t] + self.of_hidden(h) + self.of_context(context))
            logits.append(self.fc(self.dropout(told)))
            alphas.append(alpha)
        return torch.stack(logits, 1), torch.stack(alphas, 1)


def attend(case):
    positions = int(case.split("-")[0][1:])
    model = Decoder()
    annotations = torch.randn(32, positions, 2048)
    read, told = torch.randint(2500, (32, 20)), torch.randint(2500, (32, 20))

    def train():
        model.zero_grad(set_to_none=True)
        logits, alphas = model(annotations, read)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), told.flatten())
        (loss + ((1 - alphas.sum(1)) ** 2).mean()).backward()

    return train


def conv(case):
    name = next(name for name in CONVOLUTIONS if case.startswith(name))
    inputs, outputs, kernel, stride, side = CONVOLUTIONS[name]
    n = 8 if "-n8-" in case else 1
    layer = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
    xs = torch.randn(n, inputs, side, side, requires_grad=True)
    if case.endswith("inference"):
        return torch.inference_mode()(lambda: layer(xs))

    def train():
        layer.zero_grad(set_to_none=True)
        xs.grad = None
        layer(xs).sum().backward()

    return train


def network(case):
    import torchvision

    name, rest = case.split("-", 1)
    model = getattr(torchvision.models, name)().eval()
    images = torch.randn(8 if rest.startswith("n8") else 1, 3, 224, 224)
    return torch.inference_mode()(lambda: model(images))


def language(_):
    n, t, h, v = 50, 50, 512, 96
    embedding, lstm, head = nn.Embedding(v, h), nn.LSTM(h, h, num_layers=2, batch_first=True), nn.Linear(h, v)
    parameters = [*embedding.parameters(), *lstm.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=2e-3)
    read, told = torch.randint(v, (n, t)), torch.randint(v, (n, t))

    def train():
        optimizer.zero_grad(set_to_none=True)
        logits = head(lstm(embedding(read))[0])
        nn.functional.cross_entropy(logits.flatten(0, 1), told.flatten()).backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()

    return train


def main():
    if sys.argv[1] == "--version":
        print(f"PyTorch {torch.__version__}")
        return
    torch.manual_seed(1)
    group, case = sys.argv[1].split("/", 1)
    run = {"recurrent": recurrent, "attend": attend, "conv": conv, "network": network, "language": language}[group](case)
    for _ in sys.stdin:
        run()
        start, runs = time.perf_counter(), 0
        while time.perf_counter() - start < TURN:
            run()
            runs += 1
        print(f"{(time.perf_counter() - start) * 1e3 / runs:.4f}", flush=True)
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
    print(f"{int(peak.split()[1]) / 1024:.1f}", flush=True)


main()
