"""torch_worker.py: worker.lua's twin: measures rows of rows.lua in CPU PyTorch, by the same protocol.

Written as a good user writes PyTorch 2 for the CPU: fused optimizers, channels-last images, out= where results are kept, plain
functions for what is timed alone. No torch.compile.
"""

import math
import os
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

SAMPLE, MIN_SAMPLES, LONG, ENDLESS = 1e-3, 3, 0.3, 3
CLOCK = time.process_time if os.environ.get("BENCH_CLOCK") == "cpu" else time.perf_counter
PERIOD = 1000
PATTERN = torch.arange(PERIOD).mul(7919).fmod(PERIOD).float().mul(1e-3).add(-0.5)

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))


def filled(*shape):
    """Element number i is (7919 i mod 1000) / 1000 - 0.5."""
    x = torch.empty(shape)
    flat = x.view(-1)
    whole = flat.numel() - flat.numel() % PERIOD
    flat[:whole].view(-1, PERIOD).copy_(PATTERN.expand(whole // PERIOD, PERIOD))
    flat[whole:] = PATTERN[: flat.numel() - whole]
    return x


def labels(m, n):
    return torch.arange(m).mul(7919).fmod(n)


def norm(x):
    return x.double().norm().item()


def set_weights(model):
    with torch.no_grad():
        for p in model.parameters():
            fan = p.numel() / p.shape[0] if p.dim() > 1 else p.numel()
            p.copy_(filled(p.numel()).view(p.shape).mul(2 / math.sqrt(fan)))


# ---- single ops: functions that return the step and a number of its result ----


def call(form):
    a, b = torch.ones(4), torch.ones(4)
    if form == "place":
        return lambda: a.mul_(b), lambda: norm(a)
    return lambda: torch.mul(a, b), lambda: norm(torch.mul(a, b))


def matmul(m, n, k, dtype):
    a, b = filled(m, k).to(getattr(torch, dtype)), filled(k, n).to(getattr(torch, dtype))
    out = torch.empty(m, n, dtype=a.dtype)
    return lambda: torch.mm(a, b, out=out), lambda: norm(out)


def convolution(which, batch, planes, filters, size, kernel, stride, padding):
    out = (size + 2 * padding - kernel) // stride + 1
    x = filled(batch, size, size, planes).permute(0, 3, 1, 2)
    grad = filled(batch, out, out, filters).permute(0, 3, 1, 2)
    weight = filled(filters, planes, kernel, kernel)
    fast = weight.contiguous(memory_format=torch.channels_last)
    geometry = ([stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1)

    def backward(k):
        mask = [j == k for j in range(3)]
        return torch.ops.aten.convolution_backward(grad, x, fast, None, *geometry, mask)[k]

    run = {
        "forward": lambda: F.conv2d(x, fast, None, stride, padding),
        "data": lambda: backward(0),
        "weight": lambda: backward(1),
    }[which]
    return run, lambda: norm(run())


def pointwise(name, m, n):
    x, y, out = filled(m, n), filled(m, n), torch.empty(m, n)
    run = {
        "copy": lambda: out.copy_(x),
        "add": lambda: torch.add(x, y, out=out),
        "relu": lambda: torch.clamp_min(x, 0, out=out),
        "exp": lambda: torch.exp(x, out=out),
        "tanh": lambda: torch.tanh(x, out=out),
        "gelu": lambda: torch.ops.aten.gelu.out(x, out=out),
    }[name]
    return run, lambda: norm(out)


def reduce(name, m, n):
    x = filled(m, n)
    run = {
        "sum": lambda: x.sum(),
        "rows": lambda: x.sum(1),
        "columns": lambda: x.sum(0),
        "max": lambda: x.max(1).values,
    }[name]
    return run, lambda: norm(run())


def differentiated(compute, targets, seed, training):
    if not training:

        def forward():
            with torch.no_grad():
                return compute()

        return forward, lambda: norm(forward())
    for t in targets:
        t.requires_grad_()

    def run():
        return torch.autograd.grad(compute(), targets, seed)

    return run, lambda: norm(run()[0])


def softmax(which, m, n):
    x = filled(m, n)
    return differentiated(lambda: torch.softmax(x, 1), [x], filled(m, n), which == "training")


def layernorm(which, m, n):
    x, weight, bias = filled(m, n), torch.ones(n), torch.zeros(n)
    return differentiated(
        lambda: F.layer_norm(x, (n,), weight, bias), [x, weight, bias], filled(m, n).abs(), which == "training"
    )


def batchnorm(which, m, n):
    count = {64 * 16: 16, 64 * 1024: 64, 16384 * 1024: 256}[m * n]
    batch = m * n // count // 64
    layer = nn.BatchNorm2d(count).train(which == "training")
    x, seed = filled(batch, count, 8, 8), filled(batch, count, 8, 8).abs()
    return differentiated(lambda: layer(x), [x, layer.weight, layer.bias], seed, which == "training")


def crossentropy(_, m, n):
    x, y = filled(m, n), labels(m, n)
    return differentiated(lambda: F.cross_entropy(x, y), [x], None, True)


def adam(m, n):
    p = filled(m, n).requires_grad_()
    p.grad = filled(m, n)
    optimizer = torch.optim.Adam([p], lr=1e-3, fused=True)
    return optimizer.step, lambda: norm(p.detach())


# ---- training ----


def trained(model, criterion, optimizer, x, y):
    set_weights(model)
    with torch.no_grad():
        first = criterion(model.eval()(x), y).item()
    model.train()

    def step():
        loss = criterion(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step, lambda: first


def xor(epochs):
    x, y = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]), torch.tensor([[0.0], [1], [1], [0]])
    model = nn.Sequential(nn.Linear(2, 3), nn.Sigmoid(), nn.Linear(3, 1), nn.Sigmoid())
    criterion = nn.BCELoss()
    step, _ = trained(model, criterion, torch.optim.SGD(model.parameters(), lr=0.1, fused=True), x, y)

    def train():
        for _ in range(epochs):
            step()

    def result():
        set_weights(model)
        for _ in range(100):
            step()
        return criterion(model(x), y).item()

    return train, result


def mlp(batch):
    model = nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    return trained(model, nn.CrossEntropyLoss(), optimizer, filled(batch, 784), labels(batch, 10))


def cnn(batch):
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten(),
        nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10),
    )  # fmt: skip
    model = model.to(memory_format=torch.channels_last)
    x = filled(batch, 1, 28, 28).contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    return trained(model, nn.CrossEntropyLoss(), optimizer, x, labels(batch, 10))


