#!/usr/bin/env python3
"""PyTorch's side of scripts/bench.sh: the cases of crates/candlewick/benches/cases.rs, in the same words."""
import re
import sys
import time

import torch
from torch import nn

# Seconds that a case runs each time.
TURN = 0.4

# Whether networks and pictures have their channels together.
CHANNELS_LAST = False

# Whether models are compiled, with CUDA's graphs.
COMPILE = False


def compiled(model):
    return torch.compile(model, mode="reduce-overhead") if COMPILE else model


# Where cases run.
DEVICE = "cpu"


def wait():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


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
    if name in SEQUENCES:
        n, t, d, h, layers, both = SEQUENCES[name]
    else:
        n, t, h = map(int, re.fullmatch(r"n(\d+)t(\d+)h(\d+)", name).groups())
        d, layers, both = h, 1, False
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


@torch.inference_mode()
def beam_search(model, annotations, beams, words, start=1, end=2):
    """The usual search for one photo: annotations (1, P, C), all beams as a batch, those that end leave it."""
    annotations = annotations.expand(beams, -1, -1)
    keys, mean = model.keys(annotations), annotations.mean(1)
    h, c = torch.tanh(model.init_h(mean)), torch.tanh(model.init_c(mean))
    told, sums, done = torch.full((beams, 1), start, device=DEVICE), torch.zeros(beams, 1, device=DEVICE), []
    for step in range(words):
        embedded = model.embedding(told[:, -1])
        alpha = model.v(torch.tanh(keys + model.query(h).unsqueeze(1))).squeeze(2).softmax(1)
        context = torch.sigmoid(model.gate(h)) * (annotations * alpha.unsqueeze(2)).sum(1)
        h, c = model.cell(torch.cat([embedded, context], 1), (h, c))
        logits = model.fc(torch.tanh(embedded + model.of_hidden(h) + model.of_context(context)))
        sums = sums + logits.log_softmax(1)
        best, at = (sums[0] if step == 0 else sums.flatten()).topk(len(told))
        rows, word = at // logits.shape[1], at % logits.shape[1]
        told = torch.cat([told[rows], word.unsqueeze(1)], 1)
        alive = word != end
        done += [(best[i].item(), told[i]) for i in range(len(word)) if not alive[i]]
        rows, told, sums = rows[alive], told[alive], best[alive].unsqueeze(1)
        if not len(told):
            break
        h, c, annotations, keys = h[rows], c[rows], annotations[rows], keys[rows]
    return max(done + list(zip(sums.flatten().tolist(), told)), key=lambda pair: pair[0])[1]


def beams(photos):
    model = Decoder().eval()
    annotations = torch.randn(photos, 49, 2048)
    return lambda: [beam_search(model, annotations[i : i + 1], 5, 20) for i in range(photos)]


def attend(case):
    if case.startswith("beam5-"):
        return beams(int(case.removeprefix("beam5-")))
    positions = int(case.split("-")[0][1:])
    model = compiled(Decoder())
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
    layout = torch.channels_last if CHANNELS_LAST else torch.contiguous_format
    # Without the auxiliary heads, which ours leaves out too.
    options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    model = getattr(torchvision.models, name)(**options).to(memory_format=layout)
    images = torch.randn(int(rest[1:].split("-")[0]), 3, 224, 224).to(memory_format=layout)
    model = compiled(model)
    if rest.endswith("train"):
        return network_training(model.train(), images)
    model.eval()
    return torch.inference_mode()(lambda: model(images))


def network_training(model, images):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    told = torch.randint(1000, (len(images),))

    def train():
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(model(images), told).backward()
        optimizer.step()

    return train


def sampling():
    """200 characters, drawn one by one."""
    h, v = 512, 96
    embedding, lstm, head = nn.Embedding(v, h), nn.LSTM(h, h, num_layers=2), nn.Linear(h, v)

    @torch.inference_mode()
    def sample():
        letter, state, text = torch.tensor([33], device=DEVICE), None, []
        for _ in range(200):
            hidden, state = lstm(embedding(letter).unsqueeze(0), state)
            letter = torch.multinomial((head(hidden[0]) / 0.8).softmax(1), 1).squeeze(1)
            text.append(letter.item())

    return sample


def language(case):
    if case == "lstm-2x512-sample":
        return sampling()
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


def prepare(folder):
    """Photos and the weights of a ResNet-50 for the cases that are whole programs."""
    import pathlib

    import torchvision
    from PIL import Image
    from safetensors.torch import save_file

    folder = pathlib.Path(folder)
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    for i in range(200):
        small = (torch.rand(12, 16, 3, generator=torch.Generator().manual_seed(i)) * 255).byte().numpy()
        Image.fromarray(small).resize((500, 375), Image.BICUBIC).save(folder / "photos" / f"{i:03}.jpg", quality=90)
    torch.manual_seed(1)
    state = torchvision.models.resnet50().state_dict()
    # As checkpoints of PyTorch have them, but for the counters.
    save_file({name: value for name, value in state.items() if value.dtype == torch.float32}, folder / "resnet50.safetensors")


@torch.inference_mode()
def caption(weights, photos):
    """Photo files to captions, as a whole program: eight photos at a time through the encoder, then each by itself."""
    import torchvision
    from PIL import Image
    from safetensors.torch import load_file
    from torchvision import transforms

    encoder = torchvision.models.resnet50()
    encoder.load_state_dict(load_file(weights), strict=False)
    encoder = nn.Sequential(*list(encoder.children())[:-2]).eval()
    model = Decoder().eval()
    look = transforms.Compose([
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])
    for start in range(0, len(photos), 8):
        images = torch.stack([look(Image.open(path).convert("RGB")) for path in photos[start : start + 8]])
        for annotations in encoder(images).flatten(2).transpose(1, 2):
            print(*beam_search(model, annotations.unsqueeze(0), 3, 20).tolist())


def main():
    if sys.argv[1] == "--prepare":
        return prepare(sys.argv[2])
    if sys.argv[1] == "--caption":
        return caption(sys.argv[2], sys.argv[3:])
    if sys.argv[1] == "--version":
        print(f"PyTorch {torch.__version__}")
        return
    torch.manual_seed(1)
    *ways, name = sys.argv[1:]
    group, case = name.split("/", 1)
    global CHANNELS_LAST, COMPILE, DEVICE
    CHANNELS_LAST = any("channels-last" in way for way in ways)
    COMPILE = any("compile" in way for way in ways)
    if any("cuda" in way for way in ways):
        DEVICE = "cuda"
        torch.set_default_device(DEVICE)
    tf32 = any("tf32" in way for way in ways)
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    run = {"recurrent": recurrent, "attend": attend, "conv": conv, "network": network, "language": language}[group](case)
    # A default device makes every call slower; what has been made stays where it is.
    torch.set_default_device(None)
    for word, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
        if any(word in way for way in ways):
            run = torch.autocast(DEVICE, dtype=dtype)(run)
    for _ in sys.stdin:
        run()
        wait()
        start, runs = time.perf_counter(), 0
        while time.perf_counter() - start < TURN:
            run()
            runs += 1
        wait()
        print(f"{(time.perf_counter() - start) * 1e3 / runs:.4f}", flush=True)
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
    print(f"{int(peak.split()[1]) / 1024:.1f}", flush=True)


main()