FAMILIES = {
    f.__name__: f
    for f in (
        call, matmul, convolution, pointwise, reduce, softmax, layernorm, batchnorm, crossentropy, adam, xor, mlp, cnn
    )
}  # fmt: skip

# ---- the protocol ----


class Worker:
    step, batch, first = None, 1, 0

    def timed(self, calls):
        start = CLOCK()
        for _ in range(calls):
            self.step()
        return (CLOCK() - start) / calls

    def open(self, family, *arguments):
        self.step = None
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
        self.step, result = FAMILIES[family](*arguments)
        self.first = self.timed(1)
        value, each = result(), self.first
        if each < LONG:
            each = self.timed(max(1, min(100, int(0.02 / max(each, 1e-6)))))
        self.batch = max(1, math.ceil(SAMPLE / max(each, 1e-9)))
        return f"ok {value:.9g}"

    def time(self, seconds):
        if self.first > ENDLESS:
            return f"{self.first:.9g}"
        samples, start = [], CLOCK()
        while True:
            each = self.timed(self.batch)
            samples.append(f"{each:.9g}")
            if CLOCK() - start > seconds and (len(samples) >= MIN_SAMPLES or each > LONG):
                return " ".join(samples)

    def peak(self):
        with open("/proc/self/status", encoding="ascii") as file:
            kib = [line.split()[1] for line in file if line.startswith("VmHWM")]
        return f"{int(kib[0]) / 1024:.1f}" if kib else "nan"


def number(word):
    try:
        return int(word)
    except ValueError:
        try:
            return float(word)
        except ValueError:
            return word


def main():
    worker = Worker()
    for line in sys.stdin:
        verb, *words = map(number, line.split())
        try:
            answer = getattr(worker, verb)(*words)
        except Exception as error:  # whatever it is, the driver goes on with the next row
            answer = "missing " + " ".join(str(error).split())
        print(answer, flush=True)


if __name__ == "__main__":
    main()
